import { performance } from 'node:perf_hooks'
import { checkedDelayMs, ClockBase } from '../clock-base.ts'
import type { CancelTimer, Clock } from '../clock.ts'

/** The longest delay that a timer of Node.js takes; a longer one fires at once. */
const maxTimerMs = 2 ** 31 - 1

export interface SystemClockInit {
  /** Whether a pending timer keeps the process running. @default true */
  readonly keepAlive?: boolean
}

/** The machine's own clocks and timers. */
export function systemClock(init: SystemClockInit = {}): Clock {
  return new SystemClock(init.keepAlive ?? true)
}

class SystemClock extends ClockBase {
  readonly #keepAlive: boolean
  /**
   * Timers that fired too early, since Node.js counts whole milliseconds from the beginning of one, and when they are due. They
   * are set again, and run before any later one.
   */
  readonly #early = new Map<() => void, number>()

  constructor(keepAlive: boolean) {
    super()
    this.#keepAlive = keepAlive
  }

  wallMs(): number {
    return Date.now()
  }

  monotonicMs(): number {
    return performance.now()
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    const dueMs = this.monotonicMs() + checkedDelayMs(delayMs)
    if (dueMs === Infinity) return () => {}
    let handle: NodeJS.Timeout
    let ended = false
    const arm = (remainingMs: number): void => {
      // Rounded up, since Node.js cuts fractions off and would fire too early.
      handle = setTimeout(fire, Math.min(Math.ceil(remainingMs), maxTimerMs))
      if (!this.#keepAlive) handle.unref()
    }
    const end = (): void => {
      ended = true
      clearTimeout(handle)
      this.#early.delete(run)
    }
    const run = (): void => {
      if (ended) return
      end()
      callback()
    }
    const fire = (): void => {
      const remainingMs = dueMs - this.monotonicMs()
      if (remainingMs > 0) {
        this.#early.set(run, dueMs)
        arm(remainingMs)
        return
      }
      const before = [...this.#early].filter(([, otherMs]) => otherMs <= dueMs)
      for (const [other] of before.sort(([, a], [, b]) => a - b)) other()
      run()
    }
    // Not what is left until `dueMs`: equal delays must stay equal, for Node.js to keep their order.
    arm(delayMs)
    return end
  }
}
