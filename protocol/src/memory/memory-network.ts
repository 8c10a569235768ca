import { raceAbort, throwIfAborted } from '../abort.ts'
import { describeError, DialError, WireError, WireErrorCode } from '../errors.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import { type Logger, silentLogger } from '../ports/logger.ts'
import type { Channel, ChannelLimits, Network, NetworkEvent, OpenOptions, PathInfo, PeerAddresses } from '../ports/network.ts'
import { runHandler } from '../ports/run-handler.ts'
import { MemoryChannel } from './memory-channel.ts'

export interface MemoryInternetInit {
  /** What `ping` and `path` say of a pair of peers. @default 0, since memory has no latency */
  roundTripMs?(a: PeerId, b: PeerId): number
  readonly logger?: Logger
}

/** `refuse`: new dials fail at once. `hang`: they wait until their signal fires, as through a firewall that drops packets. */
export type CutMode = 'refuse' | 'hang'

/** All peers of one process, and what tests do to the lines between them. */
export interface MemoryInternet {
  /** A peer's network. A peer id joins once, and again after its network was stopped. */
  join(peer: PeerId): Network
  /** Breaks the connection of two peers, with every channel on it, and keeps them apart until `heal`. */
  cut(a: PeerId, b: PeerId, mode?: CutMode): void
  heal(a: PeerId, b: PeerId): void
}

/** The address of a peer in a {@link MemoryInternet}. Others must `learn` it before they can open a channel to the peer. */
export function memoryAddress(peer: PeerId): string {
  return `/memory/${peer}/p2p/${peer}`
}

/** A network inside this process, for tests and for several peers in one program. Everything arrives by microtasks. */
export function memoryInternet(init: MemoryInternetInit = {}): MemoryInternet {
  return new Hub(init)
}

/** One order for the two names of a pair. */
function pairKey(a: PeerId, b: PeerId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

class Hub implements MemoryInternet {
  readonly peers = new Map<PeerId, MemoryNetwork>()
  readonly cuts = new Map<string, CutMode>()
  /** Per topic, the peers that advertised it, in that order. */
  readonly topics = new Map<string, Set<PeerId>>()
  readonly #init: MemoryInternetInit

  constructor(init: MemoryInternetInit) {
    this.#init = init
  }

  join(peer: PeerId): Network {
    if (this.peers.has(peer)) throw new DialError(`${peer} is in this memory network already: one identity cannot be two hosts`)
    const network = new MemoryNetwork(this, peer, this.#init.logger ?? silentLogger)
    this.peers.set(peer, network)
    return network
  }

  cut(a: PeerId, b: PeerId, mode: CutMode = 'refuse'): void {
    this.cuts.set(pairKey(a, b), mode)
    this.disconnect(a, b)
  }

  heal(a: PeerId, b: PeerId): void {
    this.cuts.delete(pairKey(a, b))
  }

  disconnect(a: PeerId, b: PeerId): void {
    this.peers.get(a)?.drop(b)
    this.peers.get(b)?.drop(a)
  }

  leave(peer: PeerId): void {
    for (const members of this.topics.values()) members.delete(peer)
    const others = [...this.peers.keys()].filter((other) => other !== peer)
    for (const other of others) this.disconnect(peer, other)
    this.peers.delete(peer)
  }

  roundTripMs(a: PeerId, b: PeerId): number {
    return this.#init.roundTripMs?.(a, b) ?? 0
  }
}

interface Handler {
  readonly limits: ChannelLimits
  readonly accept: (channel: Channel) => void
}

class MemoryNetwork implements Network {
  readonly self: PeerId
  readonly #hub: Hub
  readonly #logger: Logger
  readonly #handlers = new Map<ProtocolId, Handler>()
  readonly #known = new Map<PeerId, Map<PeerAddresses['source'], readonly string[]>>()
  readonly #channels = new Map<PeerId, Set<MemoryChannel>>()
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  #stopped = false

  constructor(hub: Hub, self: PeerId, logger: Logger) {
    this.#hub = hub
    this.self = self
    this.#logger = logger
  }

  addresses(): readonly string[] {
    return this.#stopped ? [] : [memoryAddress(this.self)]
  }

  learn(record: PeerAddresses): void {
    const sources = this.#known.get(record.peer) ?? new Map<PeerAddresses['source'], readonly string[]>()
    sources.set(record.source, [...record.addresses])
    this.#known.set(record.peer, sources)
  }

  async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const remote = await this.#connect(peer, options.signal)
    const handler = remote.#handlers.get(protocol)
    if (handler === undefined) throw new WireError(WireErrorCode.Unsupported, `${peer} does not speak ${protocol}`)
    const [near, far] = MemoryChannel.pair(
      protocol,
      { peer: this.self, limits: options.limits, onClosed: (channel) => this.#forget(peer, channel) },
      { peer, limits: handler.limits, onClosed: (channel) => remote.#forget(this.self, channel) }
    )
    this.#channels.get(peer)?.add(near)
    remote.#channels.get(this.self)?.add(far)
    queueMicrotask(() => remote.#accept(handler, far))
    return near
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    const handler = { limits, accept }
    this.#handlers.set(protocol, handler)
    return () => {
      if (this.#handlers.get(protocol) === handler) this.#handlers.delete(protocol)
    }
  }

  path(peer: PeerId): PathInfo | undefined {
    return this.#channels.has(peer) ? { kind: 'direct', roundTripMs: this.#hub.roundTripMs(this.self, peer) } : undefined
  }

  async ping(peer: PeerId, options: AbortOptions = {}): Promise<number> {
    await this.#connect(peer, options.signal)
    return this.#hub.roundTripMs(this.self, peer)
  }

  subscribe(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async advertise(topic: string, options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    if (this.#stopped) throw new DialError(`${this.self} has stopped its network`)
    const members = this.#hub.topics.get(topic) ?? new Set()
    this.#hub.topics.set(topic, members.add(this.self))
  }

  async *find(topic: string, options: AbortOptions = {}): AsyncGenerator<PeerAddresses> {
    for (const peer of [...(this.#hub.topics.get(topic) ?? [])]) {
      throwIfAborted(options.signal)
      await Promise.resolve()
      if (peer === this.self || this.#hub.cuts.has(pairKey(this.self, peer))) continue
      yield { peer, addresses: [memoryAddress(peer)], source: 'announcement' }
    }
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#handlers.clear()
    for (const channels of [...this.#channels.values()]) for (const channel of [...channels]) channel.reset()
    this.#hub.leave(this.self)
  }

  /** The connection to a peer is gone: every channel on it fails. */
  drop(peer: PeerId): void {
    const channels = this.#channels.get(peer)
    if (channels === undefined) return
    this.#channels.delete(peer)
    for (const channel of [...channels]) channel.break()
    this.#emit({ type: 'disconnected', peer })
  }

  async #connect(peer: PeerId, signal: AbortSignal | undefined): Promise<MemoryNetwork> {
    throwIfAborted(signal)
    if (this.#stopped) throw new DialError(`${this.self} has stopped its network`)
    if (peer === this.self) throw new DialError('a peer cannot open a channel to itself')
    // The dial's own turn: a caller never sees a channel or a refusal in the same tick as its call.
    await raceAbort(Promise.resolve(), signal)
    const connected = this.#channels.has(peer)
    if (!connected) this.#assertKnown(peer)
    const cut = this.#hub.cuts.get(pairKey(this.self, peer))
    if (cut === 'hang') await raceAbort(new Promise<never>(() => {}), signal)
    const remote = this.#hub.peers.get(peer)
    if (cut === 'refuse' || remote === undefined || this.#stopped) {
      throw new DialError(`${peer} cannot be reached at ${memoryAddress(peer)}`, { detail: { peer } })
    }
    if (!this.#channels.has(peer)) {
      this.#channels.set(peer, new Set())
      remote.#channels.set(this.self, new Set())
      this.#emit({ type: 'connected', peer })
      remote.#emit({ type: 'connected', peer: this.self })
    }
    return remote
  }

  #assertKnown(peer: PeerId): void {
    const addresses = [...(this.#known.get(peer)?.values() ?? [])].flat()
    if (addresses.length === 0) throw new DialError(`no address of ${peer} is known`, { detail: { peer } })
    if (addresses.some((address) => address === memoryAddress(peer) || address === `/memory/${peer}`)) return
    throw new DialError(`none of the ${addresses.length} addresses of ${peer} leads to it`, { detail: { peer } })
  }

  #accept(handler: Handler, channel: MemoryChannel): void {
    runHandler(
      () => handler.accept(channel),
      (error) => {
        this.#logger.warn('a protocol handler failed; its channel was reset', { protocol: channel.protocol }, error)
        channel.reset()
      }
    )
  }

  #forget(peer: PeerId, channel: MemoryChannel): void {
    this.#channels.get(peer)?.delete(channel)
  }

  #emit(event: NetworkEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#logger.warn('a listener of network events failed', { event: event.type, error: describeError(error) })
      }
    }
  }
}
