/**
 * Waiting that can be given up.
 *
 * @packageDocumentation
 */
import { AbortError, isSkeinError } from './errors.ts'

/**
 * What is thrown for a signal that fired: its reason when that is an error of skein (a `TimeoutError` of a deadline, an
 * `AbortError`), else an `AbortError` with the reason as its cause.
 */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason
  return isSkeinError(reason) ? reason : new AbortError(undefined, { cause: reason })
}

/** @throws the signal's {@link abortReason} when it has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortReason(signal)
}

/**
 * Waits for the promise or the signal, whichever comes first; the promise's own outcome is then ignored.
 *
 * @throws the signal's {@link abortReason} when it fires first
 */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const end = onAbort(signal, () => reject(abortReason(signal)))
    promise.then(
      (value) => {
        end()
        resolve(value)
      },
      (error: unknown) => {
        end()
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the promise was rejected with
        reject(error)
      }
    )
  })
}

interface Shared {
  readonly calls: Set<() => void>
  /** Nobody waits any more. */
  readonly end: () => void
}

/** Who waits for each signal. */
const waiting = new WeakMap<AbortSignal, Shared>()

/**
 * Calls when the signal fires, at once if it has. One listener stands for all who share a signal: a program that gives up all its
 * generations together has one, and Node.js warns of a leak at the eleventh listener.
 *
 * @returns ends that
 */
export function onAbort(signal: AbortSignal, call: () => void): () => void {
  if (signal.aborted) {
    call()
    return () => {}
  }
  const shared = waiting.get(signal) ?? listen(signal)
  shared.calls.add(call)
  return () => {
    shared.calls.delete(call)
    // A signal that somebody listens to is kept by Node.js, and it may have been made for this one wait.
    if (shared.calls.size === 0 && waiting.get(signal) === shared) shared.end()
  }
}

function listen(signal: AbortSignal): Shared {
  const calls = new Set<() => void>()
  const end = (): void => {
    signal.removeEventListener('abort', fired)
    waiting.delete(signal)
  }
  const fired = (): void => {
    const all = [...calls]
    calls.clear()
    end()
    for (const call of all) call()
  }
  signal.addEventListener('abort', fired, { once: true })
  const shared = { calls, end }
  waiting.set(signal, shared)
  return shared
}
