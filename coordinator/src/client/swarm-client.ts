import {
  type BlockRange,
  type Clock,
  describeError,
  InvalidArgumentError,
  limits,
  type Logger,
  type ModelId,
  type Network,
  type Numerics,
  parseSessionId,
  type PeerId,
  raceAbort,
  type Random,
  rowBytes,
  seededRandom,
  type TensorEncoding,
  throwIfAborted,
  WireErrorCode
} from '@skein/protocol'
import type { SwarmMap } from '../directory/swarm-map.ts'
import { ChainSession, type StageChoice } from '../session/chain-session.ts'
import { SessionClosedError, SessionError } from '../session/errors.ts'
import type { SessionEvent, StepOutput, TokenSession } from '../session/token-session.ts'
import type { ChatMessage } from '../text/chat-message.ts'
import type { ChatTemplate } from '../text/chat-template.ts'
import type { GenerationDefaults } from '../text/generation-defaults.ts'
import { resolveSampling } from '../text/sampling/options.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { CachedChatSession } from './chat-session.ts'
import {
  checkedLogprobs,
  checkedStops,
  requireForward,
  requireGenerateOptions,
  requirePrompt,
  requireSessionOptions,
  requireStatusOptions
} from './check-options.ts'
import { NoCoverageError, requireThatItCanFit } from './coverage.ts'
import { GenerationRun, type SessionLease } from './generation.ts'
import { KeptSession } from './kept-session.ts'
import {
  type ChatSession,
  type ConnectOptions,
  type connectDefaults,
  conversationTokens,
  type ForwardOptions,
  type ForwardResult,
  generateDefaults,
  type GenerateOptions,
  type Generation,
  type NodeStatus,
  type SessionOptions,
  type StatusOptions,
  type SwarmClient,
  type SwarmStatus
} from './types.ts'

/** The two ends of the model, computed off the event loop. Rows are in the encoding that the client's sessions have. */
export interface ClientEnds {
  /** `[tokens, hiddenSize]` */
  embed(tokens: readonly number[]): Promise<Uint8Array>
  /** Logits f32 `[rows, vocabSize]` of the last block's output, `[rows, hiddenSize]`. */
  logits(body: Uint8Array, rows: number): Promise<Float32Array>
  stop(): Promise<void>
}

export interface SwarmClientComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly network: Network
  readonly swarm: SwarmMap
  readonly ends: ClientEnds
  readonly tokenizer: Tokenizer
  readonly chatTemplate: ChatTemplate
  readonly generation: GenerationDefaults
  /** Stops what was started for the client, besides the ends and the network. */
  readonly onClose: () => Promise<void>
  /** Called when everything has stopped. */
  readonly onClosed: () => Promise<void>
}

type Connection = Pick<ConnectOptions, 'transport' | 'exact' | 'coverageTimeoutMs' | 'prefillChunkTokens'>

export interface SwarmClientInit extends Required<Pick<Connection, keyof typeof connectDefaults & keyof Connection>> {
  readonly model: ModelId
  /** How rows travel; `raw` is for the simulator. */
  readonly encoding: TensorEncoding
  readonly blocks: number
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly contextTokens: number
}

type OnEvent = (event: SessionEvent) => void

interface Conversation {
  readonly session: TokenSession
  /** Its room. */
  readonly tokens: number
}

interface Opening {
  readonly kvTokens: number
  /** Until when it waits for nodes. */
  readonly untilMs: number
  /** Whether it waits for room on those that there are, too. */
  readonly waitsForRoom: boolean
  readonly signal: AbortSignal | undefined
  readonly onEvent: OnEvent
}

/** With less there is no point in a conversation. */
const leastConversationTokens = 256
/** Between two looks at the swarm while blocks are uncovered, or nodes full: half to one and a half of it, so that two who want the same nodes do not meet again. */
const lookAgainMs = 500

/** Why a chain may fail to open now and open soon: nodes go, are full for the moment, or were gone before the map said so. */
const passing: ReadonlySet<string> = new Set<SessionError['code']>([
  'ERR_SKEIN_NO_COVERAGE',
  WireErrorCode.Busy,
  WireErrorCode.Draining,
  WireErrorCode.PeerUnreachable
])

/** A client on its parts; {@link connect} makes them. */
export class ConnectedClient implements SwarmClient {
  readonly #components: SwarmClientComponents
  readonly #init: SwarmClientInit
  readonly #open = new Set<TokenSession>()
  readonly #generations = new Set<Generation>()
  readonly #shutdown = new AbortController()
  #closed: Promise<void> | undefined

  constructor(components: SwarmClientComponents, init: SwarmClientInit) {
    this.#components = components
    this.#init = init
  }

  get model(): ModelId {
    return this.#init.model
  }

  get peerId(): PeerId {
    return this.#components.network.self
  }

  generate(prompt: string | readonly ChatMessage[], options: GenerateOptions = {}): Generation {
    const promptTokens = this.#encodePrompt(prompt, options)
    const maxTokens = this.#maxTokens(options, promptTokens.length, this.#init.contextTokens)
    return this.#generate(promptTokens, 0, maxTokens, options, async (signal, onEvent) => {
      // The last token is never sent on.
      const session = await this.#openSession(promptTokens.length + maxTokens - 1, signal, onEvent)
      return { session, release: () => this.#closeSession(session) }
    })
  }

  async session(options: SessionOptions = {}): Promise<ChatSession> {
    this.#requireOpen()
    requireSessionOptions(options)
    const asked = options.maxContextTokens
    let room = 0
    const session = await KeptSession.open(
      {
        reopen: (signal, onEvent) => this.#openSession(room, signal, onEvent),
        close: (lost) => this.#closeSession(lost)
      },
      async (onEvent) => {
        const opened =
          asked === undefined
            ? await this.#openRoomySession(options.signal, onEvent)
            : await this.#openWith(Math.min(asked, this.#init.contextTokens), options.signal, onEvent)
        room = opened.tokens
        return opened.session
      }
    )
    return new CachedChatSession(
      {
        session,
        maxContextTokens: room,
        encode: (messages, generateOptions) => this.#encodePrompt(messages, generateOptions),
        generate: (promptTokens, cachedTokens, generateOptions) => {
          const maxTokens = this.#maxTokens(generateOptions, promptTokens.length, room)
          return this.#generate(promptTokens, cachedTokens, maxTokens, generateOptions, (signal, onEvent) =>
            session.acquire(signal, onEvent)
          )
        }
      },
      options.system
    )
  }

  async forward(tokens: readonly number[], options: ForwardOptions = {}): Promise<ForwardResult> {
    const { vocabSize, prefillChunkTokens } = this.#init
    this.#requireOpen()
    requireForward(tokens, options, this.#init)
    const session = await this.#openSession(tokens.length, options.signal, () => {})
    try {
      const want = options.rows === 'last' ? 'none' : 'all'
      const steps: Promise<StepOutput>[] = []
      for (let position = 0; position < tokens.length; position += prefillChunkTokens) {
        const chunk = tokens.slice(position, position + prefillChunkTokens)
        const last = position + chunk.length === tokens.length
        const step = session.step(chunk, position, last && want === 'none' ? 'last' : want)
        step.catch(() => {})
        steps.push(step)
      }
      const outputs = await raceAbort(Promise.all(steps), options.signal)
      const rows = outputs.reduce((sum, output) => sum + output.rows, 0)
      const logits = new Float32Array(rows * vocabSize)
      let done = 0
      for (const output of outputs) {
        if (output.rows === 0) continue
        logits.set(await this.#components.ends.logits(output.body, output.rows), done * vocabSize)
        done += output.rows
      }
      return { logits, rows, vocabSize }
    } finally {
      await this.#closeSession(session)
    }
  }

  async status(options: StatusOptions = {}): Promise<SwarmStatus> {
    const { swarm, network } = this.#components
    this.#requireOpen()
    requireStatusOptions(options)
    let answers: ReadonlyMap<PeerId, boolean> = new Map()
    if (options.refresh !== false) {
      await swarm.refresh(options)
      ;[answers] = await Promise.all([swarm.askLoads({ ...options, patient: true }), swarm.measureRoundTrips(options)])
      // Who was not waited for is not silent.
      throwIfAborted(options.signal)
    }
    const nodes = swarm.records().map(({ announcement }): NodeStatus => {
      const { peer, span, state, numerics, stepMs, kvTokens, addresses } = announcement
      const load = swarm.load(peer)
      return {
        peerId: peer,
        start: span.start,
        end: span.end,
        state,
        hasAnswered: answers.get(peer),
        numerics,
        stepMs,
        roundTripMs: network.path(peer)?.roundTripMs,
        kvTokens,
        freeKvTokens: load?.freeKvTokens,
        sessions: load?.sessions,
        addresses
      }
    })
    nodes.sort((a, b) => a.start - b.start || a.end - b.end || (a.peerId < b.peerId ? -1 : 1))
    return {
      model: this.#init.model,
      blocks: this.#init.blocks,
      nodes: nodes.filter(({ state }) => state !== 'offline'),
      // A record outlives its node by minutes.
      uncoveredBlocks: swarm.uncovered(new Set([...answers].filter(([, hasAnswered]) => !hasAnswered).map(([peer]) => peer)))
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#shutdown.abort()
    await Promise.all([...this.#generations].map((generation) => generation.cancel()))
    await Promise.all([...this.#open].map((session) => this.#closeSession(session)))
    await this.#components.onClose()
    await this.#components.ends.stop()
    await this.#components.network.stop()
    await this.#components.onClosed()
  }

  #generate(
    promptTokens: readonly number[],
    cachedTokens: number,
    maxTokens: number,
    options: GenerateOptions,
    acquire: (signal: AbortSignal, onEvent: (event: SessionEvent) => void) => Promise<SessionLease>
  ): Generation {
    this.#requireOpen()
    const { clock, logger, tokenizer, random, ends, generation } = this.#components
    const sampling = resolveSampling(options, generation.sampling, this.#init.vocabSize)
    const run = new GenerationRun(
      {
        clock,
        logger,
        tokenizer,
        random: sampling.seed === undefined ? random : seededRandom(sampling.seed),
        logits: (body, rows) => ends.logits(body, rows)
      },
      {
        promptTokens,
        cachedTokens,
        maxTokens,
        sampling,
        eosTokenIds: generation.eosTokenIds,
        stops: checkedStops(options.stop),
        topLogprobs: checkedLogprobs(options.logprobs),
        prefillChunkTokens: this.#init.prefillChunkTokens,
        options,
        acquire
      }
    )
    this.#generations.add(run)
    const forget = (): void => void this.#generations.delete(run)
    run.result.then(forget, forget)
    return run
  }

  #encodePrompt(prompt: string | readonly ChatMessage[], options: GenerateOptions): number[] {
    const { tokenizer, chatTemplate, clock } = this.#components
    requirePrompt(prompt)
    requireGenerateOptions(options)
    if (typeof prompt === 'string' && options.raw === true) return nonEmpty(tokenizer.encode(prompt, { addSpecialTokens: true }))
    const messages: readonly ChatMessage[] = typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt
    const text = chatTemplate.render(messages, { nowMs: clock.wallMs(), ...(options.tools === undefined ? {} : { tools: options.tools }) })
    return nonEmpty(tokenizer.encode(text, { addSpecialTokens: false }))
  }

  /** How many tokens may be generated; says the numbers when the prompt leaves no room. */
  #maxTokens(options: GenerateOptions, promptTokens: number, roomTokens: number): number {
    const left = roomTokens - promptTokens
    if (left < 1) {
      throw new InvalidArgumentError(
        `the prompt has ${promptTokens} tokens, and the context has ${roomTokens}: no room is left for an answer`,
        { detail: { promptTokens, contextTokens: roomTokens } }
      )
    }
    return Math.min(options.maxTokens ?? generateDefaults.maxTokens, left)
  }

  async #openWith(tokens: number, signal: AbortSignal | undefined, onEvent: OnEvent, waitsForRoom = true): Promise<Conversation> {
    return { tokens, session: await this.#openSession(tokens, signal, onEvent, waitsForRoom) }
  }

  /** Opens a session with the room that a conversation should have, or what of it the nodes have left. */
  async #openRoomySession(signal: AbortSignal | undefined, onEvent: OnEvent): Promise<Conversation> {
    const { blocks, contextTokens, coverageTimeoutMs } = this.#init
    const { clock, swarm } = this.#components
    const span = { start: 0, end: blocks }
    const least = Math.min(contextTokens, leastConversationTokens)
    await this.#planWhenCovered({ kvTokens: least, untilMs: clock.monotonicMs() + coverageTimeoutMs, waitsForRoom: true, signal, onEvent })
    const hasRoom = (kvTokens: number): boolean => swarm.plan({ span, kvTokens }).kind === 'chain'
    const most = Math.min(contextTokens, conversationTokens)
    // The last word of a node may be of a time when a session was open that is closed.
    if (!hasRoom(most)) await swarm.askLoads(signal === undefined ? {} : { signal })
    for (let tokens = most; ; tokens = Math.max(least, Math.ceil(tokens / 2))) {
      if (tokens > least && !hasRoom(tokens)) continue
      try {
        return await this.#openWith(tokens, signal, onEvent, tokens === least)
      } catch (error) {
        // What a node has left is known for sure only when it is asked for it.
        if (tokens <= least || !isFull(error)) throw error
      }
    }
  }

  /** Opens a chain. The map may be behind: while nodes that it shows refuse or are gone, it waits for others as for coverage. */
  async #openSession(kvTokens: number, signal: AbortSignal | undefined, onEvent: OnEvent, waitsForRoom = true): Promise<TokenSession> {
    const { clock, swarm, logger } = this.#components
    const startMs = clock.monotonicMs()
    const untilMs = startMs + this.#init.coverageTimeoutMs
    for (;;) {
      try {
        return await this.#openOnce({ kvTokens, untilMs, waitsForRoom, signal, onEvent })
      } catch (error) {
        if (!(error instanceof SessionError) || !(passing.has(error.code) || (waitsForRoom && this.#mayFit(error, kvTokens)))) throw error
        const waitedMs = clock.monotonicMs() - startMs
        if (clock.monotonicMs() >= untilMs) throw error.code === 'ERR_SKEIN_NO_COVERAGE' ? this.#uncovered(error, waitedMs) : error
        logger.debug('no chain could be opened yet', { reason: describeError(error) })
      }
      await this.#lookAgain(signal)
      await swarm.refresh(signal === undefined ? {} : { signal })
    }
  }

  async #lookAgain(signal: AbortSignal | undefined): Promise<void> {
    const { clock, random } = this.#components
    await clock.sleep(lookAgainMs * (0.5 + random.float()), { signal: signal ?? this.#shutdown.signal })
    this.#requireNotClosed()
  }

  /** Whether a node refused for want of room that it has when others have gone: the map did not know yet that they came first. */
  #mayFit({ code, detail }: SessionError, kvTokens: number): boolean {
    if (code === WireErrorCode.KvFull) return true
    if (code !== WireErrorCode.HistoryFull) return false
    const { encoding, hiddenSize } = this.#init
    const refused = this.#components.swarm.records().find(({ announcement }) => announcement.peer === detail['peer'])
    return (refused?.announcement.historyBytes ?? 0) >= kvTokens * rowBytes(encoding, hiddenSize)
  }

  /** Nodes that the map shows were asked, and none answers. */
  #uncovered(error: SessionError, waitedMs: number): NoCoverageError {
    const { start = 0, end = this.#init.blocks } = error.detail as Partial<BlockRange>
    return new NoCoverageError(this.#init.model, [{ start, end }], 'silent', waitedMs)
  }

  async #openOnce(opening: Opening): Promise<TokenSession> {
    this.#requireNotClosed()
    const { kvTokens, signal, onEvent } = opening
    const { clock, random, logger, network, swarm, ends } = this.#components
    const { model, blocks, hiddenSize, encoding, exact, transport, coverageTimeoutMs } = this.#init
    const plan = await this.#planWhenCovered(opening)
    const id = parseSessionId(Array.from(random.bytes(16), (byte) => byte.toString(16).padStart(2, '0')).join(''))
    const chooseStages = async (part: BlockRange, exclude: readonly PeerId[], numerics: Numerics | undefined): Promise<StageChoice> => {
      await swarm.refresh()
      let choice = swarm.plan({ span: part, kvTokens, exclude, ...(numerics === undefined ? {} : { numerics }) })
      // Other kernels change the last bits, and with them a token here and there; that is better than an end, unless the
      // caller wants every bit.
      if (choice.kind === 'uncovered' && numerics !== undefined && !exact) choice = swarm.plan({ span: part, kvTokens, exclude })
      return choice.kind === 'chain' ? { kind: 'stages', stages: choice.stages } : { kind: 'uncovered', blocks: choice.blocks }
    }
    let isCounted = false
    const session = await ChainSession.open(
      {
        clock,
        logger: logger.child({ session: id }),
        network,
        embed: (tokens) => ends.embed(tokens),
        chooseStages,
        onPeerFailed: (peer) => swarm.noteFailure(peer),
        onLoad: (peer, load) => swarm.noteLoad(peer, load),
        onEvent
      },
      {
        ...{ coordinator: network.self, session: id, model, totalBlocks: blocks, hiddenSize, exact, encoding, kvTokens, transport },
        sharesConnections: () => this.#open.size > (isCounted ? 1 : 0),
        options: { coverageWaitMs: coverageTimeoutMs }
      },
      plan.stages,
      signal === undefined ? {} : { signal }
    )
    this.#open.add(session)
    isCounted = true
    if (this.#closed !== undefined) await this.#closeSession(session)
    this.#requireNotClosed()
    return session
  }

  async #closeSession(session: TokenSession): Promise<void> {
    await session.close()
    this.#open.delete(session)
  }

  /** A chain by the present map; where there is none, waits for one as long as was agreed on. */
  async #planWhenCovered({
    kvTokens,
    untilMs,
    waitsForRoom,
    signal,
    onEvent
  }: Opening): Promise<Extract<ReturnType<SwarmMap['plan']>, { kind: 'chain' }>> {
    const span = { start: 0, end: this.#init.blocks }
    const { clock, swarm } = this.#components
    const startMs = clock.monotonicMs()
    for (let told = false; ;) {
      const plan = swarm.plan({ span, kvTokens })
      if (plan.kind === 'chain') return plan
      if (!told) onEvent({ type: 'uncovered', blocks: plan.blocks })
      told = true
      const nowMs = clock.monotonicMs()
      if (plan.reason === 'no-room') requireThatItCanFit(swarm, kvTokens, plan.blocks)
      const isTooLate = nowMs >= untilMs || (plan.reason === 'no-room' && !waitsForRoom)
      if (isTooLate) throw new NoCoverageError(this.#init.model, plan.blocks, plan.reason, nowMs - startMs)
      const options = signal === undefined ? {} : { signal }
      await swarm.refresh(options)
      // Room that was given back is told by nobody: it is asked for.
      if (plan.reason === 'no-room') await swarm.askLoads(options)
      await this.#lookAgain(signal)
    }
  }

  /** @throws SessionClosedError when the client was closed meanwhile: who waits for nodes is not among what `close` ends */
  #requireNotClosed(): void {
    if (this.#closed !== undefined) throw new SessionClosedError()
  }

  #requireOpen(): void {
    if (this.#closed !== undefined) throw new InvalidArgumentError('the client is closed')
  }
}

function isFull(error: unknown): boolean {
  if (error instanceof NoCoverageError) return error.detail['reason'] === 'no-room'
  return error instanceof SessionError && (error.code === WireErrorCode.KvFull || error.code === WireErrorCode.HistoryFull)
}

function nonEmpty(tokens: number[]): number[] {
  if (tokens.length === 0) throw new InvalidArgumentError('the prompt is empty')
  if (tokens.length > limits.maxContextTokens) throw new InvalidArgumentError('the prompt is longer than any context')
  return tokens
}
