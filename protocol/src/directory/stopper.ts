import { abortReason, onAbort } from '../abort.ts'
import { AbortError } from '../errors.ts'

/**
 * Tasks that end together. Each has a signal of its own, so that any number of them may run: listeners on one shared
 * signal would pile up.
 */
export class Stopper {
  readonly #running = new Map<AbortController, Promise<unknown>>()
  #stopped = false

  get stopped(): boolean {
    return this.#stopped
  }

  /** Runs a task whose signal fires when everything stops or the caller's signal fires. */
  async run<T>(caller: AbortSignal | undefined, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    if (this.#stopped) controller.abort(new AbortError('the directory has stopped'))
    const stopListening = caller && onAbort(caller, () => controller.abort(abortReason(caller)))
    const running = task(controller.signal)
    this.#running.set(controller, running)
    try {
      return await running
    } finally {
      this.#running.delete(controller)
      stopListening?.()
    }
  }

  /** Fires every signal and waits until all tasks have ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    const running = [...this.#running]
    for (const [controller] of running) controller.abort(new AbortError('the directory has stopped'))
    await Promise.allSettled(running.map(([, task]) => task))
  }
}
