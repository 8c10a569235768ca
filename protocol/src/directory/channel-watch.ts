import { abortReason } from '../abort.ts'
import { TimeoutError } from '../errors.ts'
import type { CancelTimer, Clock } from '../ports/clock.ts'
import type { Channel } from '../ports/network.ts'

/**
 * The time that a peer has for what is awaited of it on one channel. When it is over, or the parent signal fires, the channel is
 * reset, which ends every wait on it. So one timer and one listener serve all waits: a signal for each of them costs more than
 * the messages do.
 */
export class ChannelWatch {
  readonly #channel: Channel
  readonly #clock: Clock
  readonly #parent: AbortSignal
  readonly #onParent = (): void => this.#give(abortReason(this.#parent))
  #what = ''
  #timeoutMs = 0
  /** Infinite while nothing is awaited. */
  #dueMs = Infinity
  /** The timer is left alone while waits begin and end, and looks at the time when it fires. */
  #cancelTimer: CancelTimer | undefined
  #timerMs = Infinity
  #reason: Error | undefined

  constructor(channel: Channel, clock: Clock, parent: AbortSignal) {
    this.#channel = channel
    this.#clock = clock
    this.#parent = parent
    if (parent.aborted) this.#onParent()
    else parent.addEventListener('abort', this.#onParent, { once: true })
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
    this.#dueMs = this.#clock.monotonicMs() + timeoutMs
    this.#arm()
    try {
      return await act()
    } catch (error) {
      throw this.#reason ?? error
    } finally {
      this.#dueMs = Infinity
    }
  }

  /** Lets go of the timer and the signal. */
  stop(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#parent.removeEventListener('abort', this.#onParent)
  }

  #arm(): void {
    if (this.#timerMs <= this.#dueMs) return
    this.#cancelTimer?.()
    this.#timerMs = this.#dueMs
    this.#cancelTimer = this.#clock.setTimer(this.#dueMs - this.#clock.monotonicMs(), () => this.#fire())
  }

  #fire(): void {
    this.#cancelTimer = undefined
    this.#timerMs = Infinity
    if (this.#dueMs === Infinity) return
    if (this.#clock.monotonicMs() < this.#dueMs) return this.#arm()
    const detail = { timeoutMs: this.#timeoutMs }
    this.#give(new TimeoutError(`${this.#what} took more than ${this.#timeoutMs} ms`, { detail }))
  }

  #give(reason: Error): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.stop()
    this.#channel.reset()
  }
}
