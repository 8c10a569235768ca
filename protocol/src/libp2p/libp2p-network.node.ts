import type { Connection, Libp2p, PeerId as Libp2pPeerId, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { abortReason, raceAbort, throwIfAborted } from '../abort.ts'
import { runHandler } from '../ports/run-handler.ts'
import { describeError, DialError, WireError, WireErrorCode } from '../errors.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import type { Channel, ChannelLimits, Network, NetworkEvent, OpenOptions, PathInfo, PeerAddresses } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import { AddressBook } from './address-book.node.ts'
import { peerNamedBy } from './addresses.node.ts'
import { BootstrapKeeper } from './bootstrap-keeper.ts'
import { ConnectionUses } from './connection-uses.node.ts'
import { Libp2pChannel } from './libp2p-channel.node.ts'
import { type Libp2pHostInit, startLibp2pHost } from './libp2p-host.node.ts'
import { libp2pLimits } from './libp2p-limits.ts'
import { measureRoundTrip } from './ping.node.ts'
import { advertiseTopic, findTopic } from './rendezvous.node.ts'

export interface Libp2pNetworkInit extends Libp2pHostInit {
  /** Multiaddrs of peers to keep connected, each ending in `/p2p/<peer id>`. */
  readonly bootstrap: readonly string[]
  readonly random: Random
  readonly logger: Logger
  /** Called, perhaps more than once, when another host uses this host's key. The log warns in any case. */
  readonly onDuplicateIdentity?: () => void
}

interface Handler {
  readonly limits: ChannelLimits
  readonly accept: (channel: Channel) => void
}

const streamOptions = {
  maxInboundStreams: libp2pLimits.maxStreamsPerProtocol,
  maxOutboundStreams: libp2pLimits.maxStreamsPerProtocol,
  runOnLimitedConnection: true
} as const

/** Everyone but tests that need the host below uses `createLibp2pNetwork`. */
export class Libp2pNetwork implements Network {
  readonly self: PeerId
  readonly host: Libp2p
  readonly #init: Libp2pNetworkInit
  readonly #book: AddressBook
  readonly #keeper: BootstrapKeeper
  readonly #uses: ConnectionUses
  readonly #handlers = new Map<ProtocolId, Handler>()
  readonly #channels = new Set<Libp2pChannel>()
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  /** Smoothed round trips of the peers that are connected. */
  readonly #roundTripsMs = new Map<PeerId, number>()
  #lastAddresses = ''
  #stopping: Promise<void> | undefined

  private constructor(init: Libp2pNetworkInit, host: Libp2p, book: AddressBook, bootstrap: readonly PeerId[]) {
    this.#init = init
    this.host = host
    this.self = init.identity.peerId
    this.#book = book
    const keeper = { isConnected: (peer: PeerId) => this.path(peer) !== undefined, connect: this.#reach.bind(this) }
    this.#keeper = new BootstrapKeeper({ ...init, ...keeper }, bootstrap)
    const { clock, logger, maxConnections = libp2pLimits.maxConnections } = init
    this.#uses = new ConnectionUses({ host, clock, logger, maxConnections, mustStay: (peer) => bootstrap.includes(peer) })
  }

  static async start(init: Libp2pNetworkInit): Promise<Libp2pNetwork> {
    const book = new AddressBook(init.allowPrivateAddresses)
    const bootstrap = learnBootstrap(init.bootstrap, book, init.identity.peerId)
    const onOwnKey = (): void => duplicateIdentity(init)
    const host = await startLibp2pHost(init, book, onOwnKey)
    const network = new Libp2pNetwork(init, host, book, bootstrap)
    network.#listen()
    network.#keeper.start()
    return network
  }

  addresses(): readonly string[] {
    return this.#stopping === undefined ? this.host.getMultiaddrs().map((address) => address.toString()) : []
  }

  learn(record: PeerAddresses): void {
    if (record.peer !== this.self) return this.#book.learn(record)
    // Its own record comes back from the directory, with addresses that it has or had.
    const own = new Set(this.addresses())
    if (record.addresses.length > 0 && !record.addresses.some((address) => own.has(address))) {
      this.#init.logger.warn("addresses that are not this host's are announced under its peer id", { addresses: record.addresses })
    }
  }

  async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const { signal } = options
    const channel = await this.#onConnection(peer, signal, async (connection) => {
      let stream: Stream
      try {
        stream = await connection.newStream([protocol], { ...streamOptions, signal })
      } catch (error) {
        throw openError(peer, protocol, error, signal)
      }
      return this.#channel(stream, connection, protocol, options.limits, options.priority)
    })
    if (this.#stopping === undefined) return channel
    channel.reset()
    throw new DialError(`${this.self} has stopped its network`)
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    const handler = { limits, accept }
    this.#handlers.set(protocol, handler)
    const accepted = (stream: Stream, connection: Connection): void => this.#accept(handler, protocol, stream, connection)
    this.#quietly(this.host.handle(protocol, accepted, { ...streamOptions, force: true }))
    return () => {
      if (this.#handlers.get(protocol) !== handler) return
      this.#handlers.delete(protocol)
      this.#quietly(this.host.unhandle(protocol))
    }
  }

  path(peer: PeerId): PathInfo | undefined {
    const connection = this.#connected(peerIdFromString(peer))
    if (connection === undefined) return undefined
    const roundTripMs = this.#roundTripsMs.get(peer) ?? connection.rtt
    return { kind: connection.direct ? 'direct' : 'relayed', ...(roundTripMs === undefined ? {} : { roundTripMs }) }
  }

  async ping(peer: PeerId, options: AbortOptions = {}): Promise<number> {
    return await this.#onConnection(peer, options.signal, (connection) => this.#ping(peer, connection, options))
  }

  async #ping(peer: PeerId, connection: Connection, options: AbortOptions): Promise<number> {
    const { clock, random } = this.#init
    const deadline = clock.deadline(libp2pLimits.dialTimeoutMs, `a ping of ${peer}`, options.signal)
    try {
      const measuredMs = await measureRoundTrip(connection, clock, random, deadline.signal)
      const beforeMs = this.#roundTripsMs.get(peer) ?? measuredMs
      this.#roundTripsMs.set(peer, beforeMs + (measuredMs - beforeMs) * libp2pLimits.roundTripWeight)
      return measuredMs
    } catch (error) {
      if (deadline.signal.aborted) throw abortReason(deadline.signal)
      throw new DialError(`${peer} does not answer pings`, { cause: error, detail: { peer } })
    } finally {
      deadline.clear()
    }
  }

  subscribe(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async advertise(topic: string, options: AbortOptions = {}): Promise<void> {
    if (this.#init.dhtMode !== 'off') await raceAbort(advertiseTopic(this.host, topic, options), options.signal)
  }

  async *find(topic: string, options: AbortOptions = {}): AsyncGenerator<PeerAddresses> {
    if (this.#init.dhtMode !== 'off') yield* findTopic(this.host, topic, options)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#uses.stop()
    await this.#keeper.stop()
    for (const channel of [...this.#channels]) channel.reset()
    await this.host.stop()
  }

  async #reach(peer: PeerId, signal: AbortSignal): Promise<void> {
    await this.#connect(peer, signal)
  }

  /**
   * Uses the connection to a peer. The other side may be closing one that was there and is idle, before it hears of this use: an idle
   * one that does not serve is given up, and another is made.
   */
  async #onConnection<T>(peer: PeerId, signal: AbortSignal | undefined, use: (connection: Connection) => Promise<T>): Promise<T> {
    const existing = this.#connected(peerIdFromString(peer))
    const connection = await this.#connect(peer, signal)
    try {
      return await use(connection)
    } catch (error) {
      const isOther = connection !== existing || connection.streams.length > 0 || !(error instanceof DialError)
      if (isOther || signal?.aborted === true || this.#stopping !== undefined) throw error
      // Its muxer is closed first, and it still looks open then.
      connection.abort(error)
      return await use(await this.#connect(peer, signal))
    }
  }

  async #connect(peer: PeerId, signal: AbortSignal | undefined): Promise<Connection> {
    throwIfAborted(signal)
    if (this.#stopping !== undefined) throw new DialError(`${this.self} has stopped its network`)
    if (peer === this.self) throw new DialError('a peer cannot open a channel to itself')
    const connected = this.#connected(peerIdFromString(peer))
    if (connected !== undefined) return connected
    const addresses = this.#book.addressesOf(peer)
    if (addresses.length === 0) throw new DialError(`no address of ${peer} is known that may be dialled`, { detail: { peer } })
    try {
      return await this.#dial(peer, addresses, signal)
    } catch (error) {
      if (signal?.aborted === true) throw abortReason(signal)
      const tried = addresses.map((address) => address.toString()).join(', ')
      throw new DialError(`${peer} cannot be reached at ${tried}: ${dialReason(error)}`, { cause: error, detail: { peer } })
    }
  }

  /** Noise compares the peer that answers only with an id that holds its key: that it is the wanted one is looked at here again. */
  async #dial(peer: PeerId, addresses: Multiaddr[], signal: AbortSignal | undefined): Promise<Connection> {
    const connection = await raceAbort(this.host.dial(addresses, { signal }), signal)
    const answers = connection.remotePeer.toString()
    if (answers === peer) return connection
    connection.abort(new Error('another peer was wanted'))
    throw new DialError(`${answers} answers there`)
  }

  /** The best open connection, a direct one before a relayed one. */
  #connected(peer: Libp2pPeerId): Connection | undefined {
    const open = this.host.getConnections(peer).filter((connection) => connection.status === 'open')
    return open.find((connection) => connection.direct) ?? open[0]
  }

  #accept(handler: Handler, protocol: ProtocolId, stream: Stream, connection: Connection): void {
    const channel = this.#channel(stream, connection, protocol, handler.limits)
    runHandler(
      () => handler.accept(channel),
      (error) => {
        this.#init.logger.warn('a protocol handler failed; its channel was reset', { protocol }, error)
        channel.reset()
      }
    )
  }

  #channel(
    stream: Stream,
    connection: Connection,
    protocol: ProtocolId,
    limits: ChannelLimits,
    priority?: OpenOptions['priority']
  ): Libp2pChannel {
    const peer = connection.remotePeer.toString() as PeerId
    const channel = new Libp2pChannel({ stream, peer, protocol, limits, priority })
    this.#channels.add(channel)
    this.#uses.hold(connection, channel.closed)
    void channel.closed.then(() => this.#channels.delete(channel))
    return channel
  }

  #listen(): void {
    this.host.addEventListener('peer:connect', (event) => this.#emit({ type: 'connected', peer: event.detail.toString() as PeerId }))
    this.host.addEventListener('peer:disconnect', (event) => {
      const peer = event.detail.toString() as PeerId
      this.#roundTripsMs.delete(peer)
      this.#emit({ type: 'disconnected', peer })
    })
    this.#lastAddresses = this.addresses().join()
    this.host.addEventListener('self:peer:update', () => {
      const addresses = this.addresses()
      if (addresses.join() === this.#lastAddresses) return
      this.#lastAddresses = addresses.join()
      this.#emit({ type: 'addresses', addresses })
    })
  }

  #emit(event: NetworkEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#init.logger.warn('a listener of network events failed', { event: event.type }, error)
      }
    }
  }

  /** Handlers take effect at once; what libp2p does afterwards is bookkeeping of its peer store. */
  #quietly(work: Promise<void>): void {
    work.catch((error: unknown) => this.#init.logger.debug('libp2p could not note a protocol', { reason: describeError(error) }))
  }
}

function learnBootstrap(texts: readonly string[], book: AddressBook, self: PeerId): PeerId[] {
  const byPeer = new Map<PeerId, string[]>()
  for (const text of texts) {
    const peer = peerNamedBy(text)
    if (peer !== self) byPeer.set(peer, [...(byPeer.get(peer) ?? []), text])
  }
  for (const [peer, addresses] of byPeer) book.learn({ peer, addresses, source: 'trusted' })
  return [...byPeer.keys()]
}

function duplicateIdentity(init: Libp2pNetworkInit): void {
  init.logger.warn("another host uses this peer's key: give each host a key file of its own", { peer: init.identity.peerId })
  init.onDuplicateIdentity?.()
}

function dialReason(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error]
  return [...new Set(errors.map(describeError))].slice(0, 3).join('; ')
}

function openError(peer: PeerId, protocol: ProtocolId, error: unknown, signal: AbortSignal | undefined): Error {
  if (signal?.aborted === true) return abortReason(signal)
  if (error instanceof Error && error.name === 'UnsupportedProtocolError') {
    return new WireError(WireErrorCode.Unsupported, `${peer} does not speak ${protocol}`, { detail: { peer } })
  }
  return new DialError(`no channel ${protocol} to ${peer} could be opened: ${describeError(error)}`, { cause: error, detail: { peer } })
}
