import type { Random } from '../ports/random.ts'
import type { PathProfile } from './link-profile.ts'

/** A serial line of a bandwidth: bytes pass one after another. It only reckons; who waits is its user. */
export class Line {
  readonly #bytesPerMs: number
  #freeMs = 0

  /** @param mbps 10^6 bits a second; unlimited when undefined */
  constructor(mbps: number | undefined) {
    this.#bytesPerMs = mbps === undefined ? Infinity : mbps * 125
  }

  /** Puts bytes on the line behind all that it carries. @returns when the last of them has left */
  send(bytes: number, nowMs: number): number {
    this.#freeMs = Math.max(this.#freeMs, nowMs) + bytes / this.#bytesPerMs
    return this.#freeMs
  }

  /**
   * Takes in bytes whose last one is here now. They came in while they were sent, so that a line that was free adds nothing:
   * exact where the sender's line is not the faster one, or where the line is busy.
   *
   * @returns when the last of them is through
   */
  take(bytes: number, nowMs: number): number {
    this.#freeMs = Math.max(nowMs, this.#freeMs + bytes / this.#bytesPerMs)
    return this.#freeMs
  }
}

/** What is later than that is late because the process was busy, and not by its timer. */
const maxTimerLateMs = 1

/** The path from here to one peer. */
export class ShapedPath {
  readonly profile: PathProfile
  readonly up: Line
  readonly down: Line
  readonly #startMs: number
  readonly #random: Random
  #lastMs = 0
  #lateMs = 0

  /** @param startMs when the shaping began, which is what cuts count from */
  constructor(profile: PathProfile, lines: { readonly up: Line; readonly down: Line }, startMs: number, random: Random) {
    this.profile = profile
    this.up = lines.up
    this.down = lines.down
    this.#startMs = startMs
    this.#random = random
  }

  get roundTripMs(): number {
    return 2 * this.profile.oneWayMs
  }

  /** When something arrives there that has left the line at this time. */
  arrivalMs(sentMs: number): number {
    const { oneWayMs, jitterMs } = this.profile
    const jitter = jitterMs === 0 ? 0 : jitterMs * this.#random.float()
    this.#lastMs = Math.max(this.#lastMs, this.afterCuts(sentMs + oneWayMs + jitter))
    return this.#lastMs
  }

  /**
   * How much too late what was handed over so far was in sum, which the next frame makes good: timers count whole milliseconds and
   * are late by some tenths on average, and on a way of many hops that adds up.
   */
  get lateMs(): number {
    return this.#lateMs
  }

  /** Something was handed over when its timer came. @param lateMs after it was due; before, when negative */
  handedOver(lateMs: number): void {
    if (Math.abs(lateMs) <= maxTimerLateMs) {
      this.#lateMs = Math.max(-maxTimerLateMs, Math.min(maxTimerLateMs, this.#lateMs + lateMs))
    }
  }

  /** This time, or the end of the cut that it is in. */
  afterCuts(atMs: number): number {
    const since = atMs - this.#startMs
    const cut = this.profile.cutsMs.find(([from, to]) => since >= from && since < to)
    return cut === undefined ? atMs : this.#startMs + cut[1]
  }
}
