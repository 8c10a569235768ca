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
