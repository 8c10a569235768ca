import assert from 'node:assert/strict'
import type { StageEffect, StageEvent, StageMachineOptions } from '@skein/node'
import { StageMachine } from '@skein/node'
import type { ControlRequest, ControlResponse, LinkEnd, LinkMessage, PeerId, StepMessage } from '@skein/protocol'
import { WireErrorCode } from '@skein/protocol'
import type { Channel, Item, Pipe, Sink, WorldConfig } from './model-network.ts'
import { concat, maxStepRows, replayChunkRows } from './model-network.ts'
import { bytesPerRow, ModelledSpan, NotFinite } from './modelled-compute.ts'

/** What a node sees of the world around it. */
export interface NodeWorld {
  readonly nowMs: number
  readonly coordinator: PeerId
  readonly config: WorldConfig
  readonly stageOptions: StageMachineOptions
  readonly nodes: ReadonlyMap<PeerId, Node>
  readonly hosts: Host[]
  readonly accusations: Map<string, number>
  readonly log: string[]
  later(owner: string, run: () => void, computes?: boolean): void
  open(kind: Channel['kind'], from: string, to: string, sink: Sink, accept: (reply: () => Pipe) => Sink): Pipe
  post(pipe: Pipe, item: Item): void
  hangUp(pipe: Pipe): void
}

/** One incarnation of a node's only session. */
export class Host {
  readonly machine: StageMachine
  cache: ModelledSpan | undefined
  reservedRows = 0
  ended = false
  controlPipe: Pipe
  readonly channels = new Map<number, { pipe: Pipe; term: number }>()
  nextChannel = 1
  fenceTerm = 0
  predecessor = '' as PeerId
  computingSinceMs: number | undefined

  constructor(
    readonly world: NodeWorld,
    readonly node: Node,
    readonly historyBytes: number,
    controlPipe: Pipe
  ) {
    this.controlPipe = controlPipe
    this.machine = new StageMachine({ coordinator: world.coordinator, hiddenSize: 8, options: world.stageOptions })
  }

  /** The coordinator names a predecessor: the highest term counts. */
  fence(link: LinkEnd): void {
    if (link.term <= this.fenceTerm) return
    this.fenceTerm = link.term
    this.predecessor = link.to.kind === 'stage' ? link.to.peer : this.world.coordinator
  }

  feed(event: StageEvent): void {
    if (this.ended || this.node.host !== this) return
    const accepted = this.machine.snapshot().acceptedSeq
    for (const effect of this.machine.handle(event, this.world.nowMs)) this.#do(effect)
    this.#check(event, accepted)
  }

  #check(event: StageEvent, accepted: number): void {
    const state = this.machine.snapshot()
    const { creditSteps, creditBytes, resultBytes } = this.world.stageOptions
    assert.ok(state.queuedSteps <= creditSteps && state.queuedBytes <= creditBytes, `a queue passed its bound: ${JSON.stringify(state)}`)
    const frameBytes = Math.max(maxStepRows, replayChunkRows) * bytesPerRow
    const historyBytes = Math.max(this.historyBytes, frameBytes)
    const boundBytes = this.historyBytes > 0 ? historyBytes : Math.max(resultBytes, frameBytes)
    assert.ok(state.logBytes <= boundBytes, `a log passed its bound: ${JSON.stringify(state)}`)
    if (event.type === 'link' && state.acceptedSeq > accepted) {
      const term = this.channels.get(event.channel)?.term
      assert.equal(term, this.fenceTerm, 'data of an old term was taken')
    }
  }

  #do(effect: StageEffect): void {
    const { world, node } = this
    switch (effect.type) {
      case 'reserve':
        return world.later(node.peer, () => {
          if (node.refuse > 0) {
            node.refuse--
            this.feed({ type: 'reserveFailed', code: WireErrorCode.KvFull, message: 'full' })
          } else {
            this.reservedRows = effect.kvTokens
            this.feed({ type: 'reserved' })
          }
        })
      case 'release':
        this.reservedRows = 0
        return
      case 'respond': {
        if (effect.response.type === 'accuse')
          world.accusations.set(effect.response.code, (world.accusations.get(effect.response.code) ?? 0) + 1)
        if (effect.response.type === 'accuse' && effect.response.code === 'ERR_SKEIN_OUT_OF_ORDER') world.log.push(effect.response.message)
        const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
        world.post(this.controlPipe, { kind: 'message', message: { ...effect.response, load, turnMs: this.turnMs } as ControlResponse })
        return
      }
      case 'dial':
        return world.later(node.peer, () => this.#dial(effect.channel, effect.peer))
      case 'send': {
        const channel = this.channels.get(effect.channel)
        if (channel === undefined) return
        if (effect.message.type === 'hello') channel.term = effect.message.term
        if (effect.message.type === 'held') assert.equal(channel.term, this.fenceTerm, 'a link of an old term was answered')
        world.post(channel.pipe, { kind: 'message', message: effect.message, body: concat(effect.parts) })
        return
      }
      case 'hangUp': {
        const channel = this.channels.get(effect.channel)
        if (channel !== undefined) world.hangUp(channel.pipe)
        this.channels.delete(effect.channel)
        return
      }
      case 'compute':
        this.computingSinceMs = world.nowMs
        return world.later(node.peer, () => this.#compute(effect.job, effect.position, effect.input), true)
      case 'ended':
        this.ended = true
        world.hangUp(this.controlPipe)
        if (node.host === this) node.host = undefined
        return
    }
  }

  get turnMs(): number {
    return this.computingSinceMs === undefined ? 0 : this.world.nowMs - this.computingSinceMs
  }

  #compute(job: number, position: number, input: Uint8Array): void {
    if (this.cache === undefined) return
    this.computingSinceMs = undefined
    this.cache.keepStale = this.world.config.mutation === 'staleCache'
    let output: Uint8Array
    try {
      output = this.cache.run(position, input)
      if (this.world.config.mutation === 'appliedTwice') output = this.cache.run(Math.min(position + 1, this.cache.rows), input)
    } catch (error) {
      const code = error instanceof NotFinite ? WireErrorCode.NotFinite : WireErrorCode.Internal
      return this.feed({ type: 'computeFailed', job, code, message: String(error) })
    }
    this.feed({ type: 'computed', job, output, computeUs: 1 })
  }

  #dial(channel: number, peer: PeerId): void {
    const target = this.world.nodes.get(peer)
    if (target === undefined || !target.alive || this.ended) return this.feed({ type: 'linkClosed', channel, message: 'nobody answers' })
    const pipe = this.world.open(
      'link',
      this.node.peer,
      peer,
      (item) => this.deliver(channel, item),
      target.accept(this.node.peer, 'predecessor')
    )
    this.channels.set(channel, { pipe, term: 0 })
    this.feed({ type: 'dialed', channel })
  }

  deliver(channel: number, item: Item): void {
    if (!this.channels.has(channel)) return
    if (item.kind === 'closed') {
      this.channels.delete(channel)
      this.feed({ type: 'linkClosed', channel, message: 'closed', ended: item.ended === true })
    } else {
      this.feed({ type: 'link', channel, message: item.message as StepMessage, body: item.body })
    }
  }
}

export class Node {
  alive = true
  frozen = false
  /** The event loop lives, but the runtime does not come back. */
  hung = false
  /** Opens that are refused for want of room. */
  refuse = 0
  host: Host | undefined

  constructor(
    readonly world: NodeWorld,
    readonly peer: PeerId
  ) {}

  /** A control channel of the coordinator. */
  control(reply: () => Pipe): Sink {
    let host: Host | undefined
    return (item) => {
      if (item.kind === 'closed') return host?.feed({ type: 'controlClosed' })
      const request = item.message as ControlRequest
      if (host === undefined && request.type === 'open' && this.host === undefined) {
        host = this.host = new Host(this.world, this, request.historyBytes, reply())
        host.cache = new ModelledSpan(request.span)
        host.fence(request.predecessor)
        this.world.hosts.push(host)
      }
      if (host === undefined) {
        const id = 'id' in request ? request.id : 0
        const refused = { type: 'refused', id, code: WireErrorCode.SessionExists, message: 'exists', detail: {} } as const
        this.world.post(reply(), { kind: 'message', message: refused })
        return this.world.hangUp(reply())
      }
      if (request.type === 'reroute' && request.side === 'predecessor') host.fence(request.link)
      host.feed({ type: 'control', request })
    }
  }

  /** An incoming link; its first frame is `hello`. */
  accept(peer: PeerId, side: 'predecessor' | 'successor'): (reply: () => Pipe) => Sink {
    return (reply) => {
      let at: { host: Host; channel: number } | undefined
      let over = false
      return (item) => {
        if (at !== undefined) return at.host.deliver(at.channel, item)
        if (over || item.kind === 'closed') return
        const hello = item.message as LinkMessage
        assert.equal(hello.type, 'hello')
        if (hello.type !== 'hello') return
        const { host } = this
        if (host === undefined) {
          over = true
          this.world.post(reply(), {
            kind: 'message',
            message: { type: 'refused', code: WireErrorCode.UnknownSession, message: 'none', detail: {} }
          })
          return this.world.hangUp(reply())
        }
        at = { host, channel: host.nextChannel++ }
        host.channels.set(at.channel, { pipe: reply(), term: hello.term })
        const state = host.machine.snapshot()
        if (this.world.config.mutation === 'oldTermAccepted' && side === 'predecessor') {
          host.feed({ type: 'hello', channel: at.channel, side, peer: host.predecessor, message: { ...hello, term: state.inputTerm } })
        } else {
          host.feed({ type: 'hello', channel: at.channel, side, peer, message: hello })
        }
      }
    }
  }
}
