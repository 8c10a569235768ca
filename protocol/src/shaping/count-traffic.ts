import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import { ForwardingChannel, ForwardingNetwork } from '../ports/forwarding.ts'
import type { Channel, ChannelLimits, Frame, Network, OpenOptions } from '../ports/network.ts'

/** Bytes of frames, heads and bodies; what a transport adds to them is not counted. */
export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
}

type Count = { -readonly [Key in keyof Traffic]: Traffic[Key] }

/** Counts the frames that pass through the channels of a network. `traffic` is read when it is wanted. */
export function countTraffic(network: Network): { readonly network: Network; readonly traffic: () => Traffic } {
  const count = { sentBytes: 0, receivedBytes: 0 }
  return { network: new CountedNetwork(network, count), traffic: () => ({ ...count }) }
}

function frameBytes({ head, body }: Frame): number {
  return head.byteLength + (body?.byteLength ?? 0)
}

class CountedNetwork extends ForwardingNetwork {
  readonly #count: Count

  constructor(network: Network, count: Count) {
    super(network)
    this.#count = count
  }

  override async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    return new CountedChannel(await this.network.open(peer, protocol, options), this.#count)
  }

  override handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    // What `accept` returns may be a promise that rejects.
    return this.network.handle(protocol, limits, (channel) => accept(new CountedChannel(channel, this.#count)))
  }
}

class CountedChannel extends ForwardingChannel {
  readonly #count: Count

  constructor(channel: Channel, count: Count) {
    super(channel)
    this.#count = count
  }

  override send(frame: Frame): boolean {
    const bytes = frameBytes(frame)
    const more = this.channel.send(frame)
    this.#count.sentBytes += bytes
    return more
  }

  override async receive(options?: AbortOptions): Promise<Frame | undefined> {
    const frame = await this.channel.receive(options)
    if (frame !== undefined) this.#count.receivedBytes += frameBytes(frame)
    return frame
  }
}
