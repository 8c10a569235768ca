import {
  type AbortOptions,
  type Channel,
  type ChannelLimits,
  type CloseCause,
  type Frame,
  type Network,
  type NetworkEvent,
  type OpenOptions,
  type PathInfo,
  type PeerAddresses,
  type PeerId,
  type ProtocolId,
  protocols
} from '@skein/protocol'

const isCharged: ReadonlySet<string> = new Set([protocols.link, protocols.results])

/**
 * A network on which a simulated row costs what a row of the model's activations does: bodies of the protocols that
 * carry activations state that size to the network below, and their real one to the code above.
 */
export class ChargedNetwork implements Network {
  readonly self: PeerId
  readonly #network: Network
  readonly #charge: number

  /** @param charge what a byte that is sent counts for: bytes of one row of the model's activations over those of a simulated one */
  constructor(network: Network, charge: number) {
    this.#network = network
    this.#charge = charge
    this.self = network.self
  }

  addresses(): readonly string[] {
    return this.#network.addresses()
  }

  learn(record: PeerAddresses): void {
    this.#network.learn(record)
  }

  async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const channel = await this.#network.open(peer, protocol, options)
    return isCharged.has(protocol) ? new ChargedChannel(channel, this.#charge) : channel
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    if (!isCharged.has(protocol)) return this.#network.handle(protocol, limits, accept)
    return this.#network.handle(protocol, limits, (channel) => accept(new ChargedChannel(channel, this.#charge)))
  }

  path(peer: PeerId): PathInfo | undefined {
    return this.#network.path(peer)
  }

  ping(peer: PeerId, options?: AbortOptions): Promise<number> {
    return this.#network.ping(peer, options)
  }

  subscribe(listener: (event: NetworkEvent) => void): () => void {
    return this.#network.subscribe(listener)
  }

  advertise(topic: string, options?: AbortOptions): Promise<void> {
    return this.#network.advertise(topic, options)
  }

  find(topic: string, options?: AbortOptions): AsyncIterable<PeerAddresses> {
    return this.#network.find(topic, options)
  }

  stop(): Promise<void> {
    return this.#network.stop()
  }
}

class ChargedChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  readonly #channel: Channel
  readonly #charge: number

  constructor(channel: Channel, charge: number) {
    this.#channel = channel
    this.#charge = charge
    this.peer = channel.peer
    this.protocol = channel.protocol
    this.closed = channel.closed
  }

  send({ head, body }: Frame): boolean {
    if (body === undefined || body.byteLength === 0) return this.#channel.send({ head })
    const byteLength = Math.round(body.byteLength * this.#charge)
    return this.#channel.send({ head, body: { byteLength, read: () => body.read() } })
  }

  writable(options?: AbortOptions): Promise<void> {
    return this.#channel.writable(options)
  }

  async receive(options?: AbortOptions): Promise<Frame | undefined> {
    const frame = await this.#channel.receive(options)
    if (frame?.body === undefined) return frame
    const bytes = frame.body.read()
    return { head: frame.head, body: { byteLength: bytes.byteLength, read: () => bytes } }
  }

  end(options?: AbortOptions): Promise<void> {
    return this.#channel.end(options)
  }

  reset(): void {
    this.#channel.reset()
  }
}
