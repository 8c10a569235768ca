import type { ProtocolId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import type { Channel, ChannelLimits, Frame, Network, OpenOptions } from '../ports/network.ts'

/** Bytes of frames, heads and bodies; what a transport adds to them is not counted. */
export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
}

/** Counts the frames that pass through the channels of a network. `traffic` is read when it is wanted. */
export function countTraffic(network: Network): { readonly network: Network; readonly traffic: () => Traffic } {
  const count = { sentBytes: 0, receivedBytes: 0 }
  const counted = (channel: Channel): Channel => new CountedChannel(channel, count)
  return {
    network: {
      self: network.self,
      addresses: () => network.addresses(),
      learn: (record) => network.learn(record),
      open: async (peer, protocol: ProtocolId, options: OpenOptions) => counted(await network.open(peer, protocol, options)),
      // What `accept` returns may be a promise that rejects.
      handle: (protocol: ProtocolId, limits: ChannelLimits, accept) =>
        network.handle(protocol, limits, (channel) => accept(counted(channel))),
      path: (peer) => network.path(peer),
      ping: (peer, options) => network.ping(peer, options),
      subscribe: (listener) => network.subscribe(listener),
      advertise: (topic, options) => network.advertise(topic, options),
      find: (topic, options) => network.find(topic, options),
      stop: () => network.stop()
    },
    traffic: () => ({ ...count })
  }
}

function frameBytes({ head, body }: Frame): number {
  return head.byteLength + (body?.byteLength ?? 0)
}

class CountedChannel implements Channel {
  readonly peer: Channel['peer']
  readonly protocol: Channel['protocol']
  readonly closed: Channel['closed']
  readonly #channel: Channel
  readonly #count: { sentBytes: number; receivedBytes: number }

  constructor(channel: Channel, count: { sentBytes: number; receivedBytes: number }) {
    this.#channel = channel
    this.#count = count
    this.peer = channel.peer
    this.protocol = channel.protocol
    this.closed = channel.closed
  }

  send(frame: Frame): boolean {
    const bytes = frameBytes(frame)
    const more = this.#channel.send(frame)
    this.#count.sentBytes += bytes
    return more
  }

  writable(options?: AbortOptions): Promise<void> {
    return this.#channel.writable(options)
  }

  async receive(options?: AbortOptions): Promise<Frame | undefined> {
    const frame = await this.#channel.receive(options)
    if (frame !== undefined) this.#count.receivedBytes += frameBytes(frame)
    return frame
  }

  end(options?: AbortOptions): Promise<void> {
    return this.#channel.end(options)
  }

  reset(): void {
    this.#channel.reset()
  }
}
