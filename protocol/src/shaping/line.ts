import type { PeerId } from '../ids.ts'
import type { Random } from '../ports/random.ts'
import { type Break, ConnectionCuts, type CutsBetween, isCut } from './cuts.ts'
import type { PathProfile } from './link-profile.ts'
import { lossDelayUs, lossyRate } from './packet-loss.ts'

/** A path's profile, and the monotonic time from which its cuts count. */
export interface TimedProfile {
  readonly path: PathProfile
  readonly startMs: number
}

/** A serial line of a bandwidth: bytes pass one after another. It only reckons; who waits is its user. */
export class Line {
  #bytesPerMs = Infinity
  #freeMs = 0

  /** @param mbps 10^6 bits a second; unlimited when undefined */
  constructor(mbps: number | undefined) {
    this.reshape(mbps)
  }

  /** From now on it is as fast as that. */
  reshape(mbps: number | undefined): void {
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
  readonly down: Line
  readonly #up: Line
  /** What congestion control makes of losses. */
  readonly #pace = new Line(undefined)
  readonly #random: Random
  readonly #ends: readonly [self: PeerId, peer: PeerId]
  #profile!: PathProfile
  #startMs!: number
  #cuts!: ConnectionCuts
  #sinceMs: number
  #lastMs = 0
  #lateMs = 0

  /** @param nowMs when there is a connection at the latest, if there will be one */
  constructor(
    profile: TimedProfile,
    nowMs: number,
    lines: { readonly up: Line; readonly down: Line },
    ends: readonly [self: PeerId, peer: PeerId],
    random: Random
  ) {
    this.#up = lines.up
    this.down = lines.down
    this.#ends = ends
    this.#random = random
    this.#sinceMs = nowMs
    this.reshape(profile)
  }

  /** There is a new connection. */
  connected(nowMs: number): void {
    this.#sinceMs = nowMs
    this.#reckon()
  }

  /** From now on it is like that; what is under way is not touched. */
  reshape({ path, startMs }: TimedProfile): void {
    this.#profile = path
    this.#startMs = startMs
    const { lossShare } = path
    // Bytes per microsecond, in 10^6 bits a second.
    this.#pace.reshape(lossShare === 0 ? undefined : 8 * lossyRate(lossShare, 1000 * this.roundTripMs))
    this.#reckon()
  }

  get oneWayMs(): number {
    return this.#profile.oneWayMs
  }

  get roundTripMs(): number {
    return 2 * this.#profile.oneWayMs
  }

  /** Puts bytes on the line out of this process. @returns when the last of them has left */
  send(bytes: number, nowMs: number): number {
    return Math.max(this.#up.send(bytes, nowMs), this.#pace.send(bytes, nowMs))
  }

  /** When a frame arrives there whose last byte has left the line at this time. */
  arrivalMs(bytes: number, sentMs: number): number {
    const extraMs = this.#drawJitterMs() + this.#drawLossMs(bytes)
    this.#lastMs = Math.max(this.#lastMs, this.leavesAt(sentMs) + this.oneWayMs + extraMs)
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

  /** When something that would leave at this time leaves. */
  leavesAt(atMs: number): number {
    return this.#moved(atMs, (sinceMs) => this.#cuts.leavesAt(sinceMs))
  }

  /** When something that the peer would send at this time leaves it. */
  peerSendsAt(atMs: number): number {
    return this.#moved(atMs, (sinceMs) => this.#cuts.peerSendsAt(sinceMs))
  }

  /** Whether nobody can connect now. */
  isCut(atMs: number): boolean {
    return isCut(this.#between, atMs - this.#startMs)
  }

  /** When the connection breaks at this side, and when the peer has given it up; Infinity: never. */
  get break(): Break {
    const { atMs, theirsMs } = this.#cuts.break
    return { atMs: this.#startMs + atMs, theirsMs: this.#startMs + theirsMs }
  }

  get #between(): CutsBetween {
    return { there: this.#profile.cutsMs, back: this.#profile.cutsBackMs }
  }

  #reckon(): void {
    this.#cuts = new ConnectionCuts(this.#between, this.#sinceMs - this.#startMs, this.oneWayMs, ...this.#ends)
  }

  /** By times since the profile's start; what is not moved is not rounded either. */
  #moved(atMs: number, move: (sinceMs: number) => number): number {
    const sinceMs = atMs - this.#startMs
    const movedMs = move(sinceMs)
    return movedMs === sinceMs ? atMs : this.#startMs + movedMs
  }

  #drawJitterMs(): number {
    const { jitterMs } = this.#profile
    if (typeof jitterMs !== 'number') return jitterMs[this.#random.below(jitterMs.length)] as number
    return jitterMs === 0 ? 0 : jitterMs * this.#random.float()
  }

  #drawLossMs(bytes: number): number {
    const { lossShare } = this.#profile
    return lossShare === 0 ? 0 : lossDelayUs(bytes, lossShare, 1000 * this.roundTripMs, this.#random) / 1000
  }
}
