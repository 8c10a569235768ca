import { setMaxListeners } from 'node:events'
import { connectDefaults, type GenerationEvent, joinSwarm, type SwarmClient } from '@skein/coordinator'
import { describeError, isSkeinError, type PeerId, type Random, type SessionId } from '@skein/protocol'
import { simulatedIdentity } from './simulated-identity.ts'
import { TimedEnds } from '../compute/timed-ends.ts'
import type { PeerClock } from '../kernel/peer-clock.ts'
import { virtualAddress } from '../net/virtual-host.ts'
import { checkAnswer, checkFailure, firstWrongToken } from '../oracles/checks.ts'
import type { OpenGeneration } from '../record/recorder.ts'
import type { StageRecord } from '../record/run-record.ts'
import type { ClientGroup, ScenarioConversation, Workload } from '../scenario/scenario.ts'
import { draw, drawCount, drawMs } from '../workload/draw.ts'
import { drawRequest, textRandom } from '../workload/request.ts'
import { peerHost } from './peer-host.ts'
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
}

/** After a connection that failed, a user tries again. */
const connectAgainMs = 2_000

/** A coordinator of a simulated swarm, with the user in front of it. */
export class SimClient {
  readonly number: number
  readonly peer: PeerId
  readonly group: ClientGroup
  readonly region: string
  readonly log: PeerLog
  readonly #context: WorldContext
  readonly #init: SimClientInit
  readonly #clock: PeerClock
  readonly #asking = new AbortController()
  readonly #closing = new AbortController()
  #joined: SwarmClient | undefined
  readonly #running = new Set<OpenGeneration>()
  #client: Promise<SwarmClient> | undefined

  constructor(context: WorldContext, init: SimClientInit) {
    this.#context = context
    this.#init = init
    this.number = init.number
    this.group = init.group
    this.region = init.region
    this.peer = simulatedIdentity(`${context.scenario.name} client ${init.number}`).peerId
    this.#clock = context.clock.forPeer(`client ${init.number}`)
    // A client of a large swarm waits for many things at once.
    setMaxListeners(0, this.#asking.signal, this.#closing.signal)
    this.log = new PeerLog({
      nowMs: () => context.clock.monotonicMs(),
      onError: (text) => context.violated('error-log', `client ${init.number} logged an error: ${text}`, [this.peer])
    })
  }

  /** The production client, once it has joined the swarm. */
  get swarm(): Promise<SwarmClient> {
    this.#client ??= this.#connect()
    return this.#client
  }

  /** The peers of the nodes that it would choose from now; none before it has joined. */
  async map(): Promise<PeerId[]> {
    if (this.#joined === undefined || this.#closing.signal.aborted) return []
    const { nodes } = await this.#joined.status({ refresh: false })
    return nodes.map(({ peerId }) => peerId)
  }

  /** Begins what its group's workload says. */
  start(): void {
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
    const client = this.#client
    if (client === undefined) return
    await client.then(
      (swarm) => swarm.close(),
      () => {}
    )
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
    return new SimConversation({
      model,
      contextTokens: scenario.model.contextTokens,
      roomTokens,
      swarm: () => this.swarm,
      wallMs: () => this.#clock.wallMs(),
      random: () => textRandom(this.#init.random, recorder.generations.length),
      begin: (promptTokens, turn) => {
        const record = recorder.begin(this.number, promptTokens, this.#nowMs(), turn)
        this.#running.add(record)
        return record
      },
      resumed: (record, key, chain) => recorder.opened(record, key, chain, this.#nowMs()),
      keyOf: (session) => this.#keyOf(session),
      answer: (asked) => this.#answer(asked),
      violated: (record, text) =>
        this.#context.violated('conversation', `generation ${record.id} of client ${this.number}: ${text}`, [
          this.peer,
          ...this.#peersOf(record)
        ])
    })
  }

  /** Follows an answer that is asked for, and judges it. Never rejects. */
  async #answer(asked: Asked): Promise<SimAnswer> {
    const { recorder, model } = this.#context
    const { record, prompt, stopAfter } = asked
    if (model.isReal) Object.assign(record, { prompt, text: '' })
    const tokens: number[] = []
    let text = ''
    let outcome: SimAnswer['outcome']
    let isWhole = false
    let failure: unknown
    try {
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
      const isStopped = stopAfter !== undefined && tokens.length >= stopAfter && !this.#closing.signal.aborted
      outcome = isWhole || isStopped ? 'completed' : 'unfinished'
    } catch (error) {
      failure = error
      outcome = this.#closing.signal.aborted && isClosing(error) ? 'unfinished' : 'failed'
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
    const { coverageTimeoutMs: patienceMs } = connectDefaults
    const bad = checkFailure({ error: failure, excuse: this.#init.excuse(), waitedMs, patienceMs })
    if (bad !== undefined) this.#context.violated('failure', `generation ${record.id} of client ${this.number}: ${bad}`, peers)
  }

  #peersOf(record: OpenGeneration): PeerId[] {
    return this.#context.peersOf(record.nodesEver)
  }

  async #connect(): Promise<SwarmClient> {
    const { internet, scenario, model, reader } = this.#context
    const { group, region, peer } = this
    const clock = this.#clock
    const joined = internet.join({
      peer,
      region,
      upBytesPerSecond: bytesPerSecond(draw(group.upMbps, this.#init.random)),
      downBytesPerSecond: bytesPerSecond(draw(group.downMbps, this.#init.random)),
      nat: group.nat,
      incarnation: clock
    })
    const { network, compute } = peerHost(this.#context, group, clock, joined)
    const random = this.#init.random.fork('client')
    const ends = new TimedEnds(model.ends, {
      clock,
      random,
      model: scenario.model,
      device: group.device,
      compute,
      onSpent: (ms) => this.#onEnds(ms)
    })
    const { blocks, hiddenSize, contextTokens } = scenario.model
    const { connectTimeoutMs, coverageTimeoutMs, prefillChunkTokens } = connectDefaults
    for (let attempt = 0; ; attempt++) {
      const contacts = this.#context.contacts(peer, random.fork(`contacts ${attempt}`))
      for (const contact of contacts) network.learn({ peer: contact, addresses: [virtualAddress(contact)], source: 'trusted' })
      try {
        this.#joined = await joinSwarm(
          { clock, random, logger: this.log.logger, network, reader, ends, text: model.text },
          {
            model: model.id,
            config: { blocks, hiddenSize, vocabSize: model.vocabSize, contextTokens },
            encoding: model.encoding,
            contacts,
            transport: group.transport,
            exact: model.exact,
            connectTimeoutMs,
            coverageTimeoutMs,
            prefillChunkTokens,
            signal: this.#closing.signal
          }
        )
        return this.#joined
      } catch (error) {
        if (this.#closing.signal.aborted) throw error
        this.log.logger.debug('could not join the swarm', { reason: describeError(error) })
        // Production told its user so in time; that somebody tries again until there is a swarm is the simulator's doing.
        for (const generation of this.#running) this.#context.recorder.sign(generation, this.#nowMs())
        await clock.sleep(connectAgainMs, { signal: this.#closing.signal })
      }
    }
  }

  async #runClosed(workload: Extract<ClientGroup['workload'], { kind: 'closed' }>): Promise<void> {
    const random = this.#init.random.fork('workload')
    const { signal } = this.#asking
    await this.#clock.sleep(drawMs(workload.startMs, random), { signal })
    for (let request = 0; request < workload.maxRequests; request++) {
      await this.#request(workload, random, request)
      await this.#clock.sleep(drawMs(workload.thinkMs, random), { signal })
    }
  }

  async #runOpen(workload: Extract<ClientGroup['workload'], { kind: 'open' }>): Promise<void> {
    const random = this.#init.random.fork('workload')
    for (let request = 0; request < workload.maxRequests; request++) {
      await this.#clock.sleep(drawMs(workload.interArrivalMs, random), { signal: this.#asking.signal })
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

  /** Messages one after another, until the user has said all, the room is used up, or no new requests are to come. */
  async #converse(workload: Workload, { turns, thinkMs, stopShare, roomTokens }: ScenarioConversation, random: Random): Promise<void> {
    const { contextTokens } = this.#context.scenario.model
    const { signal } = this.#asking
    const conversation = this.conversation(roomTokens)
    try {
      for (let left = drawCount(turns, random, 1); left > 0; left--) {
        const lengths = drawRequest(workload, contextTokens, random)
        const stopAfter = random.float() < stopShare ? random.below(lengths.outputTokens) : undefined
        const answer = await conversation.send({ ...lengths, ...(stopAfter === undefined ? {} : { stopAfter }) })
        if (answer === undefined || left === 1) break
        await this.#clock.sleep(drawMs(thinkMs, random), { signal })
      }
    } catch (error) {
      if (!signal.aborted) this.#context.violated('workload', `client ${this.number} failed: ${describeError(error)}`, [this.peer])
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
