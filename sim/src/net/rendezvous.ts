import type { PeerId } from '@skein/protocol'
import type { VirtualClock } from '../kernel/virtual-clock.ts'

/** As kad-dht: provider records live for two days, whether their peer does or not, and a query gives at most so many. */
const recordMs = 48 * 3_600_000
const maxFound = 20

/** What the DHT knows: who advertised a topic. A hint for newcomers, which names the dead for a long time. */
export class Rendezvous {
  readonly #clock: VirtualClock
  /** Per topic, by when each peer advertised it last. */
  readonly #topics = new Map<string, Map<PeerId, number>>()

  constructor(clock: VirtualClock) {
    this.#clock = clock
  }

  add(topic: string, peer: PeerId): void {
    const peers = this.#topics.get(topic) ?? new Map<PeerId, number>()
    peers.delete(peer)
    this.#topics.set(topic, peers.set(peer, this.#clock.monotonicMs() + recordMs))
  }

  /** The ones that advertised last, newest first. */
  find(topic: string): PeerId[] {
    const nowMs = this.#clock.monotonicMs()
    const peers = this.#topics.get(topic) ?? new Map<PeerId, number>()
    return [...peers]
      .filter(([, untilMs]) => untilMs > nowMs)
      .slice(-maxFound)
      .map(([peer]) => peer)
      .reverse()
  }
}
