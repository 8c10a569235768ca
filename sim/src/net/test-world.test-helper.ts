import type { Channel, ChannelLimits, Network, PeerId } from '@skein/protocol'
import { parseProtocolId, seededRandom } from '@skein/protocol'
import { VirtualClock } from '../kernel/virtual-clock.ts'
import type { NatClass, ScenarioNetwork } from '../scenario/scenario.ts'
import { virtualAddress } from './virtual-host.ts'
import { type TransferReport, type VirtualInternet, virtualInternet, type VirtualInternetInit } from './virtual-network.ts'

export const testProtocol = parseProtocolId('/skein/test/1.0')
export const wideLimits: ChannelLimits = { maxHeadBytes: 1e6, maxBodyBytes: 1e9, sendBufferBytes: 1e12 }

export interface TestPeer {
  readonly network: Network
  readonly peer: PeerId
  /** Channels that others opened to it, in order. */
  readonly accepted: Channel[]
}

export interface TestPeerInit {
  readonly up?: number
  readonly down?: number
  readonly nat?: NatClass
  readonly region?: string
  readonly relay?: boolean
}

/** A small virtual internet for the tests of this folder. */
export class TestWorld {
  readonly clock = new VirtualClock()
  readonly internet: VirtualInternet
  readonly transfers: TransferReport[] = []
  readonly #networks: Network[] = []

  constructor(network: Partial<ScenarioNetwork> = {}, init: Partial<VirtualInternetInit> = {}, seed = 1) {
    this.internet = virtualInternet({
      clock: this.clock,
      random: seededRandom(seed),
      network: {
        latency: { kind: 'constant', oneWayMs: 5 },
        jitterMs: { kind: 'constant', value: 0 },
        lossShare: 0,
        connectRoundTrips: 3,
        holePunching: false,
        ...network
      },
      regions: [{ name: 'here', latitude: 0, longitude: 0 }],
      onTransfer: (report) => this.transfers.push(report),
      ...init
    })
  }

  /** A peer that knows all others and accepts channels. Bandwidths in bytes per second. */
  join(name: string, { up = 1e9, down = 1e9, nat = 'open', region = 'here', relay = nat === 'open' }: TestPeerInit = {}): TestPeer {
    const peer = `12D3KooW${name}` as PeerId
    const network = this.internet.join({
      peer,
      region,
      upBytesPerSecond: up,
      downBytesPerSecond: down,
      nat,
      relay
    })
    for (const other of this.#networks) {
      other.learn({ peer, addresses: [virtualAddress(peer)], source: 'trusted' })
      network.learn({ peer: other.self, addresses: [virtualAddress(other.self)], source: 'trusted' })
    }
    this.#networks.push(network)
    const accepted: Channel[] = []
    network.handle(testProtocol, wideLimits, (channel) => accepted.push(channel))
    return { network, peer, accepted }
  }

  /** Both ends of a new channel. */
  async open(from: TestPeer, to: TestPeer, limits = wideLimits): Promise<[Channel, Channel]> {
    const near = await this.run(from.network.open(to.peer, testProtocol, { limits }), 'the channel')
    return [near, to.accepted.at(-1) as Channel]
  }

  run<T>(promise: Promise<T>, what = 'the test'): Promise<T> {
    return this.clock.runUntilSettled(promise, what, this.clock.monotonicMs() + 3_600_000)
  }
}

/** A frame that is charged for so many bytes. */
export function modelled(bytes: number): { head: Uint8Array; body: { byteLength: number; read(): Uint8Array } } {
  return { head: new Uint8Array(0), body: { byteLength: bytes, read: () => new Uint8Array(0) } }
}
