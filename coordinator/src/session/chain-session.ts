import {
  type AbortOptions,
  type BlockRange,
  type Channel,
  channelLimits,
  ChannelWriter,
  type Clock,
  copyParts,
  decodeControlResponse,
  describeError,
  linger,
  encodeControl,
  limits,
  LinkChannels,
  type Logger,
  MachineDriver,
  type Network,
  type NodeLoad,
  type Numerics,
  type PeerId,
  protocols,
  raceAbort,
  readUntilEnd,
  rowBytes,
  type SessionId,
  throwIfAborted,
  type Want,
  merged
} from '@skein/protocol'
import pDefer from 'p-defer'
import type {
  ChainDialEffect,
  ChainEffect,
  ChainEvent,
  ChainSendEffect,
  ChainStage,
  ChosenStage,
  FindReplacementEffect,
  ResultEffect
} from './chain-events.ts'
import { ChainMachine, type ChainMachineInit } from './chain-machine.ts'
import { SessionClosedError, SessionError } from './errors.ts'
import type { SessionEvent, SessionStage, StepOutput, TokenSession } from './token-session.ts'

/** Nodes for a span, or the blocks of it that nobody can take now. */
export type StageChoice =
  | { readonly kind: 'stages'; readonly stages: readonly ChosenStage[] }
  | { readonly kind: 'uncovered'; readonly blocks: readonly BlockRange[] }

export interface ChainSessionComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly network: Network
  /** Embeddings of tokens, `[tokens, hiddenSize]` in the session's encoding. */
  readonly embed: (tokens: readonly number[]) => Promise<Uint8Array>
  /**
   * Chooses nodes for a span from the present map of the swarm, of the same numerics as what they replace where that is
   * given. Called again when they refuse or are lost.
   */
  readonly chooseStages: (span: BlockRange, exclude: readonly PeerId[], numerics: Numerics | undefined) => Promise<StageChoice>
  /** A peer has failed in this session: routing should think worse of it for a while. */
  readonly onPeerFailed?: (peer: PeerId) => void
  /** A stage's word on its node's load. */
  readonly onLoad?: (peer: PeerId, load: NodeLoad) => void
  readonly onEvent?: (event: SessionEvent) => void
}

export interface ChainSessionInit extends ChainMachineInit {
  /** How long the dial of a stage may take. @default 10_000 */
  readonly dialTimeoutMs?: number
  /** Whether this client has other sessions now, whose prompts may be on their way over the same connections. @default it has none */
  readonly sharesConnections?: () => boolean
}

/** How long, besides four round trips, a channel may take over a connection that is there: a host that answers does so at once. */
const channelMs = 3_000
/** The same behind what other sessions of this client send: most of a megabyte at 1 Mbit/s. */
const sharedChannelMs = 7_000

interface PendingStep {
  readonly tokens: readonly number[]
  readonly position: number
  readonly want: Want
  readonly resolve: (output: StepOutput) => void
  readonly reject: (error: Error) => void
}

interface StageControl {
  readonly abort: AbortController
  readonly peer: PeerId
  channel?: Channel
  writer?: ChannelWriter
}

/**
 * Carries out what a {@link ChainMachine} decides: the I/O of one session on the coordinator. It owns the control channels,
 * the links to the first and from the last stage, the token log, and one timer.
 */
export class ChainSession implements TokenSession {
  readonly #components: ChainSessionComponents
  readonly #init: ChainSessionInit & { readonly dialTimeoutMs: number }
  readonly #machine: ChainMachine
  readonly #driver: MachineDriver<ChainEvent, ChainEffect>
  readonly #links: LinkChannels
  readonly #controls = new Map<number, StageControl>()
  /** The last write of each link: embedding takes time, and frames must not overtake each other. */
  readonly #writes = new Map<number, Promise<void>>()
  /** Steps that wait for a slot, and those under way by seq. */
  #waiting: PendingStep[] = []
  readonly #underWay = new Map<number, PendingStep>()
  #tokens: number[] = []
  /** Rows with the steps that wait counted in. */
  #rows = 0
  #chain: readonly SessionStage[] = []
  #recoveries = 0
  #failure: Error | undefined
  readonly #opened = pDefer<void>()
  readonly #closed = pDefer<void>()
  #isClosed = false

  private constructor(components: ChainSessionComponents, init: ChainSessionInit) {
    this.#components = components
    this.#init = merged({ dialTimeoutMs: 10_000 }, init)
    this.#machine = new ChainMachine(init)
    this.#driver = new MachineDriver<ChainEvent, ChainEffect>({
      clock: components.clock,
      machine: this.#machine,
      tick: { type: 'tick' },
      carryOut: (effect) => this.#carryOut(effect),
      onMistake: (error, event) => {
        components.logger.error('a session failed', { event }, error)
        this.#fail(error instanceof Error ? error : new Error(String(error)))
      }
    })
    this.#links = new LinkChannels({
      clock: components.clock,
      rowBytes: rowBytes(init.encoding, init.hiddenSize),
      onMessage: (channel, message, body) => this.#driver.feed({ type: 'link', channel, message, body }),
      onDialed: (channel) => this.#driver.feed({ type: 'dialed', channel }),
      onClosed: (channel, _code, message) => this.#driver.feed({ type: 'linkClosed', channel, message })
    })
    this.#opened.promise.catch(() => {})
  }

  /**
   * Opens a session on the given stages; those that refuse are replaced by others.
   *
   * @throws SessionError when no chain could be opened, AbortError
   */
  static async open(
    components: ChainSessionComponents,
    init: ChainSessionInit,
    stages: readonly ChosenStage[],
    options: AbortOptions = {}
  ): Promise<ChainSession> {
    throwIfAborted(options.signal)
    const session = new ChainSession(components, init)
    session.#driver.feed({ type: 'start', stages })
    try {
      await raceAbort(session.#opened.promise, options.signal)
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  get id(): SessionId {
    return this.#init.session
  }

  get isOver(): boolean {
    return this.#isClosed || this.#failure !== undefined
  }

  get rows(): number {
    return this.#rows
  }

  get maxRows(): number {
    return this.#init.kvTokens
  }

  get chain(): readonly SessionStage[] {
    return this.#chain
  }

  get recoveries(): number {
    return this.#recoveries
  }

  async step(tokens: readonly number[], position: number, want: Want, options: AbortOptions = {}): Promise<StepOutput> {
    throwIfAborted(options.signal)
    if (this.#failure !== undefined) throw this.#failure
    if (this.#isClosed) throw new SessionClosedError()
    this.#rows = position + tokens.length
    const { promise, resolve, reject } = pDefer<StepOutput>()
    this.#waiting.push({ tokens, position, want, resolve, reject })
    this.#submitSoon()
    return await raceAbort(promise, options.signal)
  }

  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true
      this.#rejectSteps(this.#failure ?? new SessionClosedError())
      this.#driver.feed({ type: 'close' })
    }
    await this.#closed.promise
  }

  #submitWaiting(): void {
    while (this.#waiting.length > 0 && this.#failure === undefined && !this.#driver.busy && this.#machine.freeSlots > 0) {
      const step = this.#waiting.shift() as PendingStep
      this.#tokens.length = step.position
      for (const token of step.tokens) this.#tokens.push(token)
      this.#underWay.set(this.#machine.nextSeq, step)
      this.#driver.feed({ type: 'submit', position: step.position, rows: step.tokens.length, want: step.want })
    }
  }

  /** Not from inside the carrying out of effects: a step's seq and slot are those of the machine at rest. */
  #submitSoon(): void {
    void Promise.resolve().then(() => this.#submitWaiting())
  }

  #carryOut(effect: ChainEffect): void {
    const { onEvent } = this.#components
    switch (effect.type) {
      case 'connect':
        void this.#connect(effect.stage, effect.peer)
        break
      case 'control':
        this.#controls.get(effect.stage)?.writer?.write({ head: encodeControl(effect.request) })
        break
      case 'disconnect':
        this.#disconnect(effect.stage)
        break
      case 'dial':
        this.#dial(effect)
        break
      case 'send':
        this.#send(effect)
        break
      case 'hangUp':
        this.#writes.delete(effect.channel)
        this.#links.hangUp(effect.channel)
        break
      case 'result':
        this.#finishStep(effect)
        break
      case 'findReplacement':
        void this.#findReplacement(effect)
        break
      case 'opened':
        this.#chain = effect.chain.map(toSessionStage)
        this.#opened.resolve()
        onEvent?.({ type: 'opened', session: this.#init.session, chain: this.#chain })
        this.#submitSoon()
        break
      case 'recovering':
        for (const { peer } of effect.lost) this.#components.onPeerFailed?.(peer)
        onEvent?.({ type: 'recovering', lost: effect.lost.map(toSessionStage), cause: effect.cause, reason: effect.reason })
        break
      case 'peersFailed':
        for (const peer of effect.peers) this.#components.onPeerFailed?.(peer)
        break
      case 'recovered':
        this.#recoveries++
        this.#chain = effect.chain.map(toSessionStage)
        onEvent?.({ type: 'recovered', chain: this.#chain })
        break
      case 'failed':
        this.#fail(new SessionError(effect.code, effect.message, { detail: effect.detail }))
        break
      case 'closed':
        this.#finish()
        break
    }
  }

  async #connect(stage: number, peer: PeerId): Promise<void> {
    const { clock, network } = this.#components
    const control: StageControl = { abort: new AbortController(), peer }
    this.#controls.set(stage, control)
    const deadline = clock.deadline(this.#connectMs(peer), `the connection to ${peer}`, control.abort.signal)
    try {
      const channel = await network.open(peer, protocols.control, { limits: channelLimits.control, signal: deadline.signal })
      if (this.#controls.get(stage) !== control) {
        channel.reset()
        return
      }
      control.channel = channel
      control.writer = new ChannelWriter(channel, 4 * limits.maxControlBytes)
      this.#driver.feed({ type: 'connected', stage })
      void this.#readControl(stage, control, channel)
    } catch (error) {
      this.#loseControl(stage, control, describeError(error))
    } finally {
      deadline.clear()
    }
  }

  /** A host that has lost its power, or a process that stands still, keeps its connections for a while. */
  #connectMs(peer: PeerId): number {
    const { dialTimeoutMs, sharesConnections } = this.#init
    const path = this.#components.network.path(peer)
    if (path === undefined) return dialTimeoutMs
    return Math.min(dialTimeoutMs, (sharesConnections?.() === true ? sharedChannelMs : channelMs) + 4 * (path.roundTripMs ?? 0))
  }

  async #readControl(stage: number, control: StageControl, channel: Channel): Promise<void> {
    try {
      await readUntilEnd(channel, ({ head }) => {
        if (this.#controls.get(stage) !== control) return false
        const response = decodeControlResponse(head)
        if ('load' in response && response.load !== undefined) this.#components.onLoad?.(control.peer, response.load)
        this.#driver.feed({ type: 'control', stage, response })
        return true
      })
      this.#loseControl(stage, control, `${channel.peer} ended the control channel`)
    } catch (error) {
      channel.reset()
      this.#loseControl(stage, control, describeError(error))
    }
  }

  #loseControl(stage: number, control: StageControl, message: string): void {
    if (this.#controls.get(stage) !== control) return
    // The other side may have ended its half alone, and waits for this one's end.
    this.#disconnect(stage)
    this.#driver.feed({ type: 'controlClosed', stage, message })
  }

  #disconnect(stage: number): void {
    const control = this.#controls.get(stage)
    if (control === undefined) return
    this.#controls.delete(stage)
    control.abort.abort()
    control.writer?.end()
    if (control.channel !== undefined) linger(control.channel, this.#components.clock)
  }

  #dial({ channel, peer, protocol }: ChainDialEffect): void {
    const { clock, network } = this.#components
    this.#links.dial(channel, protocol, async (signal) => {
      const deadline = clock.deadline(this.#init.dialTimeoutMs, `the link to ${peer}`, signal)
      try {
        return await network.open(peer, protocols[protocol], { limits: channelLimits.link, signal: deadline.signal })
      } finally {
        deadline.clear()
      }
    })
  }

  #send(effect: ChainSendEffect): void {
    const before = this.#writes.get(effect.channel)
    if (before === undefined && effect.source?.kind !== 'tokens') {
      this.#links.send(effect.channel, effect.message, effect.source && copyParts(effect.source.parts))
      return
    }
    // The tokens are taken now: a later step may cut them back before they are embedded.
    const { source } = effect
    const tokens = source?.kind === 'tokens' ? this.#tokens.slice(source.position, source.position + source.rows) : undefined
    const write = (before ?? Promise.resolve()).then(async () => {
      try {
        const body = tokens === undefined ? source?.kind === 'bytes' && copyParts(source.parts) : await this.#components.embed(tokens)
        this.#links.send(effect.channel, effect.message, body === false ? undefined : body)
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(String(error)))
      }
      if (this.#writes.get(effect.channel) === write) this.#writes.delete(effect.channel)
    })
    this.#writes.set(effect.channel, write)
  }

  #finishStep(effect: ResultEffect): void {
    const step = this.#underWay.get(effect.seq)
    this.#underWay.delete(effect.seq)
    if (effect.renounced) step?.reject(new SessionClosedError())
    else step?.resolve({ rows: effect.rows, body: effect.body, computeUs: effect.computeUs })
    this.#submitSoon()
  }

  async #findReplacement({ request, span, exclude, numerics }: FindReplacementEffect): Promise<void> {
    let choice: StageChoice
    try {
      choice = await this.#components.chooseStages(span, exclude, numerics)
    } catch (error) {
      this.#components.logger.debug('no replacement could be chosen', { reason: describeError(error) })
      choice = { kind: 'uncovered', blocks: [span] }
    }
    if (choice.kind === 'stages') {
      this.#driver.feed({ type: 'replacement', request, stages: choice.stages })
    } else {
      this.#components.onEvent?.({ type: 'uncovered', blocks: choice.blocks })
      this.#driver.feed({ type: 'noReplacement', request, uncovered: choice.blocks })
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#opened.reject(this.#failure)
    this.#rejectSteps(this.#failure)
    if (!(error instanceof SessionError)) void this.close()
  }

  #rejectSteps(error: Error): void {
    for (const step of [...this.#waiting.splice(0), ...this.#underWay.values()]) step.reject(error)
    this.#underWay.clear()
  }

  #finish(): void {
    this.#isClosed = true
    this.#driver.stop()
    this.#links.close()
    for (const stage of [...this.#controls.keys()]) this.#disconnect(stage)
    this.#writes.clear()
    this.#opened.reject(this.#failure ?? new SessionClosedError())
    this.#rejectSteps(this.#failure ?? new SessionClosedError())
    this.#closed.resolve()
  }
}

function toSessionStage({ peer, span }: ChainStage): SessionStage {
  return { peer, start: span.start, end: span.end }
}
