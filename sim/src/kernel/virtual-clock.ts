import { type CancelTimer, checkedDelayMs, ClockBase, InvalidArgumentError } from '@skein/protocol'
import { drainMicrotasks } from './drain-microtasks.ts'
import { EventQueue } from './event-queue.ts'

/**
 * The clock of a simulated world. Time passes only from event to event; between two events every microtask is drained, so
 * that what one event set off has ended before the next begins, and a run is a function of its inputs alone.
 */
export class VirtualClock extends ClockBase {
  readonly #queue = new EventQueue()
  readonly #wallStartMs: number
  #nowMs = 0
  #seq = 0
  #pending = 0
  #running = false

  /** @param wallStartMs what `wallMs` reads at the start of the run */
  constructor(wallStartMs = 1_780_000_000_000) {
    super()
    this.#wallStartMs = wallStartMs
  }

  wallMs(): number {
    return this.#wallStartMs + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#pending
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    const delay = checkedDelayMs(delayMs)
    if (delay === Infinity) return () => {}
    let live = true
    const settle = (): boolean => {
      if (!live) return false
      live = false
      this.#pending--
      return true
    }
    this.#pending++
    this.#queue.push({ timeMs: this.#nowMs + delay, seq: this.#seq++, run: () => void (settle() && callback()) })
    return () => void settle()
  }

  /**
   * Runs every event up to and including a time, then stands at that time.
   *
   * @param untilMs virtual time, not a duration
   * @throws InvalidArgumentError when the time has passed or a run is under way; whatever an event throws
   */
  async runUntil(untilMs: number): Promise<void> {
    if (!(untilMs >= this.#nowMs) || untilMs === Infinity) {
      throw new InvalidArgumentError(`the virtual time is ${this.#nowMs} ms: it cannot run until ${untilMs} ms`)
    }
    await this.#run(untilMs)
    this.#nowMs = untilMs
  }

  /** Runs until no event is left, and stands at the time of the last one. A timer that sets itself again never ends it. */
  async runToEnd(): Promise<void> {
    await this.#run(Infinity)
  }

  async #run(untilMs: number): Promise<void> {
    if (this.#running) throw new InvalidArgumentError('this virtual clock is running already')
    this.#running = true
    try {
      await drainMicrotasks()
      for (let next = this.#queue.peek(); next !== undefined && next.timeMs <= untilMs; next = this.#queue.peek()) {
        this.#queue.pop()
        this.#nowMs = next.timeMs
        next.run()
        await drainMicrotasks()
      }
    } finally {
      this.#running = false
    }
  }
}
