import { abortReason, raceAbort, throwIfAborted } from '../abort.ts'
import { ChannelClosedError, ChannelFullError, InvalidArgumentError } from '../errors.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions, CancelTimer, Clock } from '../ports/clock.ts'
import type { Channel, ChannelLimits, CloseCause, Frame } from '../ports/network.ts'
import type { ShapedPath } from './line.ts'

/** Channels take turns on a line in pieces of this size, so that a small frame never waits for a whole large one. */
const quantumBytes = 16_384
/** Timers come up to a millisecond late: what is due within half of one goes now, so that delays are right on average. */
const toleranceMs = 0.5
/** What the channel below may hold besides: it has no part in the delay. */
export const maxInnerBufferBytes = 65_536

/** A frame on its way, or the end of what was sent. */
interface Item {
  readonly frame: Frame | undefined
  readonly bytes: number
  unsentBytes: number
  dueMs: number
}

function frameBytes(frame: Frame): number {
  return frame.head.byteLength + (frame.body?.byteLength ?? 0)
}

/**
 * A channel through a shaped path. A frame waits for the line, which this process's channels share, then for its delay, and
 * is then given to the channel below; until that it counts against the send buffer. Of a channel that the other side has
 * closed, this side hears a delay later.
 */
export class ShapedChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  readonly #inner: Channel
  readonly #path: ShapedPath
  readonly #clock: Clock
  readonly #limits: ChannelLimits
  #resolveClosed!: (cause: CloseCause) => void
  #cause: CloseCause | undefined
  /** Items that are not wholly on the line yet, and items under way. */
  readonly #waiting: Item[] = []
  readonly #flying: Item[] = []
  #bufferedBytes = 0
  #lineMs = 0
  #cancelLine: CancelTimer | undefined
  #isFlying = false
  #innerFull = false
  #ending: Promise<void> | undefined
  #resolveEnding: (() => void) | undefined
  /** A frame that was pulled from below and is not through the line into this process. */
  #arrived: { readonly frame: Frame; readonly dueMs: number } | undefined
  #receiving = false
  readonly #sleepers = new Set<() => void>()
  readonly #writers = new Set<() => void>()

  constructor(inner: Channel, path: ShapedPath, clock: Clock, limits: ChannelLimits) {
    this.#inner = inner
    this.peer = inner.peer
    this.protocol = inner.protocol
    this.#path = path
    this.#clock = clock
    this.#limits = limits
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    void inner.closed.then((cause) => this.#innerClosed(cause))
  }

  send(frame: Frame): boolean {
    this.#assertSendable()
    if (this.#isFull()) {
      throw new ChannelFullError(`${this.#bufferedBytes} bytes wait to be sent on ${this.protocol}: await writable() before sending more`)
    }
    this.#push(frame, frameBytes(frame))
    return !this.#isFull()
  }

  async writable({ signal }: AbortOptions = {}): Promise<void> {
    throwIfAborted(signal)
    for (;;) {
      this.#assertSendable()
      if (!this.#isFull()) return
      await this.#wait(this.#writers, signal)
    }
  }

  async receive(options: AbortOptions = {}): Promise<Frame | undefined> {
    throwIfAborted(options.signal)
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw this.#closedError(this.#cause)
    if (this.#receiving) throw new InvalidArgumentError(`receive() was called twice at once on ${this.protocol}`)
    this.#receiving = true
    try {
      this.#arrived ??= await this.#pull(options)
      if (this.#arrived === undefined) return undefined
      const { frame, dueMs } = this.#arrived
      await this.#sleepUntil(dueMs, options.signal)
      this.#assertOpen()
      this.#arrived = undefined
      this.#wake(this.#sleepers)
      return frame
    } finally {
      this.#receiving = false
    }
  }

  async end({ signal }: AbortOptions = {}): Promise<void> {
    throwIfAborted(signal)
    this.#assertOpen()
    if (this.#ending === undefined) {
      this.#ending = new Promise((resolve) => {
        this.#resolveEnding = resolve
      })
      this.#wake(this.#writers)
      this.#push(undefined, 0)
    }
    await raceAbort(this.#ending, signal)
    this.#assertOpen()
  }

  reset(): void {
    this.#abandon({ kind: 'reset' })
  }

  /** Its connection is gone. */
  break(): void {
    this.#abandon({ kind: 'remote' })
  }

  #abandon(cause: CloseCause): void {
    if (this.#cause !== undefined) return
    this.#close(cause)
    this.#inner.reset()
  }

  #isFull(): boolean {
    return this.#bufferedBytes >= this.#limits.sendBufferBytes
  }

  #push(frame: Frame | undefined, bytes: number): void {
    this.#waiting.push({ frame, bytes, unsentBytes: bytes, dueMs: 0 })
    this.#bufferedBytes += bytes
    if (this.#cancelLine === undefined) this.#serialize()
  }

  /** Puts what waits on the line, a piece at a time, as the pieces before leave it. */
  #serialize(): void {
    this.#cancelLine = undefined
    for (let item = this.#waiting[0]; item !== undefined && this.#cause === undefined; item = this.#waiting[0]) {
      const nowMs = this.#clock.monotonicMs()
      // What is cut off takes nothing of the line from the others.
      const leavesMs = this.#path.leavesAt(nowMs)
      if (leavesMs > nowMs) {
        this.#cancelLine = this.#clock.setTimer(leavesMs - nowMs, () => this.#serialize())
        return
      }
      if (item.unsentBytes > 0 && this.#lineMs > nowMs + toleranceMs) {
        this.#cancelLine = this.#clock.setTimer(this.#lineMs - nowMs - toleranceMs, () => this.#serialize())
        return
      }
      const piece = Math.min(item.unsentBytes, quantumBytes)
      // The piece before it may have left the line a moment ago, or leave it in a moment: it follows without a gap.
      if (piece > 0) this.#lineMs = this.#path.send(piece, item.unsentBytes < item.bytes ? Math.min(nowMs, this.#lineMs) : nowMs)
      item.unsentBytes -= piece
      if (item.unsentBytes > 0) continue
      item.dueMs = this.#path.arrivalMs(item.bytes, Math.max(nowMs, this.#lineMs))
      this.#waiting.shift()
      this.#flying.push(item)
      if (!this.#isFlying) void this.#fly()
    }
  }

  /** Hands over what is due, in order. */
  async #fly(): Promise<void> {
    this.#isFlying = true
    try {
      for (let item = this.#flying[0]; item !== undefined; item = this.#flying[0]) {
        if (item.dueMs - toleranceMs > this.#clock.monotonicMs()) {
          await this.#sleepUntil(item.dueMs - this.#path.lateMs)
          this.#path.handedOver(this.#clock.monotonicMs() - item.dueMs)
        }
        if (this.#innerFull) await this.#inner.writable()
        if (this.#cause !== undefined) return
        this.#flying.shift()
        if (item.frame === undefined) await this.#inner.end()
        else this.#innerFull = !this.#inner.send(item.frame)
        this.#bufferedBytes -= item.bytes
        if (item.frame === undefined) this.#resolveEnding?.()
        else if (!this.#isFull()) this.#wake(this.#writers)
      }
    } catch {
      // The channel below is closed, and says why by itself.
    } finally {
      this.#isFlying = false
    }
  }

  async #pull(options: AbortOptions): Promise<{ readonly frame: Frame; readonly dueMs: number } | undefined> {
    let frame: Frame | undefined
    try {
      frame = await this.#inner.receive(options)
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error
      // It may have been closed by this side; if not, the news takes its time.
      const cause = await raceAbort(this.closed, options.signal)
      throw this.#closedError(cause)
    }
    return frame && { frame, dueMs: this.#path.down.take(frameBytes(frame), this.#clock.monotonicMs()) }
  }

  async #innerClosed(cause: CloseCause): Promise<void> {
    if (cause.kind === 'remote') await this.#sleepUntil(this.#path.peerSendsAt(this.#clock.monotonicMs()) + this.#path.oneWayMs)
    while (cause.kind === 'ended' && this.#arrived !== undefined && this.#cause === undefined) await this.#wait(this.#sleepers)
    this.#close(cause)
  }

  #close(cause: CloseCause): void {
    if (this.#cause !== undefined) return
    this.#cause = cause
    this.#cancelLine?.()
    this.#cancelLine = undefined
    this.#waiting.length = 0
    this.#flying.length = 0
    this.#bufferedBytes = 0
    this.#arrived = undefined
    this.#resolveClosed(cause)
    this.#resolveEnding?.()
    this.#wake(this.#writers)
    this.#wake(this.#sleepers)
  }

  #assertOpen(): void {
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw this.#closedError(this.#cause)
  }

  #assertSendable(): void {
    if (this.#cause !== undefined) throw this.#closedError(this.#cause)
    if (this.#ending !== undefined) throw new ChannelClosedError(`this side of ${this.protocol} has ended: nothing more can be sent`)
  }

  #closedError(cause: CloseCause): ChannelClosedError {
    const why = {
      ended: 'both sides have ended it',
      reset: 'this side reset it',
      remote: 'the other side reset it or its connection broke',
      error: 'it failed'
    }[cause.kind]
    return new ChannelClosedError(`the channel ${this.protocol} is closed: ${why}`, { cause: cause.error, detail: { kind: cause.kind } })
  }

  #wake(sleepers: Set<() => void>): void {
    for (const wake of [...sleepers]) wake()
  }

  /** Resolves at that time or when the channel closes. */
  async #sleepUntil(dueMs: number, signal?: AbortSignal): Promise<void> {
    while (this.#cause === undefined) {
      const remainingMs = dueMs - toleranceMs - this.#clock.monotonicMs()
      if (remainingMs <= 0) return
      await this.#wait(this.#sleepers, signal, remainingMs)
    }
  }

  /** Resolves when it is woken, or when the time has passed. @throws AbortError */
  #wait(sleepers: Set<() => void>, signal?: AbortSignal, ms = Infinity): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        sleepers.delete(wake)
        cancel()
        signal?.removeEventListener('abort', onAbort)
      }
      const wake = (): void => {
        done()
        resolve()
      }
      const onAbort = (): void => {
        done()
        reject(abortReason(signal as AbortSignal))
      }
      sleepers.add(wake)
      const cancel = this.#clock.setTimer(ms, wake)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}
