import { abortReason, throwIfAborted } from '../abort.ts'
import { ChannelClosedError, ChannelFullError, InvalidArgumentError, WireError, WireErrorCode } from '../errors.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import type { Channel, ChannelLimits, CloseCause, Frame } from '../ports/network.ts'

interface Waiter {
  wake(): void
}

/** Bytes that a frame counts for in a buffer. */
function frameBytes(frame: Frame): number {
  return frame.head.byteLength + (frame.body?.byteLength ?? 0)
}

/** A frame that shares no memory with the sender's, as if it had gone through a socket. A modelled body keeps its stated size. */
function copyFrame(frame: Frame): Frame {
  // Not `slice`, which copies nothing of a Buffer.
  const head = new Uint8Array(frame.head)
  if (frame.body === undefined || frame.body.byteLength === 0) return { head }
  const { byteLength } = frame.body
  const bytes = new Uint8Array(frame.body.read())
  return { head, body: { byteLength, read: () => bytes } }
}

/**
 * One end of a channel inside this process. What is sent waits in the sender's buffer until the other end pulls it; that
 * buffer's bound is the backpressure. Frames arrive a microtask after they were sent.
 */
export class MemoryChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  readonly #limits: ChannelLimits
  readonly #onClosed: (channel: MemoryChannel) => void
  #resolveClosed!: (cause: CloseCause) => void
  #other!: MemoryChannel
  #cause: CloseCause | undefined
  /** Frames on their way to the other end; it takes them from here. */
  readonly #outgoing: Frame[] = []
  /** How many of `#outgoing` have arrived and may be taken. */
  #arrived = 0
  #outgoingBytes = 0
  #localEnded = false
  /** The end mark has arrived at the other end, behind every frame. */
  #endArrived = false
  readonly #writers = new Set<Waiter>()
  #reader: Waiter | undefined

  private constructor(peer: PeerId, protocol: ProtocolId, limits: ChannelLimits, onClosed: (channel: MemoryChannel) => void) {
    this.peer = peer
    this.protocol = protocol
    this.#limits = limits
    this.#onClosed = onClosed
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
  }

  /** Two ends, each of which calls its `onClosed` once when it is closed. */
  static pair(
    protocol: ProtocolId,
    near: { peer: PeerId; limits: ChannelLimits; onClosed: (channel: MemoryChannel) => void },
    far: { peer: PeerId; limits: ChannelLimits; onClosed: (channel: MemoryChannel) => void }
  ): [MemoryChannel, MemoryChannel] {
    const nearEnd = new MemoryChannel(far.peer, protocol, near.limits, near.onClosed)
    const farEnd = new MemoryChannel(near.peer, protocol, far.limits, far.onClosed)
    nearEnd.#other = farEnd
    farEnd.#other = nearEnd
    return [nearEnd, farEnd]
  }

  send(frame: Frame): boolean {
    this.#assertSendable()
    if (this.#full()) {
      throw new ChannelFullError(`${this.#outgoingBytes} bytes wait to be sent on ${this.protocol}: await writable() before sending more`)
    }
    const copy = copyFrame(frame)
    this.#outgoing.push(copy)
    this.#outgoingBytes += frameBytes(copy)
    queueMicrotask(() => this.#arrive())
    return !this.#full()
  }

  async writable(options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    for (;;) {
      this.#assertSendable()
      if (!this.#full()) return
      await this.#wait(options.signal, (waiter) => {
        this.#writers.add(waiter)
        return () => void this.#writers.delete(waiter)
      })
    }
  }

  async receive(options: AbortOptions = {}): Promise<Frame | undefined> {
    throwIfAborted(options.signal)
    for (;;) {
      if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw closedError(this.protocol, this.#cause)
      const source = this.#other
      if (source.#arrived > 0) return this.#take(source)
      if (source.#endArrived || this.#cause !== undefined) return undefined
      if (this.#reader !== undefined) throw new InvalidArgumentError(`receive() was called twice at once on ${this.protocol}`)
      await this.#wait(options.signal, (waiter) => {
        this.#reader = waiter
        return () => {
          this.#reader = undefined
        }
      })
    }
  }

  async end(options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw closedError(this.protocol, this.#cause)
    if (this.#localEnded) return
    this.#localEnded = true
    this.#wakeWriters()
    queueMicrotask(() => {
      this.#endArrived = true
      this.#other.#reader?.wake()
      this.#other.#settleEnded()
      this.#settleEnded()
    })
  }

  reset(): void {
    if (this.#cause !== undefined) return
    this.#close({ kind: 'reset' })
    queueMicrotask(() => this.#other.#close({ kind: 'remote' }))
  }

  /** The connection below is gone. */
  break(): void {
    this.#close({ kind: 'remote' })
  }

  #full(): boolean {
    return this.#outgoingBytes >= this.#limits.sendBufferBytes
  }

  #assertSendable(): void {
    if (this.#cause !== undefined) throw closedError(this.protocol, this.#cause)
    if (this.#localEnded) throw new ChannelClosedError(`this side of ${this.protocol} has ended: nothing more can be sent`)
  }

  #arrive(): void {
    if (this.#cause !== undefined || this.#other.#cause !== undefined) return
    this.#arrived++
    this.#other.#reader?.wake()
  }

  #take(source: MemoryChannel): Frame {
    const frame = source.#outgoing.shift() as Frame
    const tooLarge = oversize(frame, this.#limits)
    if (tooLarge !== undefined) {
      const cause: CloseCause = { kind: 'error', error: tooLarge }
      this.#close(cause)
      queueMicrotask(() => source.#close({ kind: 'remote' }))
      throw closedError(this.protocol, cause)
    }
    source.#arrived--
    source.#outgoingBytes -= frameBytes(frame)
    if (!source.#full()) source.#wakeWriters()
    this.#settleEnded()
    return frame
  }

  /** The orderly close: both ends have ended, and every frame that came here was taken. */
  #settleEnded(): void {
    if (this.#localEnded && this.#endArrived && this.#other.#endArrived && this.#other.#outgoing.length === 0)
      this.#close({ kind: 'ended' })
  }

  #close(cause: CloseCause): void {
    if (this.#cause !== undefined) return
    this.#cause = cause
    if (cause.kind !== 'ended') {
      this.#outgoing.length = 0
      this.#arrived = 0
      this.#outgoingBytes = 0
    }
    this.#resolveClosed(cause)
    this.#wakeWriters()
    this.#reader?.wake()
    this.#onClosed(this)
  }

  #wakeWriters(): void {
    for (const waiter of [...this.#writers]) waiter.wake()
  }

  async #wait(signal: AbortSignal | undefined, register: (waiter: Waiter) => () => void): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        unregister()
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = (): void => {
        done()
        reject(abortReason(signal as AbortSignal))
      }
      const unregister = register({
        wake: () => {
          done()
          resolve()
        }
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}

function oversize(frame: Frame, limits: ChannelLimits): WireError | undefined {
  const bodyBytes = frame.body?.byteLength ?? 0
  if (frame.head.byteLength <= limits.maxHeadBytes && bodyBytes <= limits.maxBodyBytes) return undefined
  return new WireError(
    WireErrorCode.TooLarge,
    `a frame with a head of ${frame.head.byteLength} and a body of ${bodyBytes} bytes passes the limits of ${limits.maxHeadBytes} and ${limits.maxBodyBytes}`
  )
}

function closedError(protocol: ProtocolId, cause: CloseCause): ChannelClosedError {
  const why = {
    ended: 'both sides have ended it',
    reset: 'this side reset it',
    remote: 'the other side reset it or its connection broke',
    error: 'it failed'
  }[cause.kind]
  return new ChannelClosedError(`the channel ${protocol} is closed: ${why}`, { cause: cause.error, detail: { kind: cause.kind } })
}
