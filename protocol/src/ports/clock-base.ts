import { abortReason, onAbort } from '../abort.ts'
import { InvalidArgumentError, TimeoutError } from '../errors.ts'
import type { AbortOptions, CancelTimer, Clock, Deadline } from './clock.ts'

/** What every clock has in common: `sleep` and `deadline` stand on `setTimer` alone. */
export abstract class ClockBase implements Clock {
  abstract wallMs(): number
  abstract monotonicMs(): number
  abstract setTimer(delayMs: number, callback: () => void): CancelTimer

  sleep(delayMs: number, { signal }: AbortOptions = {}): Promise<void> {
    if (signal === undefined) {
      return new Promise((resolve) => {
        this.setTimer(delayMs, resolve)
      })
    }
    if (signal.aborted) return Promise.reject(abortReason(signal))
    return new Promise((resolve, reject) => {
      const cancel = this.setTimer(delayMs, () => {
        stopListening()
        resolve()
      })
      const stopListening = onAbort(signal, () => {
        cancel()
        reject(abortReason(signal))
      })
    })
  }

  deadline(timeoutMs: number, what: string, parent?: AbortSignal): Deadline {
    const controller = new AbortController()
    if (parent?.aborted === true) {
      controller.abort(parent.reason)
      return { signal: controller.signal, clear: () => {} }
    }
    const cancel = this.setTimer(timeoutMs, () => {
      stopListening?.()
      controller.abort(new TimeoutError(`${what} took more than ${timeoutMs} ms`, { detail: { timeoutMs } }))
    })
    const stopListening =
      parent &&
      onAbort(parent, () => {
        cancel()
        controller.abort(parent.reason)
      })
    const clear = (): void => {
      cancel()
      stopListening?.()
    }
    return { signal: controller.signal, clear }
  }
}

/**
 * The delay of a timer as every clock takes it: a negative one counts as 0, an infinite one never passes.
 *
 * @throws InvalidArgumentError for NaN
 */
export function checkedDelayMs(delayMs: number): number {
  if (Number.isNaN(delayMs)) throw new InvalidArgumentError('a timer needs a delay in milliseconds, not NaN')
  return Math.max(0, delayMs)
}
