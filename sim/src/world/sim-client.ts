import { setMaxListeners } from 'node:events'
import { connectDefaults, type GenerationEvent, type SwarmClient } from '@skein/coordinator'
import { describeError, isSkeinError, type PeerId, type Random, type SessionId, throwIfAborted } from '@skein/protocol'
import { simulatedIdentity } from './simulated-identity.ts'
import { checkAnswer, checkFailure, firstWrongToken } from '../oracles/checks.ts'
import type { OpenGeneration } from '../record/recorder.ts'
import type { StageRecord } from '../record/run-record.ts'
import type { ClientGroup, ScenarioConversation, Workload } from '../scenario/scenario.ts'
import { draw, drawCount, drawMs } from '../workload/draw.ts'
import { drawRequest, textRandom } from '../workload/request.ts'
import { ClientGoneError, ClientLife } from './client-life.ts'
import { PeerLog } from './peer-log.ts'
import { type Asked, type SimAnswer, SimConversation } from './sim-conversation.ts'
import { bytesPerSecond } from './sim-node.ts'
import type { WorldContext } from './world-context.ts'

/** What a simulated user asks for. */
export interface SimRequest {
  /** @default a text of `promptTokens` characters, drawn from the seed; one character is one token */
  readonly prompt?: string
  /** @default 32 */
  readonly promptTokens?: number
  /** @default 16 */
  readonly outputTokens?: number
  readonly signal?: AbortSignal
}

export interface SimClientInit {
  readonly number: number
  readonly group: ClientGroup
  readonly region: string
  readonly random: Random
  /** What excuses a failure now, if anything does. */
  readonly excuse: () => string | undefined
  readonly isLiar: (node: number) => boolean
  /** Whether any node has lied. */
  readonly hasLiar: () => boolean
  /** Its process has ended without a word. */
  readonly onGone: (client: SimClient) => void
  /** Another one is about to start. */
  readonly onBack: (client: SimClient) => void
}

/** A coordinator of a simulated swarm through all its lives, with the user in front of it. */
export class SimClient {
  readonly number: number
  readonly peer: PeerId
  readonly group: ClientGroup
  readonly region: string
  readonly log: PeerLog
  readonly #context: WorldContext
  readonly #init: SimClientInit
  readonly #asking = new AbortController()
  readonly #closing = new AbortController()
  readonly #running = new Set<OpenGeneration>()
  /** Of the user, who waits for the next life of the process. */
  readonly #waiting = new Set<() => void>()
  #life: ClientLife
  #lives = 0
  #thawedMs = -Infinity
  #link: { readonly upBytesPerSecond: number; readonly downBytesPerSecond: number } | undefined

  constructor(context: WorldContext, init: SimClientInit) {
    this.#context = context
    this.#init = init
    this.number = init.number
    this.group = init.group
    this.region = init.region
    this.peer = simulatedIdentity(`${context.scenario.name} client ${init.number}`).peerId
    // A client of a large swarm waits for many things at once.
    setMaxListeners(0, this.#asking.signal, this.#closing.signal)
    this.log = new PeerLog({
      nowMs: () => context.clock.monotonicMs(),
      onError: (text) => context.violated('error-log', `client ${init.number} logged an error: ${text}`, [this.peer])
    })
    this.#life = this.#begin()
  }

  /** The production client, once it has joined the swarm. */
  get swarm(): Promise<SwarmClient> {
    return this.#life.swarm
  }

  /** The process runs. */
  get isUp(): boolean {
    return !this.#life.isOver
  }

  /** How often its process has been started: the number of the present life, or of the last one. */
  get life(): number {
    return this.#lives
  }

  /** The process stands still. */
  get isFrozen(): boolean {
    return this.#life.isFrozen
  }

  /** The peers of the nodes that it would choose from now; none before it has joined, and while it can choose none. */
  async map(): Promise<PeerId[]> {
    const { joined, isOver, isFrozen } = this.#life
    if (joined === undefined || isOver || isFrozen || this.#closing.signal.aborted) return []
    const { nodes } = await joined.status({ refresh: false })
    return nodes.map(({ peerId }) => peerId)
  }

  /** As kill -9 (`process`), or as when the power goes (`host`). What was being answered ends unfinished: nobody is left to read it. */
  crash(how: 'process' | 'host' = 'process'): void {
    if (this.#life.isOver) return
    this.#life.end(how)
    this.#init.onGone(this)
  }

  /** Starts the process again, unless it runs: the user goes on with the workload, and knows nothing of earlier sessions. */
  start(): void {
    if (!this.#life.isOver || this.#closing.signal.aborted) return
    this.#init.onBack(this)
    this.#life = this.#begin()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    this.#life.clock.soon(() => waiting.forEach((goOn) => goOn()))
  }

  /** The process stands still until it thaws: its host goes on. */
  freeze(): void {
    this.#life.freeze(true)
  }

  thaw(): void {
    if (!this.#life.isFrozen) return
    this.#life.freeze(false)
    this.#thawedMs = this.#nowMs()
    // Who stands still waits for nothing.
    for (const generation of this.#running) this.#context.recorder.sign(generation, this.#nowMs())
  }

  /** Begins what its group's workload says. */
  startWorkload(): void {
    const { workload } = this.group
    if (workload.maxRequests === 0) return
    const run = workload.kind === 'closed' ? this.#runClosed(workload) : this.#runOpen(workload)
    run.catch((error: unknown) => {
      if (!this.#asking.signal.aborted)
        this.#context.violated('workload', `client ${this.number} failed: ${describeError(error)}`, [this.peer])
    })
  }

  /** No new requests. What is under way goes on. */
  stopAsking(): void {
    this.#asking.abort()
  }

  /** Closes the production client: everything that it holds in the swarm is freed. */
  async close(): Promise<void> {
    this.stopAsking()
    this.#closing.abort()
    await this.#life.close()
  }

  /** Asks the swarm, checks the answer against the reference, and never rejects. */
  async generate(request: SimRequest = {}): Promise<SimAnswer> {
    const { recorder, scenario, model } = this.#context
    const random = textRandom(this.#init.random, recorder.generations.length)
    const context = scenario.model.contextTokens
    const promptTokens = Math.min(request.promptTokens ?? 32, context - 1)
    const prompt = request.prompt ?? model.drawPrompt(promptTokens, random)
    const encoded = model.encode(prompt)
    const maxTokens = Math.min(request.outputTokens ?? 16, context - encoded.length)
    const record = recorder.begin(this.number, encoded.length, this.#nowMs())
    this.#running.add(record)
    const expected = await model.reference(encoded, maxTokens)
    return await this.#answer({
      ...{ record, prompt, expected },
      ask: async (onEvent) => {
        const swarm = await this.swarm
        const { signal } = request
        return swarm.generate(prompt, { raw: true, maxTokens, onEvent, ...(signal === undefined ? {} : { signal }) })
      }
    })
  }

  /** A conversation by the SDK's sessions, which opens with its first message. @param roomTokens - by default the SDK's own room */
  conversation(roomTokens?: number): SimConversation {
    const { recorder, scenario, model } = this.#context
    const life = this.#life
    return new SimConversation({
      model,
      contextTokens: scenario.model.contextTokens,
      roomTokens,
      swarm: () => life.swarm,
      alive: (promise) => life.alive(promise),
      wallMs: () => life.clock.wallMs(),
      random: () => textRandom(this.#init.random, recorder.generations.length),
      begin: (promptTokens, turn) => {
        const record = recorder.begin(this.number, promptTokens, this.#nowMs(), turn)
        this.#running.add(record)
        return record
      },
      resumed: (record, key, chain) => recorder.opened(record, key, chain, this.#nowMs()),
      keyOf: (session) => this.#keyOf(session),
      answer: (asked) => this.#answer(asked, life),
      violated: (record, text) =>
        this.#context.violated('conversation', `generation ${record.id} of client ${this.number}: ${text}`, [
          this.peer,
          ...this.#peersOf(record)
        ])
    })
  }

  /** Follows an answer that is asked for, and judges it. Never rejects. */
  async #answer(asked: Asked, life = this.#life): Promise<SimAnswer> {
    const { recorder, model } = this.#context
    const { record, prompt, stopAfter } = asked
    if (model.isReal) Object.assign(record, { prompt, text: '' })
    const tokens: number[] = []
    let text = ''
    let outcome: SimAnswer['outcome']
    let isWhole = false
    let failure: unknown
    const follow = async (): Promise<void> => {
      const generation = await asked.ask((event) => {
        this.#onEvent(record, event)
        // In the middle of the prompt, where it has several chunks.
        if (stopAfter === 0 && event.type === 'prefill-progress') void generation.cancel()
      })
      for await (const piece of generation) {
        tokens.push(...piece.tokens)
        text += piece.text
        if (model.isReal) record.text = text
        recorder.tokens(record, piece.tokens.length, this.#nowMs())
        if (stopAfter !== undefined && tokens.length >= stopAfter) void generation.cancel()
      }
      const result = await generation.result
      // An end token has no text, and so comes with no piece.
      tokens.splice(0, Infinity, ...result.tokens)
      isWhole = result.finishReason !== 'cancelled'
    }
    try {
      await life.alive(follow())
      const isStopped = stopAfter !== undefined && tokens.length >= stopAfter && !this.#closing.signal.aborted
      outcome = isWhole || isStopped ? 'completed' : 'unfinished'
    } catch (error) {
      failure = error
      const isEnded = error instanceof ClientGoneError || (this.#closing.signal.aborted && isClosing(error))
      outcome = isEnded ? 'unfinished' : 'failed'
    }
    this.#running.delete(record)
    const code = isSkeinError(failure) ? failure.code : undefined
    recorder.end(record, outcome, this.#nowMs(), outcome === 'failed' ? (code ?? 'untyped') : undefined)
    this.#context.clock.note(tokens.reduce((hash, token) => (Math.imul(hash, 31) + token) | 0, record.id) >>> 0)
    const { expected } = asked
    this.#judge(record, { tokens, expected, isWhole, failure: outcome === 'failed' ? failure : undefined })
    return { outcome, text, tokens, expected, recoveries: record.recoveries, ...(failure === undefined ? {} : { error: failure }) }
  }

  #judge(
    record: OpenGeneration,
    facts: {
      readonly tokens: readonly number[]
      readonly expected: readonly number[]
      readonly isWhole: boolean
      readonly failure: unknown
    }
  ): void {
    const { tokens, expected, isWhole, failure } = facts
    if (firstWrongToken({ tokens, expected }) >= 0) record.isWrong = true
    // Between the turns of a conversation its chain may have had stages that nobody was told of.
    const isLater = record.turn !== undefined && record.turn > 1
    const liarInChain = [...record.nodesEver].some((node) => this.#init.isLiar(node)) || (isLater && this.#init.hasLiar())
    const wrong = checkAnswer({ tokens, expected, isWhole, liarInChain, allowLies: this.#context.scenario.allowLies })
    const peers = [this.peer, ...this.#peersOf(record)]
    if (wrong !== undefined) this.#context.violated('answer', `generation ${record.id} of client ${this.number}: ${wrong}`, peers)
    if (failure === undefined) return
    const waitedMs = this.#nowMs() - record.startMs
    const thawedMsAgo = this.#nowMs() - this.#thawedMs
    const { coverageTimeoutMs: patienceMs } = connectDefaults
    const bad = checkFailure({ error: failure, excuse: this.#init.excuse(), waitedMs, patienceMs, thawedMsAgo })
    if (bad !== undefined) this.#context.violated('failure', `generation ${record.id} of client ${this.number}: ${bad}`, peers)
  }

  #peersOf(record: OpenGeneration): PeerId[] {
    return this.#context.peersOf(record.nodesEver)
  }

  #begin(): ClientLife {
    const { group, region, peer, log } = this
    const { number, random } = this.#init
    const life = this.#lives++
    return new ClientLife(this.#context, {
      ...{ peer, group, region, log, closing: this.#closing.signal },
      clock: this.#context.clock.forPeer(`client ${number}`),
      random: random.fork(life === 0 ? 'client' : `client, life ${life}`),
      // Drawn when it first joins.
      link: () =>
        (this.#link ??= {
          upBytesPerSecond: bytesPerSecond(draw(group.upMbps, random)),
          downBytesPerSecond: bytesPerSecond(draw(group.downMbps, random))
        }),
      onEnds: (ms) => this.#onEnds(ms),
      onRefused: () => {
        for (const generation of this.#running) this.#context.recorder.sign(generation, this.#nowMs())
      }
    })
  }

  /** The user waits, and in any case until the process runs. @throws AbortedError when no new requests are to come */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#asking
    const life = this.#life
    if (!life.isOver) {
      try {
        await life.alive(life.clock.sleep(ms, { signal }))
        return
      } catch (error) {
        if (!(error instanceof ClientGoneError)) throw error
      }
    }
    while (this.#life.isOver) await new Promise<void>((resolve) => this.#waiting.add(resolve))
    throwIfAborted(signal)
  }

  async #runClosed(workload: Extract<ClientGroup['workload'], { kind: 'closed' }>): Promise<void> {
    const random = this.#init.random.fork('workload')
    await this.#pause(drawMs(workload.startMs, random))
    for (let request = 0; request < workload.maxRequests; request++) {
      await this.#request(workload, random, request)
      await this.#pause(drawMs(workload.thinkMs, random))
    }
  }

  async #runOpen(workload: Extract<ClientGroup['workload'], { kind: 'open' }>): Promise<void> {
    const random = this.#init.random.fork('workload')
    for (let request = 0; request < workload.maxRequests; request++) {
      await this.#pause(drawMs(workload.interArrivalMs, random))
      void this.#request(workload, random, request)
    }
  }

  /** What comes of one request: an answer, or a conversation. Never rejects. */
  async #request(workload: Workload, random: Random, number: number): Promise<void> {
    const { contextTokens } = this.#context.scenario.model
    const { conversation } = workload
    if (conversation === undefined) await this.generate(drawRequest(workload, contextTokens, random))
    else await this.#converse(workload, conversation, random.fork(`conversation ${number}`))
  }

  /** Messages one after another, until the user has said all, the room is used up, no new requests are to come, or the process has ended. */
  async #converse(workload: Workload, { turns, thinkMs, stopShare, roomTokens }: ScenarioConversation, random: Random): Promise<void> {
    const { contextTokens } = this.#context.scenario.model
    const { signal } = this.#asking
    const life = this.#life
    const conversation = this.conversation(roomTokens)
    try {
      for (let left = drawCount(turns, random, 1); left > 0; left--) {
        const lengths = drawRequest(workload, contextTokens, random)
        const stopAfter = random.float() < stopShare ? random.below(lengths.outputTokens) : undefined
        const answer = await conversation.send({ ...lengths, ...(stopAfter === undefined ? {} : { stopAfter }) })
        if (answer === undefined || left === 1 || life.isOver) break
        await life.alive(life.clock.sleep(drawMs(thinkMs, random), { signal }))
      }
    } catch (error) {
      if (!signal.aborted && !(error instanceof ClientGoneError))
        this.#context.violated('workload', `client ${this.number} failed: ${describeError(error)}`, [this.peer])
    } finally {
      await conversation.close()
    }
  }

  #onEvent(record: OpenGeneration, event: GenerationEvent): void {
    const { recorder } = this.#context
    const nowMs = this.#nowMs()
    const generation = record.id
    switch (event.type) {
      case 'chain-opened':
        recorder.opened(record, this.#keyOf(event.session), this.#stages(event.chain), nowMs)
        break
      case 'recovery-started':
        recorder.recovering(record, nowMs)
        this.#context.happened({ kind: 'recovering', generation, text: `generation ${generation} lost a stage: ${event.message}` })
        break
      case 'recovery-finished':
        recorder.recovered(record, this.#stages(event.chain), nowMs)
        this.#context.happened({
          kind: 'recovered',
          generation,
          text: `generation ${generation} goes on after ${Math.round(event.tookMs)} ms`
        })
        break
      case 'waiting-for-coverage': {
        const blocks = event.uncoveredBlocks.map(({ start, end }) => `${start}:${end}`).join(', ')
        this.#context.happened({ kind: 'uncovered', generation, text: `generation ${generation} waits for blocks ${blocks}` })
        break
      }
      case 'prefill-progress':
        recorder.sign(record, nowMs)
        break
    }
  }

  #keyOf(session: SessionId): string {
    return `${this.peer}/${session}`
  }

  #onEnds(ms: number): void {
    // With several generations at once it cannot be told which it was for; it then shows as waiting.
    if (this.#running.size !== 1) return
    for (const record of this.#running) this.#context.recorder.ends(record, ms, this.#nowMs())
  }

  #stages(chain: ReadonlyArray<{ readonly peerId: PeerId; readonly start: number; readonly end: number }>): StageRecord[] {
    return chain.map(({ peerId, start, end }) => ({ node: this.#context.nodeOf(peerId) ?? -1, start, end }))
  }

  #nowMs(): number {
    return this.#context.clock.monotonicMs()
  }
}

function isClosing(error: unknown): boolean {
  return isSkeinError(error) && ['ERR_SKEIN_ABORTED', 'ERR_SKEIN_SESSION_CLOSED', 'ERR_SKEIN_INVALID_ARGUMENT'].includes(error.code)
}
