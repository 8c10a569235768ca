import {
  blockCount,
  type CancelTimer,
  type Clock,
  describeError,
  type DirectoryService,
  type Identity,
  IdentityError,
  type Logger,
  type ModelId,
  type Network,
  type NodeLoad,
  type NodeState,
  type PeerId,
  type Random,
  type SignedAnnouncement,
  SkeinError,
  type Storage,
  type AnnouncementReader
} from '@skein/protocol'
import pDefer from 'p-defer'
import type { WorkDone } from '../batching/turn-scheduler.ts'
import type { SpanRuntime, TurnEntry } from '../runtime/span-runtime.ts'
import { SessionHost } from '../session/session-host.ts'
import { Announcer, type AnnouncerInit } from './announcer.ts'
import { measureSpeed, type MeasuredSpeed } from './measure-speed.ts'
import { SpeedWatch } from './speed-watch.ts'
import { NodeLife } from './state.ts'

/** The part of the directory service that a node uses. */
export type NodeDirectory = Pick<DirectoryService, 'start' | 'announce' | 'watch' | 'sequenceOf' | 'flush' | 'stop'>

export interface NodeDaemonComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly network: Network
  readonly random: Random
  readonly storage: Storage
  readonly identity: Identity
  readonly reader: AnnouncementReader
  readonly runtime: SpanRuntime
  readonly directory: NodeDirectory
}

export interface NodeDaemonInit {
  readonly model: ModelId
  /** Blocks of the whole model. */
  readonly blocks: number
  readonly maxSessions: number
  /** @default half of `maxSessions`, at least 1: one coordinator cannot take a whole node */
  readonly maxSessionsPerPeer?: number
  readonly historyBytes: number
  /** Only with the simulator's runtime. @default false */
  readonly acceptsRaw?: boolean
  readonly announcer?: Partial<AnnouncerInit>
  /** A turn that runs longer hangs, and the node gives up. @default 300_000: a full chunk on a slow machine takes seconds */
  readonly maxTurnMs?: number
}

/** A node's state, for its operator. */
export interface NodeStatusReport {
  readonly peerId: PeerId
  readonly state: NodeState
  readonly model: ModelId
  readonly start: number
  readonly end: number
  readonly addresses: readonly string[]
  readonly numerics: { readonly weights: string; readonly kernels: string }
  readonly kvTokens: number
  readonly stepMs: number
  readonly rowsPerSecond: number
  readonly load: NodeLoad
  /** Since it was started. */
  readonly done: WorkDone
}

const defaultMaxTurnMs = 300_000
/** The runtime has been busy with one turn for too long: it hangs, and only a new process helps. */
export class RuntimeHangsError extends SkeinError<'ERR_SKEIN_RUNTIME_HANGS'> {
  constructor(turnMs: number) {
    super(
      'ERR_SKEIN_RUNTIME_HANGS',
      `a turn of the runtime has been running for ${Math.round(turnMs / 1000)} s: it hangs; start the node anew`
    )
  }
}

/** A node that has served for longer does not give way to another host with the same key. The two hear of each other by the directory's exchanges. */
const newcomerMs = 300_000

/** How long the last word of a node that leaves may take to get out. */
const farewellMs = 2_000

/**
 * A node: hosts a span and serves it. It wires the parts together and leads them through `joining`, `serving`, `draining`
 * and `offline`. All that it touches comes in as a component, so that the simulator runs it as it is.
 */
export class NodeDaemon {
  readonly #components: NodeDaemonComponents
  readonly #init: NodeDaemonInit
  readonly #life = new NodeLife()
  readonly #host: SessionHost
  readonly #announcer: Announcer
  #stopping = false
  readonly #failed = pDefer<never>()
  #speed: MeasuredSpeed = { stepMs: 0, rowsPerSecond: 0 }
  #speedWatch: SpeedWatch | undefined
  #unsubscribe: (() => void) | undefined
  #unwatch: (() => void) | undefined
  #stopped: Promise<void> | undefined
  #cancelWatch: CancelTimer = () => {}
  #ownSequence = 0
  #startedAtMs = 0

  constructor(components: NodeDaemonComponents, init: NodeDaemonInit) {
    this.#components = components
    this.#init = init
    const { clock, logger, network, random, runtime, reader, storage, identity, directory } = components
    this.#host = new SessionHost(
      {
        clock,
        logger,
        network,
        runtime,
        reader,
        sequenceOf: (peer) => directory.sequenceOf(peer),
        state: () => this.state,
        onRuntimeFailed: (error) => this.giveUp(error),
        onTurn: (entries, tookMs) => this.#onTurn(entries, tookMs)
      },
      {
        model: init.model,
        maxSessions: init.maxSessions,
        maxSessionsPerPeer: init.maxSessionsPerPeer ?? Math.max(1, init.maxSessions >> 1),
        historyBytes: init.historyBytes,
        acceptsRaw: init.acceptsRaw ?? false
      }
    )
    const publish = (record: SignedAnnouncement): void => {
      this.#ownSequence = record.announcement.sequence
      directory.announce(record)
    }
    this.#announcer = new Announcer({ clock, random, storage, identity, logger, publish }, init.announcer)
    this.#failed.promise.catch(() => {})
    this.#life.subscribe((state) => logger.info('state changed', { state }))
  }

  /**
   * Rejects when the node cannot go on, with the reason. It has left the swarm by then, or hangs, and its process must end.
   * Never resolves.
   */
  get failed(): Promise<never> {
    return this.#failed.promise
  }

  get state(): NodeState {
    return this.#life.state
  }

  /** Calls the listener after each change of the state; it must not throw. Returns how to end it. */
  watchState(listener: (state: NodeState) => void): () => void {
    return this.#life.subscribe(listener)
  }

  /** Measures itself, takes sessions, and announces that it serves. */
  async start(): Promise<void> {
    const { network, runtime, directory, clock } = this.#components
    this.#speed = await measureSpeed({ runtime, clock }, this.#init.acceptsRaw === true ? 'raw' : 'f32')
    await this.#announcer.start()
    if (this.#stopping) return
    this.#host.start()
    this.#startedAtMs = clock.monotonicMs()
    this.#speedWatch = new SpeedWatch(this.#startedAtMs, this.#speed.stepMs)
    this.#unwatch = directory.watch(({ record: { announcement } }) => {
      if (announcement.peer === this.#components.identity.peerId && announcement.sequence > this.#ownSequence)
        this.#onDuplicate(announcement.sequence)
    })
    directory.start()
    this.#life.transition('serving')
    this.#announce()
    this.#watchRuntime()
    this.#unsubscribe = network.subscribe((event) => {
      if (event.type === 'addresses') this.#announce()
    })
  }

  /**
   * Leaves the swarm: announces `draining`, lets open sessions go on for at most `drainMs`, then ends them, announces
   * `offline` and stops everything that was handed over but the clock. Idempotent; a later call with a shorter time is not heard.
   */
  stop(drainMs: number): Promise<void> {
    this.#stopped ??= this.#stop(drainMs)
    return this.#stopped
  }

  status(): NodeStatusReport {
    const { identity, network, runtime } = this.#components
    const { span, numerics, kvTokens } = runtime.info
    return {
      peerId: identity.peerId,
      state: this.state,
      model: this.#init.model,
      start: span.start,
      end: span.end,
      addresses: network.addresses(),
      numerics,
      kvTokens,
      ...this.#speed,
      load: this.#host.load(),
      done: this.#host.done
    }
  }

  /** What it does now. */
  load(): NodeLoad {
    return this.#host.load()
  }

  async #stop(drainMs: number): Promise<void> {
    const { network, runtime, directory } = this.#components
    const wasServing = this.state === 'serving'
    this.#stopping = true
    this.#unsubscribe?.()
    this.#unwatch?.()
    this.#cancelWatch()
    if (wasServing) {
      this.#life.transition('draining')
      this.#announce()
      await this.#host.drain(drainMs)
    }
    this.#life.transition('offline')
    if (wasServing) this.#announce()
    this.#announcer.stop()
    this.#host.stop()
    if (wasServing) await this.#farewell()
    await directory.stop()
    await network.stop()
    await runtime.stop()
  }

  /**
   * Somebody else announces under this peer id, later than this node has: a second host with a copy of the key. The one that
   * came last goes, since the swarm knows the other.
   */
  #onDuplicate(sequence: number): void {
    const message = "another host announces itself under this node's peer id: give each host a key file of its own"
    const isNew = this.#components.clock.monotonicMs() - this.#startedAtMs < newcomerMs
    if (this.#stopping) return
    if (isNew) this.giveUp(new IdentityError(message))
    else {
      this.#components.logger.error(message)
      // It hears from this that it is not alone.
      this.#announce(sequence)
    }
  }

  /** Announces the node's speed anew when its steps have long taken another time than it said. */
  #onTurn(entries: readonly TurnEntry[], tookMs: number): void {
    const { clock, logger, runtime } = this.#components
    const [entry] = entries
    // Only what compares with the announced time: one row of one session, through the whole span.
    if (entry === undefined || entries.length > 1 || entry.rows > 1 || entry.exact || this.state !== 'serving') return
    if (blockCount(entry.span) !== blockCount(runtime.info.span)) return
    const stepMs = this.#speedWatch?.observe(clock.monotonicMs(), tookMs)
    if (stepMs === undefined) return
    logger.info('announces another speed', { wasMs: this.#speed.stepMs, stepMs })
    this.#speed = { ...this.#speed, stepMs }
    this.#announce()
  }

  #watchRuntime(): void {
    const { turnMs } = this.#host
    const { maxTurnMs = defaultMaxTurnMs } = this.#init
    if (turnMs > maxTurnMs) {
      // Not `stop`: that would wait for the very turn that never ends.
      this.#failed.reject(new RuntimeHangsError(turnMs))
      return
    }
    this.#cancelWatch = this.#components.clock.setTimer(maxTurnMs / 8, () => this.#watchRuntime())
  }

  /** The node cannot go on: it leaves at once, and whoever runs it may start it anew. {@link failed} rejects with the error. */
  giveUp(error: unknown): void {
    this.#components.logger.error('the node leaves the swarm', {}, error)
    const leave = (): void => this.#failed.reject(error)
    this.stop(0).then(leave, leave)
  }

  #announce(above = 0): void {
    const { network, runtime } = this.#components
    const { span, entryPoints, numerics, hiddenSize, kvTokens } = runtime.info
    this.#announcer.announce(
      {
        model: this.#init.model,
        blocks: this.#init.blocks,
        hiddenSize,
        span,
        entryPoints,
        numerics,
        state: this.state,
        addresses: network.addresses(),
        stepMs: this.#speed.stepMs,
        rowsPerSecond: this.#speed.rowsPerSecond,
        kvTokens,
        historyBytes: this.#init.historyBytes
      },
      above
    )
  }

  /** Waits until `offline` is out; the announcement's expiry tells the rest of the swarm if it is not. */
  async #farewell(): Promise<void> {
    const { clock, directory, logger } = this.#components
    const deadline = clock.deadline(farewellMs, 'the last announcement')
    try {
      await directory.flush({ signal: deadline.signal })
    } catch (error) {
      logger.debug('the last announcement may not have got out', { reason: describeError(error) })
    } finally {
      deadline.clear()
    }
  }
}
