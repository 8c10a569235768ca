import type { Event } from '../kernel/event-queue.ts'

/** Something on its way through a pipe: a frame, or a control message of the connection. `run` is its arrival. */
export abstract class Packet {
  readonly stream: SendStream
  readonly bytes: number
  readonly queuedUs: number
  /** Bytes that have not left yet. */
  leftBytes: number
  /** Microseconds with fractions: when its first byte left and its last one did, or will. */
  startUs = -1
  finishUs = 0
  /** Jitter and retransmissions, drawn once. */
  extraUs = -1
  /** No packet of the pipe may arrive before this one's predecessor: a connection keeps its order. */
  floorUs = 0
  event: Event | undefined

  constructor(stream: SendStream, bytes: number, queuedUs: number) {
    this.stream = stream
    this.bytes = bytes
    this.leftBytes = bytes
    this.queuedUs = queuedUs
  }

  abstract run(): void
}

export interface SendStreamInit {
  /** Orders events of one instant. */
  readonly channel: number
  /** Share of the pipe that it gets beside others. */
  readonly weight: number
  /** Bytes that may be sent and not yet taken by the reader. */
  readonly windowBytes: number
}

/** What a stream needs of the pipe that takes its packets. */
export interface PacketPipe {
  attach(stream: SendStream): void
  detach(stream: SendStream): void
  detachWhenSent(stream: SendStream): void
  /** Takes what the stream may send. */
  pump(stream: SendStream): void
  /** Brings the counts of its streams up to date. */
  settleNow(): void
  watch(): void
}

/** One direction of one channel: a queue of packets into a pipe, held back by the reader's window. */
export class SendStream {
  readonly pipe: PacketPipe
  readonly channel: number
  readonly weight: number
  readonly #windowBytes: number
  readonly waiting: Packet[] = []
  /** Bytes that have not left yet. */
  bufferedBytes = 0
  /** Bytes that were given to the pipe and that the reader has not yet taken, as far as this side knows. */
  outstandingBytes = 0
  blockedByWindow = false
  /** Nothing more will be sent once the buffer is empty. */
  isLast = false
  /** Called when buffered bytes have left, as long as it is set. */
  onProgress: (() => void) | undefined

  constructor(pipe: PacketPipe, init: SendStreamInit) {
    this.pipe = pipe
    this.channel = init.channel
    this.weight = init.weight
    this.#windowBytes = init.windowBytes
    pipe.attach(this)
  }

  get hasRoomInWindow(): boolean {
    return this.outstandingBytes < this.#windowBytes
  }

  /** Whether the window is so empty that the moment of a credit cannot matter. */
  get isFarFromFull(): boolean {
    return 2 * this.outstandingBytes < this.#windowBytes
  }

  /** Whether something waits that the window lets through. */
  maySend(): boolean {
    if (this.waiting.length === 0) return false
    this.blockedByWindow = !this.hasRoomInWindow
    return !this.blockedByWindow
  }

  /** The next packet that may go; it counts as outstanding from then on. */
  next(): Packet | undefined {
    if (!this.maySend()) return undefined
    const packet = this.waiting.shift() as Packet
    this.outstandingBytes += packet.bytes
    return packet
  }

  /** Undoes `next`, for packets whose turn has to be planned again; the first of them goes first. */
  putBack(packets: readonly Packet[]): void {
    for (const packet of packets) this.outstandingBytes -= packet.bytes
    this.waiting.unshift(...packets)
  }

  /** The reader took bytes, and this side has learnt of it. */
  credit(bytes: number): void {
    this.outstandingBytes -= bytes
    if (!this.blockedByWindow || !this.hasRoomInWindow) return
    this.blockedByWindow = false
    this.pipe.pump(this)
  }
}
