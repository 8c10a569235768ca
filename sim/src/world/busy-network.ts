import {
  type AbortOptions,
  abortReason,
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
  protocols,
  raceAbort,
  throwIfAborted
} from '@skein/protocol'
import type { HostProcess } from '../compute/host-process.ts'

const carriesRows: ReadonlySet<string> = new Set([protocols.link, protocols.results])

/**
 * A network whose messages keep the process busy that receives them: each frame, and each channel that is opened, at both ends,
 * before the code above has it. What the sender does for a message is counted at the receiver.
 */
export class BusyNetwork implements Network {
  readonly self: PeerId
  readonly #network: Network
  readonly #process: HostProcess

  constructor(network: Network, process: HostProcess) {
    this.#network = network
    this.#process = process
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
    await this.#process.message()
    if (options.signal?.aborted === true) {
      channel.reset()
      throw abortReason(options.signal)
    }
    return new BusyChannel(channel, this.#process)
  }

  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    return this.#network.handle(protocol, limits, (channel) => {
      // What `accept` returns may be a promise that rejects.
      const accepted = this.#process.message().then(() => accept(new BusyChannel(channel, this.#process)))
      void accepted.catch(() => channel.reset())
    })
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

class BusyChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  readonly #channel: Channel
  readonly #process: HostProcess
  /** A frame that has come and that the process is at, or the end; kept for the next call when one is given up. */
  #taking: Promise<Frame | undefined> | undefined
  #wasReset = false

  constructor(channel: Channel, process: HostProcess) {
    this.#channel = channel
    this.#process = process
    this.peer = channel.peer
    this.protocol = channel.protocol
    // A channel has not ended before all that came was taken in.
    this.closed = channel.closed.then(async (cause) => {
      if (cause.kind === 'ended') await this.#taking
      return cause
    })
  }

  send(frame: Frame): boolean {
    return this.#channel.send(frame)
  }

  writable(options?: AbortOptions): Promise<void> {
    return this.#channel.writable(options)
  }

  async receive(options: AbortOptions = {}): Promise<Frame | undefined> {
    throwIfAborted(options.signal)
    if (this.#taking === undefined) {
      const frame = await this.#channel.receive(options)
      if (frame === undefined) return undefined
      if (this.#isFree(frame)) return frame
      this.#taking = this.#process.message(frame.body?.byteLength).then(() => frame)
    }
    const frame = await raceAbort(this.#taking, options.signal)
    this.#taking = undefined
    // It says why there is nothing more.
    return this.#wasReset ? this.#channel.receive(options) : frame
  }

  /** Acknowledgements of activations are handled after what somebody waits for. */
  #isFree({ body }: Frame): boolean {
    return body === undefined && carriesRows.has(this.protocol)
  }

  end(options?: AbortOptions): Promise<void> {
    return this.#channel.end(options)
  }

  reset(): void {
    this.#wasReset = true
    this.#channel.reset()
  }
}
