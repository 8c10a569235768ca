/**
 * Signals of the first moments of a process. This file imports nothing, so that it can be there before the rest, which takes
 * half a second to load: until somebody listens, a signal kills the process without a word.
 *
 * @packageDocumentation
 */

/** Calls the listener at each signal; returns the function that ends that. */
export type ListenToSignals = (listener: (signal: NodeJS.Signals) => void) => () => void

/** The exit code of a process that was interrupted; that of all commands. */
const interrupted = 130

/**
 * Keeps a signal that comes before the first listener, who is then told of it at once. A second one meanwhile ends the
 * process: whoever sends it does not want to wait.
 */
export function catchSignals(signals: readonly NodeJS.Signals[]): ListenToSignals {
  let early: NodeJS.Signals | undefined
  const keep = (signal: NodeJS.Signals): void => {
    if (early !== undefined) process.exit(interrupted)
    early = signal
  }
  for (const signal of signals) process.on(signal, keep)
  return (listener) => {
    for (const signal of signals) process.on(signal, listener).off(signal, keep)
    const missed = early
    early = undefined
    if (missed !== undefined) listener(missed)
    return () => {
      for (const signal of signals) process.off(signal, listener)
    }
  }
}
