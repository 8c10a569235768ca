import {
  abortReason,
  type AbortOptions,
  type Channel,
  ChannelClosedError,
  ChannelFullError,
  type ChannelLimits,
  type CloseCause,
  type Frame,
  InvalidArgumentError,
  onAbort,
  type PeerId,
  type ProtocolId,
  raceAbort,
  throwIfAborted,
  WireError,
  WireErrorCode
} from '@skein/protocol'
import type { ConnectionEnd } from './connection.ts'
import { chargedBytes, copyFrame } from './charged-frame.ts'
import type { SendStream } from './send-stream.ts'

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

const nothing = (): void => {}

/** A `receive` that waits. */
class Reader {
  readonly resolve: (frame: Frame | undefined) => void
  readonly reject: (error: unknown) => void
  /** Lets go of its signal. */
  readonly done: () => void

  constructor(
    resolve: (frame: Frame | undefined) => void,
    reject: (error: unknown) => void,
    signal: AbortSignal | undefined,
    forget: () => void
  ) {
    this.resolve = resolve
    this.reject = reject
    this.done =
      signal === undefined
        ? nothing
        : onAbort(signal, () => {
            forget()
            reject(abortReason(signal))
          })
  }
}

const endMarkBytes = 12

/** One end of a channel in a virtual network. Frames are copied when they are sent, as if they went through a socket. */
export class VirtualChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  readonly number: number
  readonly #end: ConnectionEnd
  readonly #limits: ChannelLimits
  readonly #out: SendStream
  #resolveClosed!: (cause: CloseCause) => void
  /** Undefined until the other side has accepted. */
  other: VirtualChannel | undefined
  #cause: CloseCause | undefined
  readonly #inbox: Frame[] = []
  /** This side called `end`; `#finished` once the end mark has left, `#remoteEnded` once the other's has arrived. */
  #ending: Promise<void> | undefined
  #finished = false
  #remoteEnded = false
  #writers: Set<Waiter> | undefined
  #reader: Reader | undefined
  readonly #forgetReader = (): void => {
    this.#reader = undefined
  }

  /** @param weight share of the connection beside other channels */
  constructor(end: ConnectionEnd, number: number, protocol: ProtocolId, limits: ChannelLimits, weight: number) {
    this.#end = end
    this.number = number
    this.peer = end.other.host.self
    this.protocol = protocol
    this.#limits = limits
    this.#out = end.stream(number, weight)
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    end.channels.add(this)
  }

  send(frame: Frame): boolean {
    // A dead incarnation's sends go nowhere.
    if (!this.#end.host.alive) return this.#end.host.discard(true)
    this.#assertSendable()
    const waitingBytes = this.#waitingBytes()
    if (waitingBytes >= this.#limits.sendBufferBytes) {
      throw new ChannelFullError(`${waitingBytes} bytes wait to be sent on ${this.protocol}: await writable() before sending more`)
    }
    const copy = copyFrame(frame)
    const bytes = frameBytes(copy)
    this.#end.sendFrame(this, copy, bytes)
    return this.#out.bufferedBytes < this.#limits.sendBufferBytes || this.#waitingBytes() < this.#limits.sendBufferBytes
  }

  async writable(options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    for (;;) {
      if (!this.#end.host.alive) return await this.#end.host.never()
      this.#assertSendable()
      if (this.#waitingBytes() < this.#limits.sendBufferBytes) return
      await this.#progress(options.signal)
    }
  }

  receive(options: AbortOptions = {}): Promise<Frame | undefined> {
    const { signal } = options
    if (signal?.aborted === true) return Promise.reject(abortReason(signal))
    if (!this.#end.host.alive) return this.#end.host.never()
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') return Promise.reject(this.#closedError(this.#cause))
    const frame = this.#inbox[0]
    if (frame !== undefined) return this.#take(frame)
    if (this.#remoteEnded) return Promise.resolve(undefined)
    if (this.#reader !== undefined) {
      return Promise.reject(new InvalidArgumentError(`receive() was called twice at once on ${this.protocol}`))
    }
    return new Promise((resolve, reject) => {
      this.#reader = new Reader(resolve, reject, signal, this.#forgetReader)
    })
  }

  async end(options: AbortOptions = {}): Promise<void> {
    const { signal } = options
    throwIfAborted(signal)
    if (!this.#end.host.alive) return await this.#end.host.never()
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw this.#closedError(this.#cause)
    if (this.#ending === undefined) {
      this.#ending = this.#finish()
      this.#wakeWriters()
    }
    await raceAbort(this.#ending, signal)
  }

  reset(): void {
    if (this.#cause !== undefined || !this.#end.host.alive) return
    this.#close({ kind: 'reset' })
    this.#end.sendReset(this)
  }

  /** The other side's reset has arrived, or the connection is gone. */
  break(): void {
    this.#close({ kind: 'remote' })
  }

  /** Its host stops: as a reset, but nobody is told one by one. */
  abandon(): void {
    this.#close({ kind: 'reset' })
  }

  /** A frame of the other side has arrived. */
  arrive(frame: Frame): void {
    if (this.#cause !== undefined) return
    const tooLarge = oversize(frame, this.#limits)
    this.#inbox.push(frame)
    const reader = this.#reader
    if (reader === undefined) return
    this.#reader = undefined
    reader.done()
    if (tooLarge === undefined) reader.resolve(this.#accept(frame))
    else reader.reject(this.#refuse(tooLarge))
  }

  /** The other side's end mark has arrived, behind all its frames. */
  arriveEnd(): void {
    if (this.#cause !== undefined) return
    this.#remoteEnded = true
    if (this.#inbox.length === 0) this.#wakeReaderAtEnd()
    this.#settleEnded()
  }

  /** The other side has taken bytes. */
  credit(bytes: number): void {
    this.#out.credit(bytes)
  }

  get sendStream(): SendStream {
    return this.#out
  }

  #take(frame: Frame): Promise<Frame> {
    const tooLarge = oversize(frame, this.#limits)
    return tooLarge === undefined ? Promise.resolve(this.#accept(frame)) : Promise.reject(this.#refuse(tooLarge))
  }

  #accept(frame: Frame): Frame {
    this.#inbox.shift()
    this.#end.returnCredit(this, frameBytes(frame))
    if (this.#remoteEnded) this.#settleEnded()
    return frame
  }

  #refuse(error: WireError): ChannelClosedError {
    const cause: CloseCause = { kind: 'error', error }
    this.#close(cause)
    this.#end.sendReset(this)
    return this.#closedError(cause)
  }

  #waitingBytes(): number {
    const out = this.#out
    if (out.bufferedBytes >= this.#limits.sendBufferBytes) this.#out.pipe.settleNow()
    return out.bufferedBytes
  }

  #assertSendable(): void {
    if (this.#cause !== undefined) throw this.#closedError(this.#cause)
    if (this.#ending !== undefined) throw new ChannelClosedError(`this side of ${this.protocol} has ended: nothing more can be sent`)
  }

  /** Resolves when the end mark has gone out behind all frames, or the channel is closed. */
  async #finish(): Promise<void> {
    this.#out.pipe.settleNow()
    while (this.#out.bufferedBytes > 0 && this.#cause === undefined) await this.#progress(undefined)
    if (this.#cause !== undefined) return
    this.#end.sendOn(this.#out, endMarkBytes, () => this.other?.arriveEnd())
    this.#finished = true
    this.#settleEnded()
  }

  /** The orderly close: both sides have ended, and every frame that came here was taken. */
  #settleEnded(): void {
    if (this.#finished && this.#remoteEnded && this.#inbox.length === 0) this.#close({ kind: 'ended' })
  }

  #close(cause: CloseCause): void {
    if (this.#cause !== undefined) return
    this.#cause = cause
    // After an orderly end its own end mark may still be on its way.
    if (cause.kind !== 'ended') {
      this.#inbox.length = 0
      this.#out.pipe.detach(this.#out)
    } else this.#out.pipe.detachWhenSent(this.#out)
    this.#resolveClosed(cause)
    this.#wakeWriters()
    if (cause.kind === 'ended') this.#wakeReaderAtEnd()
    const reader = this.#reader
    this.#reader = undefined
    reader?.done()
    reader?.reject(this.#closedError(cause))
    this.#end.channelClosed(this)
  }

  #wakeReaderAtEnd(): void {
    const reader = this.#reader
    this.#reader = undefined
    reader?.done()
    reader?.resolve(undefined)
  }

  #wakeWriters(): void {
    const writers = this.#writers
    this.#writers = undefined
    this.#out.onProgress = undefined
    if (writers !== undefined) for (const writer of writers) writer.resolve()
  }

  /** Waits until something has left, or the channel is closed or ended. */
  async #progress(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const writers = (this.#writers ??= new Set())
      const waiter: Waiter = {
        resolve: () => {
          stopListening?.()
          resolve()
        },
        reject
      }
      writers.add(waiter)
      const stopListening =
        signal &&
        onAbort(signal, () => {
          writers.delete(waiter)
          reject(abortReason(signal))
        })
      this.#out.onProgress = () => this.#end.host.wake(() => this.#wakeWriters())
      this.#out.pipe.watch()
    })
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
}

/** What a frame is charged for. */
function frameBytes(frame: Frame): number {
  return frame.head.byteLength + chargedBytes(frame.body)
}

function oversize({ head, body }: Frame, limits: ChannelLimits): WireError | undefined {
  const bodyBytes = chargedBytes(body)
  if (head.byteLength <= limits.maxHeadBytes && bodyBytes <= limits.maxBodyBytes) return undefined
  return new WireError(
    WireErrorCode.TooLarge,
    `a frame with a head of ${head.byteLength} and a body of ${bodyBytes} bytes passes the limits of ${limits.maxHeadBytes} and ${limits.maxBodyBytes}`
  )
}
