import { abortReason, onAbort } from '../abort.ts'
import { TimeoutError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'
import { LazyTimer } from '../ports/lazy-timer.ts'
import type { Channel } from '../ports/network.ts'

/**
 * The time that a peer has for what is awaited of it on one channel. When it is over, or the parent signal fires, the channel is
 * reset, which ends every wait on it. So one timer and one listener serve all waits: a signal for each of them costs more than
 * the messages do.
 */
export class ChannelWatch {
  readonly #channel: Channel
  readonly #clock: Clock
  #what = ''
  #timeoutMs = 0
  readonly #timer: LazyTimer
  readonly #stopListening: () => void
  #reason: Error | undefined

  constructor(channel: Channel, clock: Clock, parent: AbortSignal) {
    this.#channel = channel
    this.#clock = clock
    this.#timer = new LazyTimer(clock, () => this.#over())
    this.#stopListening = onAbort(parent, () => this.#give(abortReason(parent)))
  }

  /**
   * Awaits something on the channel, one at a time.
   *
   * @throws TimeoutError when it takes too long; the parent signal's reason when it fires; what `act` rejects with
   */
  async within<T>(timeoutMs: number, what: string, act: () => Promise<T>): Promise<T> {
    if (this.#reason !== undefined) throw this.#reason
    this.#what = what
    this.#timeoutMs = timeoutMs
    this.#timer.set(this.#clock.monotonicMs() + timeoutMs)
    try {
      return await act()
    } catch (error) {
      throw this.#reason ?? error
    } finally {
      this.#timer.set(Infinity)
    }
  }

  /** Whether the channel was reset: time was up, or the parent signal has fired. */
  get isOver(): boolean {
    return this.#reason !== undefined
  }

  /** Lets go of the timer and the signal. */
  stop(): void {
    this.#timer.cancel()
    this.#stopListening()
  }

  #over(): void {
    const detail = { timeoutMs: this.#timeoutMs }
    this.#give(new TimeoutError(`${this.#what} took more than ${this.#timeoutMs} ms`, { detail }))
  }

  #give(reason: Error): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#timer.cancel()
    this.#channel.reset()
  }
}
