import { abortReason, onAbort } from '../abort.ts'
import { AbortError } from '../errors.ts'

/** Tasks that end together. Those that no caller can end share one signal, to be listened to by `onAbort` alone: there are many. */
export class Stopper {
  readonly #running = new Set<Promise<unknown>>()
  readonly #all = new AbortController()

  get stopped(): boolean {
    return this.#all.signal.aborted
  }

  /** Runs a task whose signal fires when everything stops or the caller's signal fires. */
  async run<T>(caller: AbortSignal | undefined, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const [signal, stopListening] = caller === undefined ? [this.#all.signal] : this.#withCaller(caller)
    const running = task(signal)
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
      stopListening?.()
    }
  }

  /** Fires every signal and waits until all tasks have ended. */
  async stop(): Promise<void> {
    const running = [...this.#running]
    this.#all.abort(new AbortError('the directory has stopped'))
    await Promise.allSettled(running)
  }

  /** A signal that fires with the caller's as well, and what lets go of both. */
  #withCaller(caller: AbortSignal): readonly [AbortSignal, () => void] {
    const controller = new AbortController()
    const ends = [this.#all.signal, caller].map((signal) => onAbort(signal, () => controller.abort(abortReason(signal))))
    return [controller.signal, () => ends.forEach((end) => end())]
  }
}
