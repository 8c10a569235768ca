import {
  type AbortOptions,
  abortReason,
  carriesActivations,
  type Channel,
  type ChannelLimits,
  ForwardingChannel,
  ForwardingNetwork,
  type Frame,
  type Network,
  type OpenOptions,
  type PeerId,
  type ProtocolId,
  protocols,
  raceAbort,
  throwIfAborted
} from '@skein/protocol'
import type { HostProcess } from '../compute/host-process.ts'
import { chargedBytes } from '../net/charged-frame.ts'

/**
 * A network whose messages keep the process busy that receives them: each frame, and each channel that is opened, at both ends,
 * before the code above has it. What the sender does for a message is counted at the receiver.
 */
export class BusyNetwork extends ForwardingNetwork {
  readonly #process: HostProcess

  constructor(network: Network, process: HostProcess) {
    super(network)
    this.#process = process
  }

  override async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const channel = await this.network.open(peer, protocol, options)
    await this.#opened(protocol)
    if (options.signal?.aborted === true) {
      channel.reset()
      throw abortReason(options.signal)
    }
    return new BusyChannel(channel, this.#process)
  }

  override handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    return this.network.handle(protocol, limits, (channel) => {
      // What `accept` returns may be a promise that rejects.
      const accepted = this.#opened(protocol).then(() => accept(new BusyChannel(channel, this.#process)))
      void accepted.catch(() => channel.reset())
    })
  }

  /** A session's control channel is opened with all that belongs to a session. */
  #opened(protocol: ProtocolId): Promise<void> {
    if (protocol === protocols.control) return this.#process.session()
    return carriesActivations(protocol) ? this.#process.link() : this.#process.message()
  }
}

class BusyChannel extends ForwardingChannel {
  readonly #process: HostProcess
  /** A frame that has come and that the process is at, or the end; kept for the next call when one is given up. */
  #taking: Promise<Frame | undefined> | undefined
  #wasReset = false

  constructor(channel: Channel, process: HostProcess) {
    super(
      channel,
      // A channel has not ended before all that came was taken in.
      channel.closed.then(async (cause) => {
        if (cause.kind === 'ended') await this.#taking
        return cause
      })
    )
    this.#process = process
  }

  override async receive(options: AbortOptions = {}): Promise<Frame | undefined> {
    throwIfAborted(options.signal)
    if (this.#taking === undefined) {
      const frame = await this.channel.receive(options)
      if (frame === undefined) return undefined
      if (this.#isFree(frame)) return frame
      this.#taking = this.#process.message(frame.body && chargedBytes(frame.body)).then(() => frame)
    }
    const frame = await raceAbort(this.#taking, options.signal)
    this.#taking = undefined
    // It says why there is nothing more.
    return this.#wasReset ? this.channel.receive(options) : frame
  }

  /** Acknowledgements of activations are handled after what somebody waits for. */
  #isFree({ body }: Frame): boolean {
    return body === undefined && carriesActivations(this.protocol)
  }

  override reset(): void {
    this.#wasReset = true
    this.channel.reset()
  }
}
