import {
  type AbortOptions,
  type Channel,
  type ChannelLimits,
  describeError,
  DialError,
  type Logger,
  type Network,
  type NetworkEvent,
  type OpenOptions,
  type PathInfo,
  type PeerAddresses,
  type PeerId,
  type ProtocolId,
  raceAbort,
  throwIfAborted,
  WireError,
  WireErrorCode
} from '@skein/protocol'
import { IdleConnections } from '@skein/protocol/node'
import { EventKind } from '../kernel/event-queue.ts'
import type { PeerClock } from '../kernel/peer-clock.ts'
import type { NatClass } from '../scenario/scenario.ts'
import type { ConnectionEnd } from './connection.ts'
import type { Link } from './fair-share.ts'
import { VirtualChannel } from './virtual-channel.ts'
import type { Hub, MutableStats } from './virtual-network.ts'

/** As the libp2p port: addresses that `learn` keeps, the oldest being forgotten first, those of trusted peers never. */
const maxLearnedPeers = 16_384
/** A smoothed round trip follows a new value by an eighth, as in TCP and in the libp2p port. */
const roundTripWeight = 1 / 8
/** Share of a bulk channel beside an interactive one: the libp2p port writes pieces of 16 and 64 KiB in turn. */
const bulkWeight = 0.25

export interface VirtualHostInit {
  readonly self: PeerId
  readonly region: number
  readonly up: Link
  readonly down: Link
  readonly nat: NatClass
  readonly clock: PeerClock
  readonly logger: Logger
  /** Of the peer, whichever incarnation it is. */
  readonly stats: MutableStats
}

interface Handler {
  readonly limits: ChannelLimits
  readonly accept: (channel: Channel) => void
}

/** The address of a peer in a virtual network. */
export function virtualAddress(peer: PeerId): string {
  return `/sim/${peer}/p2p/${peer}`
}

/** One incarnation of a peer in a virtual network. When it has died, what it still does is discarded, and what it awaits never comes. */
export class VirtualHost implements Network {
  readonly self: PeerId
  readonly region: number
  readonly up: Link
  readonly down: Link
  readonly nat: NatClass
  readonly clock: PeerClock
  readonly stats: MutableStats
  readonly connections = new Map<PeerId, ConnectionEnd>()
  /** Connections of others that go through it: one side of each. */
  readonly relayed = new Set<ConnectionEnd>()
  /** How it died: a process's host answers with resets, a host that is gone does not answer. */
  death: 'process' | 'host' | undefined
  stopped = false
  /** Ends the dials that are under way. */
  readonly dialFailures = new Set<(why: string) => void>()
  /** Where it has a reservation, when it is behind a NAT. */
  relay: VirtualHost | undefined
  readonly #hub: Hub
  readonly #logger: Logger
  readonly #handlers = new Map<ProtocolId, Handler>()
  readonly #trusted = new Map<PeerId, readonly string[]>()
  readonly #announced = new Map<PeerId, readonly string[]>()
  readonly #dials = new Map<PeerId, Promise<ConnectionEnd>>()
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  /** Of a host that once had too many connections. */
  #idle: IdleConnections<ConnectionEnd> | undefined

  constructor(hub: Hub, init: VirtualHostInit) {
    this.#hub = hub
    this.self = init.self
    this.region = init.region
    this.up = init.up
    this.down = init.down
    this.nat = init.nat
    this.clock = init.clock
    this.stats = init.stats
    this.#logger = init.logger
  }

  get alive(): boolean {
    return this.clock.alive
  }

  /** Whether others can open connections to it. */
  get answers(): boolean {
    return this.alive && !this.stopped
  }

  /** Whether it refuses connections that others open. */
  get isFull(): boolean {
    return this.connections.size >= this.#hub.options.maxConnections
  }

  addresses(): readonly string[] {
    return this.stopped ? [] : [virtualAddress(this.self)]
  }

  learn({ peer, addresses, source }: PeerAddresses): void {
    const known = source === 'trusted' ? this.#trusted : this.#announced
    known.delete(peer)
    known.set(peer, addresses)
    if (this.#announced.size <= maxLearnedPeers) return
    const oldest = this.#announced.keys().next()
    if (oldest.done !== true) this.#announced.delete(oldest.value)
  }

  open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    return this.#onConnection(peer, options.signal, (end) => this.#open(end, protocol, options))
  }

  async #open(end: ConnectionEnd, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const peer = end.other.host.self
    const weight = options.priority === 'bulk' ? bulkWeight : 1
    const near = new VirtualChannel(end, this.#hub.nextChannel(), protocol, options.limits, weight)
    let isOpen = false
    const accepted = new Promise<Channel>((resolve, reject) => {
      end.sendControl(() => {
        const remote = end.other.host
        const handler = remote.#handlers.get(protocol)
        if (handler === undefined) {
          end.other.sendControl(() => {
            near.abandon()
            reject(new WireError(WireErrorCode.Unsupported, `${peer} does not speak ${protocol}`))
          })
          return
        }
        const far = new VirtualChannel(end.other, near.number, protocol, handler.limits, weight)
        far.other = near
        near.other = far
        end.other.sendControl(() => {
          isOpen = true
          resolve(near)
        })
        remote.#accept(handler, far)
      })
      // Of an open channel nobody wants that error, and its stack is what costs most of it.
      void near.closed.then(() => {
        if (!isOpen) reject(new DialError(`the connection to ${peer} broke while ${protocol} was opened`))
      })
    })
    try {
      return await raceAbort(accepted, options.signal)
    } catch (error) {
      near.reset()
      throw error
    }
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    const handler = { limits, accept }
    this.#handlers.set(protocol, handler)
    return () => {
      if (this.#handlers.get(protocol) === handler) this.#handlers.delete(protocol)
    }
  }

  path(peer: PeerId): PathInfo | undefined {
    const end = this.connections.get(peer)
    return end === undefined ? undefined : { kind: end.path.kind, roundTripMs: end.smoothedUs / 1000 }
  }

  ping(peer: PeerId, options: AbortOptions = {}): Promise<number> {
    return this.#onConnection(peer, options.signal, (end) => this.#ping(end, options))
  }

  async #ping(end: ConnectionEnd, options: AbortOptions): Promise<number> {
    const startUs = this.#hub.clock.nowUs
    const measured = new Promise<number>((resolve, reject) => {
      ;(end.onClosed ??= new Set()).add(reject)
      end.sendControl(() =>
        end.other.sendControl(() => {
          end.onClosed?.delete(reject)
          resolve(this.#hub.clock.nowUs - startUs)
        })
      )
    })
    const roundTripUs = await raceAbort(measured, options.signal)
    end.smoothedUs += (roundTripUs - end.smoothedUs) * roundTripWeight
    return roundTripUs / 1000
  }

  subscribe(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async advertise(topic: string, options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    if (this.stopped) throw this.#stoppedError()
    await this.clock.sleep(this.#hub.lookupMs(this), options)
    this.#hub.rendezvous.add(topic, this.self)
  }

  async *find(topic: string, options: AbortOptions = {}): AsyncGenerator<PeerAddresses> {
    await this.clock.sleep(this.#hub.lookupMs(this), options)
    for (const peer of this.#hub.rendezvous.find(topic)) {
      throwIfAborted(options.signal)
      if (peer !== this.self) yield { peer, addresses: [virtualAddress(peer)], source: 'announcement' }
    }
  }

  async stop(): Promise<void> {
    if (this.stopped || !this.alive) return
    this.stopped = true
    this.#idle?.stop()
    this.#handlers.clear()
    for (const end of [...this.connections.values()]) {
      for (const channel of [...end.channels]) channel.abandon()
      end.close()
      end.tellOther()
    }
    for (const fail of [...this.dialFailures]) fail('this peer has stopped its network')
    this.#hub.relayGone(this, 'process')
  }

  /** A connection is there: called at this peer, as an event of its own. */
  connected(end: ConnectionEnd): void {
    this.#emit({ type: 'connected', peer: end.other.host.self })
    this.#prune(end)
    this.reviewIdle()
  }

  /** There is a new connection, or one is used no longer. */
  reviewIdle(): void {
    if (this.connections.size <= this.#hub.options.idleAbove || this.stopped) return
    this.#idle ??= new IdleConnections({
      clock: this.clock,
      maxConnections: this.#hub.options.maxConnections,
      list: () => [...this.connections.values()],
      idleSinceMs: (end, nowMs) => end.idleSinceMs(nowMs),
      close: (end) => end.fail()
    })
    this.#idle.review(this.connections.size)
  }

  /**
   * As libp2p: as many as are above the limit are closed of the connections without a channel, first those that others opened,
   * and of them the newest. The very last one carries identify's streams, and its dialer's soon.
   */
  #prune(last: ConnectionEnd): void {
    const excess = this.connections.size - this.#hub.options.maxConnections
    if (excess <= 0) return
    const idle = [...this.connections.values()].filter((end) => end !== last && end.channels.size === 0).reverse()
    const inOrder = [false, true].flatMap((own) => idle.filter(({ path }) => path.hasDialled === own))
    for (const end of inOrder.slice(0, excess)) end.fail()
  }

  forget(end: ConnectionEnd): void {
    const peer = end.other.host.self
    if (this.connections.get(peer) !== end) return
    this.connections.delete(peer)
    this.#emit({ type: 'disconnected', peer })
  }

  /** Runs what a change in the network sets off in this peer: later when it is frozen, never when it is dead. */
  wake(run: () => void): void {
    if (this.clock.frozen) this.clock.soon(run, EventKind.transfer)
    else if (this.alive) run()
  }

  discard<T>(value: T): T {
    this.#hub.clock.countDiscarded(1)
    return value
  }

  /** What a dead peer waits for. */
  never<T>(): Promise<T> {
    this.#hub.clock.countDiscarded(1)
    return new Promise<T>(() => {})
  }

  /**
   * Uses the connection to a peer. One that was there may be closed as an idle one by the other side in this moment, which has not
   * heard of the use then: another is made.
   */
  async #onConnection<T>(peer: PeerId, signal: AbortSignal | undefined, use: (end: ConnectionEnd) => Promise<T>): Promise<T> {
    const existing = this.connections.get(peer)
    const connected = async (): Promise<ConnectionEnd> => {
      const end = await this.#connect(peer, signal)
      if (!end.isOpen) throw new DialError(`the connection to ${peer} broke as soon as it was there`)
      return end
    }
    const end = await connected()
    try {
      return await use(end)
    } catch (error) {
      if (end !== existing || end.isOpen || !(error instanceof DialError)) throw error
      return await use(await connected())
    }
  }

  async #connect(peer: PeerId, signal: AbortSignal | undefined): Promise<ConnectionEnd> {
    throwIfAborted(signal)
    if (!this.alive) return await this.never()
    if (this.stopped) throw this.#stoppedError()
    if (peer === this.self) throw new DialError('a peer cannot open a channel to itself')
    const end = this.connections.get(peer)
    if (end !== undefined) return end
    this.#assertKnown(peer)
    let dial = this.#dials.get(peer)
    if (dial === undefined) {
      dial = this.#hub.dial(this, peer)
      this.#dials.set(peer, dial)
      const over = (): void => void this.#dials.delete(peer)
      dial.then(over, over)
    }
    return await raceAbort(dial, signal)
  }

  #assertKnown(peer: PeerId): void {
    const addresses = [...(this.#trusted.get(peer) ?? []), ...(this.#announced.get(peer) ?? [])]
    if (addresses.length === 0) throw new DialError(`no address of ${peer} is known`, { detail: { peer } })
    if (addresses.some((address) => address === virtualAddress(peer) || address === `/sim/${peer}`)) return
    throw new DialError(`none of the ${addresses.length} addresses of ${peer} leads to it`, { detail: { peer } })
  }

  #stoppedError(): DialError {
    return new DialError(`${this.self} has stopped its network`)
  }

  #accept(handler: Handler, channel: VirtualChannel): void {
    const onFailure = (error: unknown): void => {
      this.#logger.warn('a protocol handler failed; its channel was reset', { protocol: channel.protocol }, error)
      channel.reset()
    }
    try {
      const result: unknown = handler.accept(channel)
      if (result instanceof Promise) result.catch(onFailure)
    } catch (error) {
      onFailure(error)
    }
  }

  #emit(event: NetworkEvent): void {
    if (!this.alive) return
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#logger.warn('a listener of network events failed', { event: event.type, error: describeError(error) })
      }
    }
  }
}
