import { type CacheKey, NodeDaemon, type SpanRuntime } from '@skein/node'
import {
  type Identity,
  AnnouncementStore,
  type BlockRange,
  describeError,
  DirectoryService,
  isSkeinError,
  type PeerId,
  type Random
} from '@skein/protocol'
import { simulatedIdentity } from './simulated-identity.ts'
import type { HostProcess } from '../compute/host-process.ts'
import { type ComputeCondition, TimedRuntime } from '../compute/timed-runtime.ts'
import type { PeerClock } from '../kernel/peer-clock.ts'
import { virtualAddress } from '../net/virtual-host.ts'
import type { NodeFacts } from '../oracles/checks.ts'
import type { NodeRecord } from '../record/run-record.ts'
import type { NodeGroup } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'
import { nodeSchedule } from './churn.ts'
import { ChurnDriver } from './churn-driver.ts'
import { Disk } from './disk.ts'
import { peerHost } from './peer-host.ts'
import { PeerLog } from './peer-log.ts'
import type { WorldContext } from './world-context.ts'

/** How a node of a group that leaves gracefully is stopped: as by SIGTERM with the default of `skein-node`. */
const drainMs = 30_000

/** One life of a node's process. */
interface Incarnation {
  readonly clock: PeerClock
  readonly daemon: NodeDaemon
  readonly runtime: SpanRuntime
  readonly process: HostProcess
}

export interface SimNodeInit {
  readonly number: number
  /** Its number in its group. */
  readonly index: number
  readonly group: NodeGroup
  readonly region: string
  readonly span: BlockRange
  readonly random: Random
  /** See `WorldInit`. */
  readonly wrapRuntime?: (runtime: SpanRuntime, node: number) => SpanRuntime
}

/** Where the figures of bandwidth end and bytes per second begin. */
export function bytesPerSecond(mbps: number): number {
  return Math.max(1, Math.round(mbps * 125_000))
}

/** A node of a simulated swarm through all its incarnations: the machine, its disk and its key. */
export class SimNode {
  readonly number: number
  readonly peer: PeerId
  readonly span: BlockRange
  readonly group: NodeGroup
  readonly region: string
  readonly log: PeerLog
  readonly disk = new Disk()
  readonly condition: ComputeCondition = { slowFactor: 1, lieShare: 0 }
  /** Has sent something false. */
  hasLied = false
  readonly #context: WorldContext
  readonly #random: Random
  readonly #wrapRuntime: (runtime: SpanRuntime, node: number) => SpanRuntime
  readonly #identity: Identity
  readonly #link: { readonly upBytesPerSecond: number; readonly downBytesPerSecond: number }
  #incarnation: Incarnation | undefined
  #incarnations = 0
  #leaving: Promise<void> | undefined
  #frozen = false
  readonly #churn: ChurnDriver
  readonly #up: Array<[number, number]> = []
  #busyMs = 0
  #rows = 0

  constructor(context: WorldContext, init: SimNodeInit) {
    this.#context = context
    this.number = init.number
    this.group = init.group
    this.region = init.region
    this.span = init.span
    this.#random = init.random
    this.#wrapRuntime = init.wrapRuntime ?? ((runtime) => runtime)
    this.#identity = simulatedIdentity(`${context.scenario.name} node ${init.number}`)
    this.peer = this.#identity.peerId
    this.#link = {
      upBytesPerSecond: bytesPerSecond(draw(init.group.upMbps, init.random)),
      downBytesPerSecond: bytesPerSecond(draw(init.group.downMbps, init.random))
    }
    const { clock, scenario } = context
    const churned = {
      isRunning: () => this.#incarnation !== undefined,
      start: () => this.start(),
      leave: () => {
        if (this.group.churn?.graceful === true) void this.leave()
        else this.crash()
      }
    }
    this.#churn = new ChurnDriver(nodeSchedule(scenario, init, init.random), churned, {
      nowMs: () => clock.monotonicMs(),
      setTimer: (ms, callback) => clock.setTimer(ms, callback)
    })
    this.log = new PeerLog({
      nowMs: () => clock.monotonicMs(),
      onError: (text) => context.violated('error-log', `node ${init.number} logged an error: ${text}`, [this.peer])
    })
  }

  /** The process runs, and is not on its way out. */
  get isUp(): boolean {
    return this.#incarnation !== undefined && this.#leaving === undefined
  }

  /** How often its process has been started: the number of the present life, or of the last one. */
  get life(): number {
    return this.#incarnations
  }

  /** The process stands still. */
  get isFrozen(): boolean {
    return this.#frozen
  }

  get #isServing(): boolean {
    return this.isUp && !this.#frozen && this.#incarnation?.daemon.state === 'serving'
  }

  get daemon(): NodeDaemon | undefined {
    return this.#incarnation?.daemon
  }

  /** Caches that are reserved, where the runtime can tell. */
  get caches(): number {
    return this.#cacheKeys().length
  }

  /** Those of them that are a coordinator's. */
  cachesOf(coordinator: PeerId): CacheKey[] {
    return this.#cacheKeys().filter((key) => key.startsWith(`${coordinator}/`))
  }

  /** Stands still, or is slow by a fault: no time holds. */
  get isHampered(): boolean {
    return this.#frozen || this.condition.slowFactor > 1
  }

  /** Starts the process, unless it runs. */
  start(): void {
    if (this.#incarnation !== undefined) return
    const { clock, internet, reader, model, scenario, recorder } = this.#context
    const random = this.#random.fork(`incarnation ${this.#incarnations++}`)
    const incarnation = clock.forPeer(`node ${this.number}`)
    const { group, span, region, peer } = this
    const joined = internet.join({ peer, region, ...this.#link, nat: group.nat, relay: group.relay === true, incarnation })
    const { process, network, compute } = peerHost(this.#context, group, incarnation, joined)
    const contacts = this.#context.contacts(peer, random.fork('contacts'))
    for (const contact of contacts) network.learn({ peer: contact, addresses: [virtualAddress(contact)], source: 'trusted' })
    const runtime = model.openRuntime(span, group.kvTokens)
    const track = `node ${this.number}`
    const timed = new TimedRuntime(runtime, {
      clock: incarnation,
      random: random.fork('compute'),
      model: scenario.model,
      device: group.device,
      condition: this.condition,
      compute,
      onTurn: (turn) => {
        this.#busyMs += turn.endMs - turn.startMs
        for (const { rows } of turn.entries) this.#rows += rows
        recorder.turn(track, turn)
      },
      onLie: () => (this.hasLied = true)
    })
    const { logger } = this.log
    const directory = new DirectoryService(
      { clock: incarnation, logger, network, reader, random: random.fork('directory'), store: new AnnouncementStore({ self: peer }) },
      { model: model.id, mesh: true, contacts }
    )
    const daemon = new NodeDaemon(
      {
        clock: incarnation,
        logger,
        network,
        reader,
        random: random.fork('announcer'),
        storage: this.disk,
        identity: this.#identity,
        runtime: this.#wrapRuntime(timed, this.number),
        directory
      },
      {
        model: model.id,
        blocks: scenario.model.blocks,
        maxSessions: group.maxSessions,
        historyBytes: this.#historyBytes,
        acceptsRaw: model.encoding === 'raw'
      }
    )
    this.#incarnation = { clock: incarnation, daemon, runtime, process }
    daemon.watchState(() => this.#count())
    this.#up.push([clock.monotonicMs(), Infinity])
    daemon.failed.catch((error: unknown) => {
      // A turn that a fault makes slow enough cannot be told from one that hangs: to give up is what a node is to do then.
      if (this.condition.slowFactor > 1 && isSkeinError(error) && error.code === 'ERR_SKEIN_RUNTIME_HANGS') {
        this.log.logger.info('gave up', { reason: describeError(error) })
        if (this.#incarnation?.daemon === daemon) this.crash()
        return
      }
      this.#context.violated('node-failed', `node ${this.number} gave up: ${describeError(error)}`, [peer])
    })
    daemon.start().catch((error: unknown) => {
      this.#context.violated('node-failed', `node ${this.number} could not start: ${describeError(error)}`, [peer])
    })
    this.#context.happened({ kind: 'node-up', node: this.number, text: `node ${this.number} starts` })
  }

  /** As kill -9 (`process`), or as when the power goes (`host`). Nothing is said to anybody by the node itself. */
  crash(how: 'process' | 'host' = 'process'): void {
    if (this.#incarnation === undefined) return
    this.#context.internet.crash(this.peer, how)
    this.#ended(`node ${this.number} crashes`)
  }

  /** As on SIGTERM: it drains, says goodbye, and ends. */
  async leave(withinMs = drainMs): Promise<void> {
    const incarnation = this.#incarnation
    if (incarnation === undefined) return
    this.#leaving ??= incarnation.daemon.stop(withinMs)
    this.#count()
    await this.#leaving
    if (this.#incarnation !== incarnation) return
    incarnation.clock.kill()
    this.#ended(`node ${this.number} leaves`)
  }

  /** The process stands still until it thaws: its host goes on. */
  freeze(): void {
    if (this.#incarnation === undefined) return
    this.#frozen = true
    this.#incarnation.process.freeze(true)
    this.#context.internet.freeze(this.peer, true)
    this.#count()
  }

  thaw(): void {
    if (!this.#frozen) return
    this.#frozen = false
    this.#context.internet.freeze(this.peer, false)
    this.#incarnation?.process.freeze(false)
    this.#count()
  }

  /** Its wall clock moves; timers and deadlines do not care. */
  jumpClock(byMs: number): void {
    this.#incarnation?.clock.jump(byMs)
  }

  /** Whether it is there when the run begins; who is not comes by itself. */
  get isThereFirst(): boolean {
    return this.#churn.isThereFirst
  }

  /** Comes and goes as its group does, until {@link endChurn}. */
  startChurn(): void {
    this.#churn.begin()
  }

  endChurn(): void {
    this.#churn.end()
  }

  /** How long its process has been gone; 0 when it runs, Infinity when it never has. */
  downForMs(nowMs: number): number {
    return this.#incarnation !== undefined ? 0 : nowMs - (this.#up.at(-1)?.[1] ?? -Infinity)
  }

  facts(): NodeFacts | undefined {
    const incarnation = this.#incarnation
    if (incarnation === undefined) return undefined
    const { maxSessions, kvTokens } = this.group
    return { load: incarnation.daemon.load(), maxSessions, kvTokens, historyBytes: this.#historyBytes }
  }

  record(nowMs: number): NodeRecord {
    const { sentBytes, receivedBytes } = this.#context.internet.statsOf(this.peer)
    return {
      node: this.number,
      peer: this.peer,
      group: this.group.name,
      region: this.region,
      start: this.span.start,
      end: this.span.end,
      up: this.#up.map(([fromMs, toMs]) => [fromMs, Math.min(toMs, nowMs)] as const),
      busyMs: this.#busyMs,
      rows: this.#rows,
      sentBytes,
      receivedBytes
    }
  }

  /** The budget as the node counts it: in simulated rows. */
  get #historyBytes(): number {
    const { scenario, model } = this.#context
    return Math.floor(this.group.historyBytes / scenario.model.rowBytes) * model.rowBytes
  }

  #cacheKeys(): CacheKey[] {
    return this.#incarnation === undefined ? [] : this.#context.model.cachesOf(this.#incarnation.runtime)
  }

  #count(): void {
    const [sinceMs] = this.#up.at(-1) ?? [this.#context.clock.monotonicMs()]
    this.#context.census.set(this.number, this.span, this.#isServing, sinceMs)
  }

  #ended(text: string): void {
    // What a dead process held is freed; nobody of its world is left to notice.
    void this.#incarnation?.runtime.stop()
    this.#incarnation?.process.end()
    this.#incarnation = undefined
    this.#leaving = undefined
    this.#frozen = false
    this.#count()
    const last = this.#up.at(-1)
    if (last !== undefined) last[1] = this.#context.clock.monotonicMs()
    this.#context.happened({ kind: 'node-down', node: this.number, text })
    this.#churn.gone()
  }
}
