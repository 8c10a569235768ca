import {
  type Channel,
  channelLimits,
  ChannelWriter,
  type Clock,
  decodeControlRequest,
  decodeLink,
  describeError,
  drain,
  encodeControl,
  encodeLink,
  type Frame,
  type HelloMessage,
  isSkeinError,
  limits,
  type Logger,
  MalformedError,
  type ModelId,
  type Network,
  type NodeLoad,
  type NodeState,
  type OpenRequest,
  type PeerId,
  protocols,
  toRefusal,
  WaitingResults,
  type AnnouncementReader,
  WireError,
  WireErrorCode,
  wireErrorOf,
  merged
} from '@skein/protocol'
import { TurnScheduler, type TurnSchedulerComponents, type WorkDone } from '../batching/turn-scheduler.ts'
import type { SpanRuntime } from '../runtime/span-runtime.ts'
import { admit } from './admission.ts'
import { ByteBudget } from './byte-budget.ts'
import { DialBudget, linkBudgetDefaults, replayBudget } from './dial-budget.ts'
import { NewChannels } from './new-channels.ts'
import { StageShell } from './stage-shell.ts'

export interface SessionHostComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly network: Network
  readonly runtime: SpanRuntime
  readonly reader: AnnouncementReader
  /** The sequence of the newest announcement that is known of a peer. */
  readonly sequenceOf: (peer: PeerId) => number | undefined
  readonly state: () => NodeState
  /** The runtime can compute nothing any more. */
  readonly onRuntimeFailed?: (error: unknown) => void
  /** As {@link TurnSchedulerComponents}. */
  readonly onTurn?: TurnSchedulerComponents['onTurn']
}

export interface SessionHostInit {
  readonly model: ModelId
  readonly maxSessions: number
  readonly maxSessionsPerPeer: number
  /** Memory for sent activations, of all sessions. */
  readonly historyBytes: number
  /** Takes `raw` activations: only with the simulator's runtime. @default false */
  readonly acceptsRaw?: boolean
  /**
   * How long a peer may take between opening a channel and its first frame. A coordinator opens one to each stage at once, and asks
   * them one after the other, from the last one on: that of the first waits as long as a later one that is gone may take to answer.
   *
   * @default 30_000
   */
  readonly firstFrameTimeoutMs?: number
  /** How long the dial of a successor may take. @default 10_000 */
  readonly dialTimeoutMs?: number
}

const hostDefaults = { acceptsRaw: false, firstFrameTimeoutMs: 30_000, dialTimeoutMs: 10_000 }

/** Channels that have not sent their first frame: beyond this, who has the most of them gives way. */
const maxNewChannels = 256

/** Results that wait for coordinators to read them, of all sessions together, in bytes. */
const maxWaitingResultBytes = 64 * 1024 * 1024

/**
 * The node's side of all sessions: takes control channels and links from the network, decides who is let in, and hands
 * each session to a {@link StageShell}. A session is keyed by its coordinator and its id, and only that peer controls it.
 */
export class SessionHost {
  readonly #components: SessionHostComponents
  readonly #init: SessionHostInit & typeof hostDefaults
  readonly #scheduler: TurnScheduler
  readonly #history: ByteBudget
  readonly #waitingResults = new WaitingResults(maxWaitingResultBytes)
  readonly #dials: DialBudget
  readonly #links: DialBudget
  readonly #replays: DialBudget
  readonly #newChannels: NewChannels
  readonly #sessions = new Map<string, StageShell>()
  readonly #sessionsOfPeer = new Map<PeerId, number>()
  readonly #shutdown = new AbortController()
  #unhandle: (() => void)[] = []
  #whenEmpty: (() => void)[] = []

  constructor(components: SessionHostComponents, init: SessionHostInit) {
    this.#components = components
    this.#init = merged(hostDefaults, init)
    const { runtime, clock, logger, onRuntimeFailed, onTurn } = components
    this.#scheduler = new TurnScheduler({ runtime, clock, logger, onFailed: onRuntimeFailed, onTurn })
    this.#history = new ByteBudget(init.historyBytes)
    this.#dials = new DialBudget(components.clock)
    this.#links = new DialBudget(components.clock, linkBudgetDefaults)
    this.#replays = new DialBudget(components.clock, replayBudget(init.historyBytes))
    this.#newChannels = new NewChannels(components.clock, maxNewChannels)
  }

  /** Sessions that are open now. */
  get sessions(): number {
    return this.#sessions.size
  }

  /** How long the runtime's present turn has been running; 0 when it rests. */
  get turnMs(): number {
    return this.#scheduler.turnMs
  }

  /** What the node has computed since it was started. */
  get done(): WorkDone {
    return this.#scheduler.done
  }

  load(): NodeLoad {
    return {
      queuedRows: this.#scheduler.queuedRows,
      freeKvTokens: this.#components.runtime.freeKvTokens(),
      freeHistoryBytes: this.#history.freeBytes,
      sessions: this.#sessions.size
    }
  }

  start(): void {
    const { network } = this.#components
    this.#unhandle = [
      network.handle(protocols.control, channelLimits.control, (channel) => void this.#acceptControl(channel)),
      network.handle(protocols.link, channelLimits.link, (channel) => void this.#acceptLink(channel, 'predecessor')),
      network.handle(protocols.results, channelLimits.link, (channel) => void this.#acceptLink(channel, 'successor'))
    ]
  }

  /** Asks every coordinator to find another node, and resolves when all sessions have ended or the time is over. */
  async drain(withinMs: number): Promise<void> {
    for (const session of this.#sessions.values()) session.drain(withinMs)
    if (this.#sessions.size === 0 || withinMs <= 0) return
    const deadline = this.#components.clock.deadline(withinMs, 'the drain')
    try {
      await new Promise<void>((resolve) => {
        this.#whenEmpty.push(resolve)
        deadline.signal.addEventListener('abort', () => resolve(), { once: true })
      })
    } finally {
      deadline.clear()
    }
  }

  /** Ends every session at once. Idempotent. */
  stop(): void {
    this.#shutdown.abort(new WireError(WireErrorCode.Draining, 'this node is going offline'))
    for (const unhandle of this.#unhandle) unhandle()
    this.#unhandle = []
    for (const session of [...this.#sessions.values()]) session.abort(WireErrorCode.Draining, 'this node is going offline')
  }

  async #acceptControl(channel: Channel): Promise<void> {
    const { logger } = this.#components
    let id = 0
    try {
      const frame = await this.#firstFrame(channel)
      const request = decodeControlRequest(frame.head)
      if ('id' in request) id = request.id
      if (request.type !== 'open')
        throw new WireError(WireErrorCode.UnknownSession, `a control channel begins with open, not ${request.type}`)
      this.#open(channel, request)
    } catch (error) {
      logger.debug('a session was refused', { peer: channel.peer, reason: describeError(error) })
      if (!isSkeinError(error)) logger.error('a session could not be opened', {}, error)
      this.#refuse(channel, encodeControl(toRefusal(error, id, this.load())))
    }
  }

  #open(channel: Channel, request: OpenRequest): void {
    const { runtime, state, logger } = this.#components
    const { peer } = channel
    const key = sessionKey(peer, request.session)
    admit(request, {
      model: this.#init.model,
      info: runtime.info,
      state: state(),
      sessions: this.#sessions.size,
      maxSessions: this.#init.maxSessions,
      sessionsOfPeer: this.#sessionsOfPeer.get(peer) ?? 0,
      maxSessionsPerPeer: this.#init.maxSessionsPerPeer,
      acceptsRaw: this.#init.acceptsRaw
    })
    if (this.#sessions.has(key)) throw new WireError(WireErrorCode.SessionExists, `session ${request.session} is open already`)
    const shell = new StageShell(
      {
        clock: this.#components.clock,
        logger: logger.child({ session: request.session, coordinator: peer }),
        runtime,
        scheduler: this.#scheduler,
        history: this.#history,
        waitingResults: this.#waitingResults,
        dial: (to, record, signal) => this.#dial(peer, to, record, signal),
        load: () => this.load(),
        onReplay: (bytes) => this.#replays.charge(peer, bytes),
        onEnded: () => this.#forget(key, peer)
      },
      channel,
      request
    )
    this.#sessions.set(key, shell)
    this.#sessionsOfPeer.set(peer, (this.#sessionsOfPeer.get(peer) ?? 0) + 1)
    shell.start()
  }

  #forget(key: string, peer: PeerId): void {
    this.#sessions.delete(key)
    const left = (this.#sessionsOfPeer.get(peer) ?? 1) - 1
    if (left > 0) this.#sessionsOfPeer.set(peer, left)
    else this.#sessionsOfPeer.delete(peer)
    if (this.#sessions.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  async #acceptLink(channel: Channel, side: 'predecessor' | 'successor'): Promise<void> {
    try {
      const frame = await this.#firstFrame(channel)
      const message = decodeLink(frame.head)
      if (message.type !== 'hello') throw new MalformedError(`a link begins with hello, not ${message.type}`)
      this.#session(channel, side, message).hello(side, channel, message)
    } catch (error) {
      this.#components.logger.debug('a link was refused', { peer: channel.peer, reason: describeError(error) })
      const { code, message, detail } = wireErrorOf(error)
      this.#refuse(channel, encodeLink({ type: 'refused', code, message: message.slice(0, limits.maxMessageChars), detail }))
    }
  }

  #session(channel: Channel, side: 'predecessor' | 'successor', hello: HelloMessage): StageShell {
    const shell = this.#sessions.get(sessionKey(hello.coordinator, hello.session))
    // The same words in both cases: a stranger does not learn which sessions there are.
    if (shell === undefined || (side === 'successor' && channel.peer !== hello.coordinator)) {
      throw new WireError(WireErrorCode.UnknownSession, `no session ${hello.session} of ${hello.coordinator} is open here`)
    }
    return shell
  }

  #firstFrame(channel: Channel): Promise<Frame> {
    return this.#newChannels.firstFrame(channel, this.#init.firstFrameTimeoutMs, this.#shutdown.signal)
  }

  #refuse(channel: Channel, head: Uint8Array): void {
    const writer = new ChannelWriter(channel, limits.maxControlBytes)
    writer.write({ head })
    writer.end()
    void drain(channel, this.#components.clock)
  }

  async #dial(coordinator: PeerId, to: PeerId, record: Uint8Array | undefined, signal: AbortSignal): Promise<Channel> {
    const { clock, network, reader, sequenceOf } = this.#components
    const isConnected = network.path(to) !== undefined
    // A replay begins with a dial, whoever wants it.
    this.#replays.requireNoDebt(coordinator)
    const budget = isConnected ? this.#links : this.#dials
    budget.spend(coordinator)
    // To verify a signature for addresses that nobody needs would be work for the asking.
    if (record !== undefined && !isConnected) {
      const { announcement } = reader.verify(reader.parse(record))
      if (announcement.peer !== to || announcement.model !== this.#init.model) {
        throw new MalformedError(`the announcement that came with ${to} is of another peer or model`)
      }
      // An old one may be handed over to send dials to who has the address now.
      const isCurrent = announcement.sequence >= (sequenceOf(to) ?? 0)
      if (isCurrent) network.learn({ peer: to, addresses: announcement.addresses, source: 'announcement' })
    }
    const deadline = clock.deadline(this.#init.dialTimeoutMs, `the dial of ${to}`, signal)
    try {
      return await network.open(to, protocols.link, { limits: channelLimits.link, signal: deadline.signal })
    } finally {
      deadline.clear()
    }
  }
}

function sessionKey(coordinator: PeerId, session: string): string {
  return `${coordinator}/${session}`
}
