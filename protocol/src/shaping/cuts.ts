/**
 * What a cut does to a connection, as the simulator's network and the shaping of a real one both have it. Pure: times are
 * counted from one origin that both ends share, so that each end can tell what the other one does.
 *
 * @packageDocumentation
 */
import type { PeerId } from '../ids.ts'
import { seededRandom } from '../ports/seeded-random.ts'
import type { Cut } from './link-profile.ts'

/** How tcp and libp2p behave when nothing arrives. */
export const connectionTimes = {
  /** Between two looks of libp2p's connection monitor, and how long each waits for an answer: its defaults. */
  keepAliveIntervalMs: 10_000,
  keepAliveTimeoutMs: 5_000,
  /** A dial of an address that does not answer is given up. */
  dialTimeoutMs: 6_000,
  /** The first retransmission timeout of TCP on Linux, which doubles up to the largest. */
  retransmitMs: 200,
  maxRetransmitMs: 120_000
} as const

/**
 * When TCP tries again for the first time at `notBefore` or later: 200 ms after `since`, 400 ms more, and so on.
 *
 * @param since when nothing came through any more
 * @param perMs 1 for times in milliseconds, 1000 for microseconds
 */
export function retransmissionAt(since: number, notBefore: number, perMs = 1): number {
  let wait = connectionTimes.retransmitMs * perMs
  let at = since + wait
  while (at < notBefore) {
    wait = Math.min(2 * wait, connectionTimes.maxRetransmitMs * perMs)
    at += wait
  }
  return at
}

/** From when to when something is so; the end is exclusive. */
type Interval = readonly [fromMs: number, toMs: number]

function at(intervals: readonly Interval[], ms: number): Interval | undefined {
  return intervals.find(([from, to]) => ms >= from && ms < to)
}

/** When one direction carries nothing: from the beginning of a cut until the first retransmission that comes through. */
function blockedBy(cuts: readonly Cut[]): Interval[] {
  const blocked: Interval[] = []
  for (const [from, to] of cuts) {
    // It has waited on from the cut before.
    if (from < (blocked.at(-1)?.[1] ?? -1)) continue
    let resumeMs = retransmissionAt(from, to)
    for (let cut = at(cuts, resumeMs); cut !== undefined; cut = at(cuts, resumeMs)) resumeMs = retransmissionAt(from, cut[1])
    blocked.push([from, resumeMs])
  }
  return blocked
}

/** Both lists as one, merged where they touch. */
function union(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const merged: Array<[number, number]> = []
  for (const [from, to] of [...a, ...b].toSorted((x, y) => x[0] - y[0])) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged
}

/** When a connection ends at this side, and when the other side gave it up; Infinity: never. */
export interface Break {
  readonly atMs: number
  readonly theirsMs: number
}

/** The cuts between this peer and another one. */
export interface CutsBetween {
  /** Of what goes to the peer. */
  readonly there: readonly Cut[]
  /** Of what comes from it. */
  readonly back: readonly Cut[]
}

/** Whether a new connection cannot be made: it needs both directions. */
export function isCut({ there, back }: CutsBetween, ms: number): boolean {
  return at(there, ms) !== undefined || at(back, ms) !== undefined
}

/** What cuts do to one connection, as this peer's side of it feels it. */
export class ConnectionCuts {
  /** When it breaks, if a cut is so long that one side or the other gives it up. */
  readonly break: Break
  readonly #back: readonly Cut[]
  readonly #blockedThere: readonly Interval[]
  readonly #blockedBack: readonly Interval[]

  /**
   * @param sinceMs when the connection came to be: earlier cuts are none of it
   * @param oneWayMs the delay between the two
   */
  constructor(cuts: CutsBetween, sinceMs: number, oneWayMs: number, self: PeerId, peer: PeerId) {
    const later = (list: readonly Cut[]): Cut[] => list.filter(([from]) => from >= sinceMs)
    this.#back = later(cuts.back)
    this.#blockedThere = blockedBy(later(cuts.there))
    this.#blockedBack = blockedBy(this.#back)
    this.break = union(this.#blockedThere, this.#blockedBack)
      .map((doubt) => this.#breakOf(doubt, oneWayMs, self, peer))
      .find(({ atMs }) => atMs < Infinity) ?? { atMs: Infinity, theirsMs: Infinity }
  }

  /** When something that would leave at this time leaves. */
  leavesAt(ms: number): number {
    return at(this.#blockedThere, ms)?.[1] ?? ms
  }

  /** When something that the peer would send at this time leaves it. */
  peerSendsAt(ms: number): number {
    return at(this.#blockedBack, ms)?.[1] ?? ms
  }

  /**
   * While anything is held back, both sides doubt the other one, and their monitors give it up after a time that each draws
   * for itself. Who gives up resets the connection, of which the other side hears if the way to it is not cut; else with
   * its own next retransmission that comes through, and an answer that says so.
   */
  #breakOf([fromMs, toMs]: Interval, oneWayMs: number, self: PeerId, peer: PeerId): Break {
    const ownMs = fromMs + patienceMs(self, peer, fromMs)
    const theirMs = fromMs + patienceMs(peer, self, fromMs)
    const own = ownMs < toMs ? ownMs : Infinity
    const theirs = theirMs < toMs ? theirMs : Infinity
    if (theirs >= own) return { atMs: own, theirsMs: theirs }
    // It is there no more: this side's doubt does not end with the cut.
    const isTold = at(this.#back, theirs) === undefined
    const blocked = at(this.#blockedThere, theirs)
    const heardMs = isTold ? theirs + oneWayMs : blocked === undefined ? Infinity : blocked[1] + 2 * oneWayMs
    return { atMs: Math.min(ownMs, heardMs), theirsMs: theirs }
  }
}

/** How long a side waits until its monitor gives up the other one: to its next look, and for the answer. */
function patienceMs(self: PeerId, peer: PeerId, fromMs: number): number {
  const { keepAliveIntervalMs, keepAliveTimeoutMs } = connectionTimes
  // By the names alone, so that the other side knows it as well.
  return keepAliveTimeoutMs + seededRandom(`${self} doubts ${peer} from ${fromMs}`).float() * keepAliveIntervalMs
}
