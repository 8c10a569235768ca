import type { CancelTimer, Clock } from './clock.ts'

/**
 * A timer for a moment that is put off again and again. The one that runs is left alone then, and looks at the time when it fires:
 * that costs less than to cancel it and set another for each message.
 */
export class LazyTimer {
  readonly #clock: Clock
  readonly #onDue: () => void
  #dueMs = Number.POSITIVE_INFINITY
  #timerAtMs = Number.POSITIVE_INFINITY
  #cancelTimer: CancelTimer | undefined

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  /** Sets the moment on the monotonic clock. With Infinity nothing is due any more, though a timer may still run. */
  set(dueMs: number): void {
    this.#dueMs = dueMs
    if (this.#timerAtMs <= dueMs) return
    this.#cancelTimer?.()
    this.#timerAtMs = dueMs
    this.#cancelTimer = this.#clock.setTimer(Math.max(0, dueMs - this.#clock.monotonicMs()), () => this.#fire())
  }

  /** Nothing is due any more, and no timer runs. */
  cancel(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#dueMs = Number.POSITIVE_INFINITY
    this.#timerAtMs = Number.POSITIVE_INFINITY
  }

  #fire(): void {
    this.#cancelTimer = undefined
    this.#timerAtMs = Number.POSITIVE_INFINITY
    if (this.#clock.monotonicMs() < this.#dueMs) this.set(this.#dueMs)
    else this.#onDue()
  }
}
