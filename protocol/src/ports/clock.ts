/** Anything that can be given up through a signal. */
export interface AbortOptions {
  signal?: AbortSignal
}

/** A signal that fires when a time has passed or its parent fires. It must be cleared, or it keeps its timer. */
export interface Deadline {
  readonly signal: AbortSignal
  /** Cancels the timer and lets go of the parent; the signal then never fires by itself. */
  clear(): void
}

/** Cancels the timer that it was returned for; does nothing when that has fired or was cancelled. */
export type CancelTimer = () => void

/**
 * The only source of time. Production reads the system's clocks; the simulator has a virtual one, and so no code outside
 * the implementations of this port may call `Date.now`, `performance.now` or `setTimeout`.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. May jump; only for what people or other peers read. */
  wallMs(): number
  /** Milliseconds since some fixed point, never going back. Fractions are allowed. For durations and deadlines. */
  monotonicMs(): number
  /** Calls `callback` once, `delayMs` or more from now. What it throws is reported as an uncaught exception. */
  setTimer(delayMs: number, callback: () => void): CancelTimer
  /** @throws AbortError when the signal fires first */
  sleep(delayMs: number, options?: AbortOptions): Promise<void>
  /** The reason of the signal is a `TimeoutError` that says `what` when the time passed, else the parent's reason. */
  deadline(timeoutMs: number, what: string, parent?: AbortSignal): Deadline
}
