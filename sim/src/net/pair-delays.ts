import type { PeerId, Random } from '@skein/protocol'
import { draw } from '../workload/draw.ts'
import { type LatencyTable, maxOneWayMs } from './latency.ts'

/** A peer and where it is, as a number of the latency table. */
interface PlacedPeer {
  readonly self: PeerId
  readonly region: number
}

/**
 * One-way delays between peers, in whole microseconds. Where the table has a distribution, each pair of peers has a delay of
 * its own, which stays the same for the whole run: it depends on the two peers and the seed, and not on who asks when. Both
 * directions are drawn by the same chance: of regions that are as far apart either way, they take equally long.
 */
export class PairDelays {
  readonly #table: LatencyTable
  readonly #random: Random

  constructor(table: LatencyTable, random: Random) {
    this.#table = table
    this.#random = random
  }

  oneWayUs(from: PlacedPeer, to: PlacedPeer): number {
    const distribution = this.#table.distribution(from.region, to.region)
    if (distribution === undefined) return this.#table.oneWayUs(from.region, to.region)
    const pair = from.self < to.self ? `${from.self} ${to.self}` : `${to.self} ${from.self}`
    return Math.round(Math.min(maxOneWayMs, Math.max(0, draw(distribution, this.#random.fork(pair)))) * 1000)
  }

  roundTripUs(a: PlacedPeer, b: PlacedPeer): number {
    return this.oneWayUs(a, b) + this.oneWayUs(b, a)
  }
}
