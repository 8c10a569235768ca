import { abortReason, throwIfAborted } from '../abort.ts'
import { InvalidArgumentError, TimeoutError } from '../errors.ts'
import type { AbortOptions, CancelTimer, Clock, Deadline } from './clock.ts'

/** What every clock has in common: `sleep` and `deadline` stand on `setTimer` alone. */
export abstract class ClockBase implements Clock {
  abstract wallMs(): number
  abstract monotonicMs(): number
  abstract setTimer(delayMs: number, callback: () => void): CancelTimer

  async sleep(delayMs: number, options: AbortOptions = {}): Promise<void> {
    const { signal } = options
    throwIfAborted(signal)
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        cancel()
        reject(abortReason(signal as AbortSignal))
      }
      const cancel = this.setTimer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  deadline(timeoutMs: number, what: string, parent?: AbortSignal): Deadline {
    const controller = new AbortController()
    if (parent?.aborted === true) {
      controller.abort(parent.reason)
      return { signal: controller.signal, clear: () => {} }
    }
    const onParent = (): void => {
      cancel()
      controller.abort(parent?.reason)
    }
    const cancel = this.setTimer(timeoutMs, () => {
      parent?.removeEventListener('abort', onParent)
      controller.abort(new TimeoutError(`${what} took more than ${timeoutMs} ms`, { detail: { timeoutMs } }))
    })
    parent?.addEventListener('abort', onParent, { once: true })
    const clear = (): void => {
      cancel()
      parent?.removeEventListener('abort', onParent)
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
