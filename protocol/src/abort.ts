/**
 * Waiting that can be given up.
 *
 * @packageDocumentation
 */
import { raceSignal } from 'race-signal'
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
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return await raceSignal(promise, signal, { translateError: abortReason })
}

/** Who waits for each signal. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

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
  const calls = waiting.get(signal) ?? listen(signal)
  calls.add(call)
  return () => void calls.delete(call)
}

function listen(signal: AbortSignal): Set<() => void> {
  const calls = new Set<() => void>()
  waiting.set(signal, calls)
  signal.addEventListener('abort', () => calls.forEach((call) => call()), { once: true })
  return calls
}
