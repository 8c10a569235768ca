import { InvalidArgumentError } from '../errors.ts'
import { checkedDelayMs, ClockBase } from '../ports/clock-base.ts'
import type { CancelTimer } from '../ports/clock.ts'

interface Timer {
  readonly dueMs: number
  readonly order: number
  readonly callback: () => void
}

/**
 * A clock that moves only when it is told to. Timers fire in the order of their times; of equal times, in the order in
 * which they were set.
 */
export class ManualClock extends ClockBase {
  #nowMs = 0
  #wallOffsetMs: number
  #order = 0
  readonly #timers = new Set<Timer>()

  /** @param wallStartMs what `wallMs` reads at first; by default some moment in 2026 */
  constructor(wallStartMs = 1_780_000_000_000) {
    super()
    this.#wallOffsetMs = wallStartMs
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  /** Timers that have neither fired nor been cancelled: a test that ends with some has a leak. */
  get pendingTimers(): number {
    return this.#timers.size
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    const delay = checkedDelayMs(delayMs)
    if (delay === Infinity) return () => {}
    const timer: Timer = { dueMs: this.#nowMs + delay, order: this.#order++, callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Moves the wall clock alone, as an adjustment of the system's time does. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  /** Moves the time forward and fires what comes due, without letting promises settle in between. */
  advance(byMs: number): void {
    const untilMs = this.#target(byMs)
    while (this.#fireNext(untilMs));
    this.#nowMs = untilMs
  }

  /**
   * Moves the time forward; after each timer, and before the first, all microtasks are drained, so that promise chains
   * that set new timers see the time at which they run.
   */
  async advanceAsync(byMs: number): Promise<void> {
    const untilMs = this.#target(byMs)
    do await drainMicrotasks()
    while (this.#fireNext(untilMs))
    this.#nowMs = untilMs
    await drainMicrotasks()
  }

  #target(byMs: number): number {
    if (!(byMs >= 0) || byMs === Infinity) throw new InvalidArgumentError(`a clock cannot be advanced by ${byMs} ms`)
    return this.#nowMs + byMs
  }

  #fireNext(untilMs: number): boolean {
    let next: Timer | undefined
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.order < next.order)) next = timer
    }
    if (next === undefined || next.dueMs > untilMs) return false
    this.#timers.delete(next)
    this.#nowMs = Math.max(this.#nowMs, next.dueMs)
    try {
      next.callback()
    } catch (error) {
      // As a system timer's: nobody's call stack but the process's.
      queueMicrotask(() => {
        throw error
      })
    }
    return true
  }
}

/** Resolves when every microtask that is queued, and every one that those queue, has run. */
export async function drainMicrotasks(): Promise<void> {
  await new Promise<void>((resolve) => void setImmediate(resolve))
}
