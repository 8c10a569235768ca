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
import { checksumBytes } from '../compute/checksum-row.ts'

const isCharged: ReadonlySet<string> = new Set([protocols.link, protocols.results])

/**
 * A network on which a row of checksums costs what a row of the model's activations does: bodies of the protocols that
 * carry activations state the larger size to the network below, and their real one to the code above.
 */
export class ChargedNetwork implements Network {
  readonly self: PeerId
  readonly #network: Network
  readonly #rowBytes: number

  /** @param rowBytes bytes of one row of the simulated model's activations */
  constructor(network: Network, rowBytes: number) {
    this.#network = network
    this.#rowBytes = rowBytes
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
    return isCharged.has(protocol) ? new ChargedChannel(channel, this.#rowBytes) : channel
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    if (!isCharged.has(protocol)) return this.#network.handle(protocol, limits, accept)
    return this.#network.handle(protocol, limits, (channel) => accept(new ChargedChannel(channel, this.#rowBytes)))
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
  readonly #rowBytes: number

  constructor(channel: Channel, rowBytes: number) {
    this.#channel = channel
    this.#rowBytes = rowBytes
    this.peer = channel.peer
    this.protocol = channel.protocol
    this.closed = channel.closed
  }

  send({ head, body }: Frame): boolean {
    if (body === undefined || body.byteLength === 0) return this.#channel.send({ head })
    const byteLength = Math.round((body.byteLength / checksumBytes) * this.#rowBytes)
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
