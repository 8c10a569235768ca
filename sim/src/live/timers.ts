import type { Clock } from '@skein/protocol'

/** Timers that end together. */
export class Timers {
  readonly #clock: Clock
  readonly #cancels = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns what cancels it */
  after(ms: number, then: () => void): () => void {
    const cancelTimer = this.#clock.setTimer(ms, () => {
      this.#cancels.delete(cancel)
      then()
    })
    const cancel = (): void => {
      this.#cancels.delete(cancel)
      cancelTimer()
    }
    this.#cancels.add(cancel)
    return cancel
  }

  cancelAll(): void {
    for (const cancel of [...this.#cancels]) cancel()
  }
}
