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
