import {
  carriesActivations,
  type Channel,
  type ChannelLimits,
  ForwardingChannel,
  ForwardingNetwork,
  type Frame,
  type Network,
  type OpenOptions,
  type PeerId,
  type ProtocolId
} from '@skein/protocol'
import { ChargedBody } from '../net/charged-frame.ts'

/**
 * A network on which a simulated row costs what a row of the model's activations does: bodies of the protocols that
 * carry activations state that size to the network below, and their real one to the code above.
 */
export class ChargedNetwork extends ForwardingNetwork {
  readonly #charge: number

  /** @param charge what a byte that is sent counts for: bytes of one row of the model's activations over those of a simulated one */
  constructor(network: Network, charge: number) {
    super(network)
    this.#charge = charge
  }

  override async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const channel = await this.network.open(peer, protocol, options)
    return carriesActivations(protocol) ? new ChargedChannel(channel, this.#charge) : channel
  }

  override handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    if (!carriesActivations(protocol)) return this.network.handle(protocol, limits, accept)
    return this.network.handle(protocol, limits, (channel) => accept(new ChargedChannel(channel, this.#charge)))
  }
}

class ChargedChannel extends ForwardingChannel {
  readonly #charge: number

  constructor(channel: Channel, charge: number) {
    super(channel)
    this.#charge = charge
  }

  override send({ head, body }: Frame): boolean {
    if (body === undefined || body.byteLength === 0) return this.channel.send({ head })
    return this.channel.send({ head, body: new ChargedBody(body.read(), Math.round(body.byteLength * this.#charge)) })
  }
}
