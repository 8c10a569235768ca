import type { Stream, StreamCloseEvent } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { raceAbort, throwIfAborted } from '../abort.ts'
import { ChannelClosedError, ChannelFullError, InvalidArgumentError, isSkeinError } from '../errors.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import type { Channel, ChannelLimits, CloseCause, Frame } from '../ports/network.ts'
import { encodeFrame, FrameDecoder } from './frame-codec.ts'
import { libp2pLimits } from './libp2p-limits.ts'
import { StreamReader } from './stream-reader.node.ts'
import { StreamWriter } from './stream-writer.node.ts'
import { updateWindowLazily } from './transport-tuning.node.ts'

export interface Libp2pChannelInit {
  readonly stream: Stream
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly limits: ChannelLimits
  readonly priority?: 'interactive' | 'bulk'
}

/** A channel of frames over one libp2p stream. It must be made in the turn in which the stream appears, or bytes pile up. */
export class Libp2pChannel implements Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  readonly closed: Promise<CloseCause>
  readonly #stream: Stream
  readonly #limits: ChannelLimits
  readonly #pieceBytes: number
  readonly #reader: StreamReader
  readonly #writer: StreamWriter
  readonly #decoder: FrameDecoder
  readonly #frames: AsyncIterator<Frame>
  #receivedFrames = 0
  #resolveClosed!: (cause: CloseCause) => void
  #cause: CloseCause | undefined
  #localEnded = false
  /** The stream took every byte and the end mark. */
  #localFinished = false
  #remoteEnded = false
  #receiving = false
  /** A pull that an aborted `receive` left behind; the next call takes its frame. */
  #pulled: Promise<IteratorResult<Frame>> | undefined
  #finishing: Promise<void> | undefined
  readonly #waiters = new Set<() => void>()

  constructor(init: Libp2pChannelInit) {
    this.#stream = init.stream
    this.peer = init.peer
    this.protocol = init.protocol
    this.#limits = init.limits
    this.#pieceBytes = init.priority === 'bulk' ? libp2pLimits.bulkPieceBytes : libp2pLimits.pieceBytes
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.#decoder = new FrameDecoder(init.limits)
    updateWindowLazily(init.stream)
    this.#reader = new StreamReader(init.stream, () => this.#settleEnded())
    this.#writer = new StreamWriter(
      init.stream,
      () => this.#wakeWaiters(),
      () => this.#fail({ kind: 'remote' })
    )
    this.#frames = pipe(this.#reader, (source) => this.#decoder.decode(source))
    init.stream.addEventListener('remoteCloseWrite', () => this.#onRemoteEnd())
    init.stream.addEventListener('close', (event: StreamCloseEvent) => this.#onStreamClosed(event.error))
    // Either may have happened while the protocol was negotiated.
    if (init.stream.status === 'reset' || init.stream.status === 'aborted') this.#fail({ kind: 'remote' })
    else if (init.stream.remoteWriteStatus === 'closed') this.#onRemoteEnd()
  }

  send(frame: Frame): boolean {
    this.#assertSendable()
    if (this.#full()) {
      throw new ChannelFullError(
        `${this.#writer.waitingBytes} bytes wait to be sent on ${this.protocol}: await writable() before sending more`
      )
    }
    this.#writer.push(encodeFrame(frame, this.#pieceBytes))
    // The stream may have refused the bytes; the frame then counts as lost in flight, and the next call throws.
    return this.#cause === undefined && !this.#full()
  }

  async writable(options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    for (;;) {
      this.#assertSendable()
      if (!this.#full()) return
      await this.#progress(options.signal)
    }
  }

  async receive(options: AbortOptions = {}): Promise<Frame | undefined> {
    throwIfAborted(options.signal)
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw this.#closedError(this.#cause)
    if (this.#receiving) throw new InvalidArgumentError(`receive() was called twice at once on ${this.protocol}`)
    this.#receiving = true
    try {
      this.#pulled ??= this.#frames.next()
      const pulled = this.#pulled
      const result = await raceAbort(pulled, options.signal)
      this.#pulled = undefined
      if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw this.#closedError(this.#cause)
      if (result.done === true) return undefined
      this.#receivedFrames++
      this.#settleEnded()
      return result.value
    } catch (error) {
      if (options.signal?.aborted === true) throw error
      if (this.#cause === undefined) this.#onUndecodable(error)
      throw error instanceof ChannelClosedError ? error : this.#closedError(this.#cause as unknown as CloseCause)
    } finally {
      this.#receiving = false
    }
  }

  async end(options: AbortOptions = {}): Promise<void> {
    throwIfAborted(options.signal)
    if (this.#cause !== undefined && this.#cause.kind !== 'ended') throw this.#closedError(this.#cause)
    this.#localEnded = true
    this.#wakeWaiters()
    // Once, without the signal: a stream whose close was aborted never sends its end mark.
    this.#finishing ??= this.#finish()
    await raceAbort(this.#finishing, options.signal)
  }

  reset(): void {
    if (this.#cause !== undefined) return
    this.#fail({ kind: 'reset' })
  }

  #full(): boolean {
    return this.#writer.waitingBytes >= this.#limits.sendBufferBytes
  }

  #assertSendable(): void {
    if (this.#cause !== undefined) throw this.#closedError(this.#cause)
    if (this.#localEnded) throw new ChannelClosedError(`this side of ${this.protocol} has ended: nothing more can be sent`)
  }

  async #finish(): Promise<void> {
    while (!this.#writer.empty && this.#cause === undefined) await this.#progress(undefined)
    if (this.#cause !== undefined) return
    try {
      await this.#stream.close()
      this.#localFinished = true
      this.#settleEnded()
    } catch {
      // It was closed in the meantime, and its close event has said why.
    }
  }

  #onRemoteEnd(): void {
    this.#remoteEnded = true
    this.#reader.finish({ kind: 'ended' })
    this.#settleEnded()
  }

  #onStreamClosed(error: Error | undefined): void {
    // An orderly close of the connection looks like the end of the stream, but for the end marks.
    if (error === undefined && this.#remoteEnded && this.#localEnded) {
      this.#localFinished = true
      this.#settleEnded()
    } else this.#fail({ kind: 'remote' })
  }

  /** The orderly close: both sides have ended, and every frame that arrived was received. */
  #settleEnded(): void {
    if (this.#cause !== undefined || !this.#localFinished || !this.#remoteEnded) return
    const unread = this.#reader.unreadBytes + this.#decoder.heldBytes
    if (unread === 0 && this.#decoder.frames === this.#receivedFrames) this.#settle({ kind: 'ended' })
  }

  #onUndecodable(error: unknown): void {
    this.#fail({ kind: 'error', error: error instanceof Error ? error : new Error(String(error)) })
  }

  #fail(cause: CloseCause): void {
    if (this.#cause !== undefined) return
    this.#settle(cause)
    this.#writer.discard()
    const error = this.#closedError(cause)
    this.#reader.finish({ kind: 'failed', error })
    // Nobody may ever pull again; the failure is told by `closed` and by the next call.
    this.#pulled?.catch(() => {})
    this.#stream.abort(error)
  }

  #settle(cause: CloseCause): void {
    this.#cause = cause
    this.#resolveClosed(cause)
    this.#wakeWaiters()
  }

  #closedError(cause: CloseCause): ChannelClosedError {
    const why = {
      ended: 'both sides have ended it',
      reset: 'this side reset it',
      remote: 'the other side reset it or its connection broke',
      error: `it failed${isSkeinError(cause.error) ? `: ${cause.error.message}` : ''}`
    }[cause.kind]
    return new ChannelClosedError(`the channel ${this.protocol} is closed: ${why}`, { cause: cause.error, detail: { kind: cause.kind } })
  }

  #wakeWaiters(): void {
    for (const wake of [...this.#waiters]) wake()
  }

  /** Waits until fewer bytes wait to be sent, or the channel is closed or ended. */
  async #progress(signal: AbortSignal | undefined): Promise<void> {
    let wake!: () => void
    const progress = new Promise<void>((resolve) => {
      wake = resolve
    })
    this.#waiters.add(wake)
    try {
      await raceAbort(progress, signal)
    } finally {
      this.#waiters.delete(wake)
    }
  }
}
