import { merged } from '@skein/protocol'
/** Whether a node's announced speed still holds: a machine gets other work, a throttled clock, or longer contexts than at the start. */
export interface SpeedWatchOptions {
  /** Steps of which the median is taken. */
  readonly steps: number
  /** The median is looked at once in so many steps. */
  readonly everySteps: number
  /** How far the median must be from the announced time, as a part of that. */
  readonly differs: number
  /** For how long it must be, in milliseconds. */
  readonly heldMs: number
  /** Between two announcements, the first one included, in milliseconds. */
  readonly apartMs: number
}

const speedWatchDefaults: SpeedWatchOptions = {
  steps: 33,
  everySteps: 8,
  differs: 1 / 3,
  heldMs: 60_000,
  // A new announcement goes through the whole swarm.
  apartMs: 300_000
}

/**
 * Takes the time of each decode step that compares with what the node has measured at its start, and says when another time
 * should be announced. Acts on steps alone and sets no timer: a node that nobody uses announces nothing new.
 */
export class SpeedWatch {
  readonly #options: SpeedWatchOptions
  readonly #recent: number[] = []
  #steps = 0
  #announcedMs: number
  #announcedAtMs: number
  /** Since when all medians were far from the announced time, and on which side. */
  #off: { readonly sinceMs: number; readonly slower: boolean } | undefined

  /** @param nowMs of the monotonic clock, as everywhere here. @param stepMs what is announced now */
  constructor(nowMs: number, stepMs: number, options: Partial<SpeedWatchOptions> = {}) {
    this.#options = merged(speedWatchDefaults, options)
    this.#announcedMs = stepMs
    this.#announcedAtMs = nowMs
  }

  /** @returns the time of a step to announce from now on, or undefined while the announced one will do */
  observe(nowMs: number, stepMs: number): number | undefined {
    const { steps, everySteps, differs, heldMs, apartMs } = this.#options
    this.#recent[this.#steps++ % steps] = stepMs
    if (this.#steps < steps || this.#steps % everySteps !== 0) return undefined
    const median = this.#recent.toSorted((a, b) => a - b)[steps >> 1] as number
    if (Math.abs(median - this.#announcedMs) <= differs * this.#announcedMs) {
      this.#off = undefined
      return undefined
    }
    const slower = median > this.#announcedMs
    if (this.#off?.slower !== slower) this.#off = { sinceMs: nowMs, slower }
    if (nowMs - this.#off.sinceMs < heldMs || nowMs - this.#announcedAtMs < apartMs) return undefined
    this.#announcedMs = median
    this.#announcedAtMs = nowMs
    this.#off = undefined
    return median
  }
}
