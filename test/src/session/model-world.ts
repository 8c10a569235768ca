import assert from 'node:assert/strict'
import type { ChainEffect, ChainEvent, ChainMachineOptions, ChosenStage } from '@skein/coordinator'
import { ChainMachine } from '@skein/coordinator'
import type { StageMachineOptions } from '@skein/node'
import type { BlockRange, ControlResponse, ModelId, PeerId, SessionId, StepMessage, Want } from '@skein/protocol'
import { WireErrorCode } from '@skein/protocol'
import type { Channel, Item, Pipe, Random, Sink, WorldConfig } from './model-network.ts'
import { concat, kvTokens, maxStepRows, replayChunkRows, seeded, totalBlocks } from './model-network.ts'
import type { Host, NodeWorld } from './model-node.ts'
import { Node } from './model-node.ts'
import { bytesPerRow, embed, ModelledSpan } from './modelled-compute.ts'

interface Later {
  readonly owner: string
  readonly computes: boolean
  readonly run: () => void
}

interface Expected {
  readonly rows: number
  readonly want: Want
  readonly output: Uint8Array
}

/** A network, nodes and a coordinator, in which anything that can happen next may happen next. */
export class World implements NodeWorld {
  nowMs = 0
  readonly random: Random
  readonly coordinator = 'coordinator' as PeerId
  readonly nodes = new Map<PeerId, Node>()
  readonly hosts: Host[] = []
  readonly stageOptions: StageMachineOptions
  readonly machine: ChainMachine
  readonly #oracle = new ModelledSpan({ start: 0, end: totalBlocks })
  readonly #expected = new Map<number, Expected>()
  readonly #tokens: number[] = []
  readonly #controls = new Map<number, { pipe: Pipe }>()
  readonly #links = new Map<number, { pipe: Pipe }>()
  #pipes: Pipe[] = []
  #later: Later[] = []
  resultSeq = 0
  opened = false
  closed = false
  recoveries = 0
  failure: string | undefined
  readonly log: string[] = []
  readonly accusations = new Map<string, number>()

  constructor(readonly config: WorldConfig) {
    this.random = seeded(config.seed)
    this.stageOptions = {
      creditSteps: 3,
      creditBytes: 16 * bytesPerRow,
      maxStepRows,
      outputSlots: 4,
      resultBytes: 8 * bytesPerRow,
      replayChunkRows,
      ackLaterMs: 60,
      ackFloorMs: 300,
      ackFactor: 8,
      greetMs: 400,
      redials: 2,
      redialMs: 20
    }
    const options: Partial<ChainMachineOptions> = {
      ...this.stageOptions,
      window: 6,
      creditSteps: 6,
      creditBytes: 64 * bytesPerRow,
      leaseMs: 3_000,
      openMs: 60_000,
      openStageMs: 1_000,
      answerMs: 500,
      coverageWaitMs: 60_000,
      searchAgainMs: 200,
      checkAfterMs: 300,
      stuckAfterMs: 1_000,
      maxTurnMs: 10_000,
      maxLosses: 60
    }
    this.machine = new ChainMachine({
      coordinator: this.coordinator,
      session: '0'.repeat(32) as SessionId,
      model: `model@${'0'.repeat(32)}` as ModelId,
      totalBlocks,
      hiddenSize: 8,
      exact: true,
      encoding: 'raw',
      kvTokens,
      historyBytes: config.historyRows * bytesPerRow,
      transport: config.star ? 'star' : 'ring',
      options
    })
    for (let index = 0; index < config.stages + config.spares; index++) {
      const peer = `node${index}` as PeerId
      this.nodes.set(peer, new Node(this, peer))
    }
    const cover = this.#split({ start: 0, end: totalBlocks }, config.stages, [...this.nodes.keys()])
    this.feed({ type: 'start', stages: cover })
  }

  // The caller

  get rows(): number {
    return this.machine.snapshot().rows
  }

  submit(position: number, rows: number, want: Want): boolean {
    if (this.machine.freeSlots === 0 || position + rows > kvTokens) return false
    const seq = this.machine.nextSeq
    const tokens = Array.from({ length: rows }, () => this.random(1 << 30))
    this.#tokens.length = position
    this.#tokens.push(...tokens)
    this.#expected.set(seq, { rows, want, output: this.#oracle.run(position, embed(tokens)) })
    this.feed({ type: 'submit', position, rows, want })
    return true
  }

  skip(count: number): void {
    const { pending, submittedSeq } = this.machine.snapshot()
    if (pending > 0) this.feed({ type: 'skip', from: submittedSeq - Math.min(pending, count) + 1 })
  }

  feed(event: ChainEvent): void {
    for (const effect of this.machine.handle(event, this.nowMs)) this.#do(effect)
  }

  #do(effect: ChainEffect): void {
    switch (effect.type) {
      case 'connect':
        return this.later(this.coordinator, () => this.#connect(effect.stage, effect.peer))
      case 'control': {
        const control = this.#controls.get(effect.stage)
        if (control !== undefined) this.post(control.pipe, { kind: 'message', message: effect.request })
        return
      }
      case 'disconnect': {
        const control = this.#controls.get(effect.stage)
        if (control !== undefined) this.hangUp(control.pipe)
        this.#controls.delete(effect.stage)
        return
      }
      case 'dial':
        return this.later(this.coordinator, () => this.#dial(effect.channel, effect.peer, effect.protocol))
      case 'send': {
        const link = this.#links.get(effect.channel)
        if (link === undefined) return
        const { source } = effect
        let body: Uint8Array | undefined
        if (source?.kind === 'tokens') body = embed(this.#tokens.slice(source.position, source.position + source.rows))
        else if (source?.kind === 'bytes') body = concat(source.parts)
        this.post(link.pipe, { kind: 'message', message: effect.message, body })
        return
      }
      case 'hangUp': {
        const link = this.#links.get(effect.channel)
        if (link !== undefined) this.hangUp(link.pipe)
        this.#links.delete(effect.channel)
        return
      }
      case 'opened':
        this.opened = true
        return
      case 'result':
        return this.#onResult(effect)
      case 'findReplacement':
        return this.later(this.coordinator, () => this.#search(effect.request, effect.span, effect.exclude))
      case 'recovering':
        this.log.push(`${this.nowMs} recovering: ${effect.reason}`)
        return
      case 'peersFailed':
        this.log.push(`${this.nowMs} not reached: ${effect.peers.join(', ')}`)
        return
      case 'recovered':
        this.recoveries++
        return
      case 'failed':
        this.failure = `${effect.code}: ${effect.message}`
        return
      case 'closed':
        this.closed = true
        return
    }
  }

  #onResult({ seq, rows, body, renounced }: Extract<ChainEffect, { type: 'result' }>): void {
    assert.equal(seq, this.resultSeq + 1, 'results must come once each, in order')
    this.resultSeq = seq
    const expected = this.#expected.get(seq)
    assert.ok(expected !== undefined, 'a result came of a step that was never sent')
    const wanted = expected.want === 'none' ? 0 : expected.want === 'last' ? 1 : expected.rows
    if (renounced) assert.ok(rows <= wanted)
    else assert.equal(rows, wanted, `rows of the result of seq ${seq}`)
    const first = expected.want === 'last' ? expected.rows - 1 : 0
    const output = expected.output.subarray(first * bytesPerRow, (first + rows) * bytesPerRow)
    assert.ok(Buffer.from(body).equals(Buffer.from(output)), `the result of seq ${seq} is wrong`)
    this.#expected.delete(seq)
  }

  #connect(stage: number, peer: PeerId): void {
    const node = this.nodes.get(peer)
    if (node === undefined || !node.alive) return this.feed({ type: 'controlClosed', stage, message: 'nobody answers' })
    const deliver = (item: Item): void => {
      if (!this.#controls.has(stage)) return
      if (item.kind === 'closed') {
        this.#controls.delete(stage)
        this.feed({ type: 'controlClosed', stage, message: 'closed' })
      } else {
        this.feed({ type: 'control', stage, response: item.message as ControlResponse })
      }
    }
    const pipe = this.open('control', this.coordinator, peer, deliver, (reply) => node.control(reply))
    this.#controls.set(stage, { pipe })
    // A disconnect that came before the connection was there finds it closed at once.
    this.feed({ type: 'connected', stage })
    if (!this.machine.snapshot().chain.some((member) => member.stage === stage)) {
      this.hangUp(pipe)
      this.#controls.delete(stage)
    }
  }

  #dial(channel: number, peer: PeerId, protocol: 'link' | 'results'): void {
    const node = this.nodes.get(peer)
    if (node === undefined || !node.alive) return this.feed({ type: 'linkClosed', channel, message: 'nobody answers' })
    const deliver = (item: Item): void => {
      if (!this.#links.has(channel)) return
      if (item.kind === 'closed') {
        this.#links.delete(channel)
        this.feed({ type: 'linkClosed', channel, message: 'closed' })
      } else {
        this.feed({ type: 'link', channel, message: item.message as StepMessage, body: item.body })
      }
    }
    const side = protocol === 'link' ? 'predecessor' : 'successor'
    const pipe = this.open('link', this.coordinator, peer, deliver, node.accept(this.coordinator, side))
    this.#links.set(channel, { pipe })
    this.feed({ type: 'dialed', channel })
  }

  #search(request: number, span: BlockRange, exclude: readonly PeerId[]): void {
    // The coordinator cannot know who is frozen, and often not who is dead.
    const free = [...this.nodes.values()].filter((node) => !exclude.includes(node.peer) && (node.alive || this.random(4) === 0))
    if (free.length === 0) return this.feed({ type: 'noReplacement', request, uncovered: [span] })
    const peers = free.map((node) => node.peer)
    const count = Math.min(1 + this.random(2), peers.length, span.end - span.start)
    this.feed({ type: 'replacement', request, stages: this.#split(span, count, peers) })
  }

  #split(span: BlockRange, count: number, peers: PeerId[]): ChosenStage[] {
    const cuts = new Set<number>()
    while (cuts.size < count - 1) cuts.add(span.start + 1 + this.random(span.end - span.start - 1))
    const bounds = [span.start, ...[...cuts].sort((a, b) => a - b), span.end]
    const left = [...peers]
    return bounds.slice(0, -1).map((start, index) => {
      const [peer] = left.splice(this.random(left.length), 1)
      return { peer: peer as PeerId, span: { start, end: bounds[index + 1] as number }, numerics: { weights: 'f32', kernels: 'model' } }
    })
  }

  // The network

  later(owner: string, run: () => void, computes = false): void {
    this.#later.push({ owner, run, computes })
  }

  open(kind: Channel['kind'], from: string, to: string, sink: Sink, accept: (reply: () => Pipe) => Sink): Pipe {
    const pipes: Pipe[] = []
    const channel = { kind, pipes } as unknown as Channel
    const there: Pipe = { channel, from, to, items: [], sink: accept(() => back), stalledUntilMs: 0 }
    const back: Pipe = { channel, from: to, to: from, items: [], sink, stalledUntilMs: 0 }
    pipes.push(there, back)
    this.#pipes.push(there, back)
    return there
  }

  /** The pipe was opened towards the peer that takes what is posted. */
  post(pipe: Pipe, item: Item): void {
    if (this.#pipes.includes(pipe)) pipe.items.push(item)
  }

  /** This side sends nothing more and hears nothing more; the other side hears of it behind what was sent. */
  hangUp(pipe: Pipe): void {
    this.post(pipe, { kind: 'closed', ended: true })
    const back = pipe.channel.pipes.find((other) => other !== pipe) as Pipe
    back.sink = () => {}
    back.items = []
  }

  /** The connection is gone: frames in flight may be lost, and each side hears of it in its own time. */
  break(channel: Channel): void {
    for (const pipe of channel.pipes) {
      if (!this.#pipes.includes(pipe)) continue
      pipe.items.length = this.random(pipe.items.length + 1)
      pipe.items.push({ kind: 'closed' })
      pipe.stalledUntilMs = Math.min(pipe.stalledUntilMs, this.nowMs)
    }
  }

  // Faults

  usable(): Node[] {
    return [...this.nodes.values()].filter((node) => node.alive && !node.frozen && !node.hung)
  }

  member(index: number): Node | undefined {
    const { chain } = this.machine.snapshot()
    const member = chain[index % Math.max(1, chain.length)]
    return member === undefined ? undefined : this.nodes.get(member.peer)
  }

  kill(node: Node | undefined): void {
    if (node === undefined || !node.alive || this.usable().length <= 2) return
    node.alive = false
    node.frozen = node.hung = false
    node.host = undefined
    this.#later = this.#later.filter((later) => later.owner !== node.peer)
    for (const pipe of [...this.#pipes]) {
      if (pipe.to === node.peer) {
        this.#pipes = this.#pipes.filter((other) => other !== pipe)
      } else if (pipe.from === node.peer) {
        pipe.items.length = this.random(pipe.items.length + 1)
        pipe.items.push({ kind: 'closed' })
      }
    }
  }

  freeze(node: Node | undefined): void {
    if (node !== undefined && node.alive && this.usable().length > 2) node.frozen = true
  }

  wake(): void {
    for (const node of this.nodes.values()) node.frozen = node.hung = false
  }

  hang(node: Node | undefined): void {
    if (node !== undefined && node.alive && this.usable().length > 2) node.hung = true
  }

  /** The next output of a stage is not finite; not the tail's, whose outputs nobody checks here. */
  poison(index: number): void {
    const { chain } = this.machine.snapshot()
    const member = chain[index % Math.max(1, chain.length)]
    const cache = member === undefined || member === chain.at(-1) ? undefined : this.nodes.get(member.peer)?.host?.cache
    if (cache !== undefined) cache.poisoned = true
  }

  breakSome(kind: Channel['kind']): void {
    const pipes = this.#pipes.filter((pipe) => pipe.channel.kind === kind && pipe.items.at(-1)?.kind !== 'closed')
    const pipe = pipes[this.random(Math.max(1, pipes.length))]
    if (pipe !== undefined) this.break(pipe.channel)
  }

  stall(ms: number): void {
    const pipes = this.#pipes.filter((pipe) => pipe.channel.kind === 'link')
    const pipe = pipes[this.random(Math.max(1, pipes.length))]
    if (pipe !== undefined) pipe.stalledUntilMs = this.nowMs + ms
  }

  heal(): void {
    for (const node of this.nodes.values()) {
      node.alive = true
      node.refuse = 0
    }
  }

  // Time

  #frozen(owner: string): boolean {
    return this.nodes.get(owner as PeerId)?.frozen ?? false
  }

  /** One thing happens: anything that can. Returns false when there is nothing but to wait, and nothing to wait for. */
  step(): boolean {
    const pipes = this.#pipes.filter((pipe) => pipe.items.length > 0 && pipe.stalledUntilMs <= this.nowMs && !this.#frozen(pipe.to))
    const later = this.#later.filter((item) => !this.#frozen(item.owner) && !(item.computes && this.nodes.get(item.owner as PeerId)?.hung))
    const choices = pipes.length + later.length
    if (choices === 0) return this.#waitForTime()
    const choice = this.random(choices)
    if (this.random(3) === 0) this.nowMs += this.random(4)
    const pipe = pipes[choice]
    if (pipe !== undefined) {
      const item = pipe.items.shift() as Item
      if (item.kind === 'closed') this.#pipes = this.#pipes.filter((other) => other !== pipe)
      pipe.sink(item)
    } else {
      const item = later[choice - pipes.length] as Later
      this.#later.splice(this.#later.indexOf(item), 1)
      item.run()
    }
    this.#tick()
    return true
  }

  #waitForTime(): boolean {
    const times = [this.machine.wakeAtMs]
    for (const node of this.nodes.values()) if (!node.frozen) times.push(node.host?.machine.wakeAtMs)
    for (const pipe of this.#pipes) if (pipe.items.length > 0 && !this.#frozen(pipe.to)) times.push(pipe.stalledUntilMs)
    const known = times.filter((time) => time !== undefined)
    if (known.length === 0) return false
    this.nowMs = Math.max(this.nowMs, Math.min(...known))
    this.#tick()
    return true
  }

  #tick(): void {
    if ((this.machine.wakeAtMs ?? Infinity) <= this.nowMs) this.feed({ type: 'tick' })
    for (const node of this.nodes.values()) {
      if (!node.frozen && (node.host?.machine.wakeAtMs ?? Infinity) <= this.nowMs) node.host?.feed({ type: 'tick' })
    }
  }

  run(steps: number): void {
    for (let count = 0; count < steps; count++) if (!this.step()) return
  }

  /** Runs on; when that takes long, more and more of what was broken is mended, as a swarm's blocks must be covered in the end. */
  runUntil(done: () => boolean, what: string, limit = 60_000): void {
    const startMs = this.nowMs
    for (let count = 0; !done(); count++) {
      if (this.nowMs > startMs + 3_000) this.heal()
      if (this.nowMs > startMs + 10_000) this.wake()
      assert.ok(count < limit && this.step(), `no end of ${what}: ${JSON.stringify(this.machine.snapshot())} ${this.describe()}`)
    }
  }

  describe(): string {
    const nodes = [...this.nodes.values()].filter((node) => node.host !== undefined)
    return [
      ...this.log.slice(-5),
      ...nodes.map((node) => `${node.peer}${node.frozen ? ' frozen' : ''} ${JSON.stringify(node.host?.machine.snapshot())}`)
    ].join('\n')
  }

  /** Ends the session and checks that nothing of it is left anywhere. */
  finish(): void {
    this.heal()
    const { submittedSeq } = this.machine.snapshot()
    this.runUntil(() => this.resultSeq >= submittedSeq || this.failure !== undefined, 'results')
    assert.equal(this.failure, undefined, `${this.failure ?? ''} ${this.describe()}`)
    // No node of the model lies: whoever takes another's steps for wrong is itself wrong.
    for (const code of [
      WireErrorCode.OutOfOrder,
      WireErrorCode.Malformed,
      WireErrorCode.CreditExceeded,
      WireErrorCode.TooLong,
      WireErrorCode.TooLarge
    ]) {
      assert.equal(this.accusations.get(code), undefined, `${code}: ${this.log.join(', ')}`)
    }
    this.feed({ type: 'close' })
    this.wake()
    this.runUntil(() => this.closed && [...this.nodes.values()].every((node) => node.host === undefined), 'closing')
    for (const host of this.hosts) if (host.ended) assert.equal(host.reservedRows, 0, 'a reservation is left')
  }
}
