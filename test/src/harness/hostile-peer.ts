import {
  type Channel,
  type ControlRequest,
  channelLimits,
  decodeControlResponse,
  decodeLink,
  encodeControl,
  encodeLink,
  type Frame,
  type HeldMessage,
  type LinkMessage,
  type Network,
  attachment,
  type OpenRequest,
  parseModelId,
  parseSessionId,
  protocols,
  type ProtocolId,
  type SessionId,
  silentLogger,
  type StepMessage
} from '@skein/protocol'
import { createLibp2pNetwork, cryptoRandom, ed25519Identity, systemClock } from '@skein/protocol/node'
import type { NodeProcess } from './node-process.ts'

/** The width of skein-tiny's hidden states. */
const hiddenSize = 128
const random = cryptoRandom()

/** What a stage said before it gave up a channel; `reset` when it said nothing. */
export interface Verdict {
  readonly code: string
  readonly message: string
}

/** A libp2p peer that speaks the protocols of a node frame by frame, as no honest peer would. */
export class HostilePeer {
  readonly network: Network
  readonly #node: NodeProcess

  private constructor(network: Network, node: NodeProcess) {
    this.network = network
    this.#node = node
  }

  static async join(node: NodeProcess): Promise<HostilePeer> {
    const network = await createLibp2pNetwork({
      identity: ed25519Identity(random.bytes(32)),
      listen: [],
      bootstrap: node.addresses,
      dhtMode: 'off',
      allowPrivateAddresses: true,
      clock: systemClock(),
      random,
      logger: silentLogger
    })
    return new HostilePeer(network, node)
  }

  open(protocol: ProtocolId): Promise<Channel> {
    return this.network.open(this.#node.peerId, protocol, { limits: channelLimits.link })
  }

  /** A request that the node would grant, for a session whose both neighbours are this peer. */
  openRequest(changes: Partial<OpenRequest> = {}): OpenRequest {
    const { model, start, end, numerics } = this.#node.ready
    return {
      type: 'open',
      id: 1,
      session: parseSessionId(Buffer.from(random.bytes(16)).toString('hex')),
      model: parseModelId(model),
      span: { start, end },
      numerics,
      exact: false,
      kvTokens: 256,
      historyBytes: 0,
      encoding: 'f32',
      predecessor: { term: 1, to: { kind: 'coordinator' } },
      successor: { term: 1, to: { kind: 'coordinator' } },
      leaseMs: 30_000,
      ...changes
    }
  }

  /** A granted session. @throws Error when the node refuses it */
  async session(changes: Partial<OpenRequest> = {}): Promise<{ readonly control: Channel; readonly id: SessionId }> {
    const control = await this.open(protocols.control)
    const request = this.openRequest(changes)
    control.send({ head: encodeControl(request) })
    const answer = decodeControlResponse((await control.receive())!.head)
    if (answer.type !== 'opened') throw new Error(`the node answered ${JSON.stringify(answer)}`)
    return { control, id: request.session }
  }

  /** The channel by which activations go into a session, after the node's `held`. */
  async link(session: SessionId): Promise<{ readonly channel: Channel; readonly held: HeldMessage }> {
    const channel = await this.open(protocols.link)
    channel.send(message({ type: 'hello', coordinator: this.network.self, session, term: 1 }))
    const held = decodeLink((await channel.receive())!.head)
    if (held.type !== 'held') throw new Error(`the node answered ${JSON.stringify(held)}`)
    return { channel, held }
  }

  async stop(): Promise<void> {
    await this.network.stop()
  }
}

export function message(link: LinkMessage, body?: Uint8Array): Frame {
  return body === undefined ? { head: encodeLink(link) } : { head: encodeLink(link), body: attachment(body) }
}

export function request(control: ControlRequest): Frame {
  return { head: encodeControl(control) }
}

/** The first step of a session, of `rows` rows. */
export function step(rows: number, changes: Partial<StepMessage> = {}): StepMessage {
  return { type: 'step', from: 1, to: 1, position: 0, after: 0, runs: [{ seq: 1, rows, want: 'none' }], computeUs: 0, ...changes }
}

/** f32 activations of so many rows. */
export function rowsOf(rows: number, value = 0.1): Uint8Array {
  return new Uint8Array(new Float32Array(rows * hiddenSize).fill(value).buffer)
}

/** Reads a channel to its end. @returns the last refusal on it */
export async function verdict(channel: Channel): Promise<Verdict> {
  let last: Verdict | undefined
  try {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const answer = channel.protocol === protocols.control ? decodeControlResponse(frame.head) : decodeLink(frame.head)
      if (answer.type === 'refused') last = { code: answer.code, message: answer.message }
    }
  } catch {
    // Reset: what it said before counts.
  }
  channel.reset()
  return last ?? { code: 'reset', message: '' }
}
