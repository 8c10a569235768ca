import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from './clock.ts'
import type { Channel, ChannelLimits, CloseCause, Frame, Network, NetworkEvent, OpenOptions, PathInfo, PeerAddresses } from './network.ts'

/** A network that does what another one does: the base of those that change a part of it. */
export class ForwardingNetwork implements Network {
  readonly self: PeerId
  protected readonly network: Network

  constructor(network: Network) {
    this.network = network
    this.self = network.self
  }

  addresses(): readonly string[] {
    return this.network.addresses()
  }

  learn(record: PeerAddresses): void {
    this.network.learn(record)
  }

  open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    return this.network.open(peer, protocol, options)
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    return this.network.handle(protocol, limits, accept)
  }

  path(peer: PeerId): PathInfo | undefined {
    return this.network.path(peer)
  }

  ping(peer: PeerId, options?: AbortOptions): Promise<number> {
    return this.network.ping(peer, options)
  }

  subscribe(listener: (event: NetworkEvent) => void): () => void {
    return this.network.subscribe(listener)
  }

  advertise(topic: string, options?: AbortOptions): Promise<void> {
    return this.network.advertise(topic, options)
  }

  find(topic: string, options?: AbortOptions): AsyncIterable<PeerAddresses> {
    return this.network.find(topic, options)
  }

  stop(): Promise<void> {
    return this.network.stop()
  }
}

/** A channel that does what another one does: the base of those that change a part of it. */
export class ForwardingChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  protected readonly channel: Channel

  /** @param closed - where it differs from that of the channel */
  constructor(channel: Channel, closed: Promise<CloseCause> = channel.closed) {
    this.channel = channel
    this.peer = channel.peer
    this.protocol = channel.protocol
    this.closed = closed
  }

  send(frame: Frame): boolean {
    return this.channel.send(frame)
  }

  writable(options?: AbortOptions): Promise<void> {
    return this.channel.writable(options)
  }

  receive(options?: AbortOptions): Promise<Frame | undefined> {
    return this.channel.receive(options)
  }

  end(options?: AbortOptions): Promise<void> {
    return this.channel.end(options)
  }

  reset(): void {
    this.channel.reset()
  }
}
