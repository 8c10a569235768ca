/**
 * Frames on a stream of bytes: the head's length and the body's length, each as 32 bits big-endian, then the head, then the
 * body. A body of no bytes is none.
 *
 * @packageDocumentation
 */
import { MalformedError, WireError, WireErrorCode } from '../errors.ts'
import type { ChannelLimits, Frame } from '../ports/network.ts'

const frameHeaderBytes = 8

/** Memory that is set aside at once on a peer's word; what is longer grows as its bytes arrive. */
const trustedBytes = 64 * 1024

/** The parts of a frame as they go to the wire, none of them longer than `pieceBytes`. Small frames become one piece. */
export function encodeFrame(frame: Frame, pieceBytes: number): Uint8Array[] {
  const { head } = frame
  const body = frame.body?.read() ?? new Uint8Array(0)
  const leading = frameHeaderBytes + head.byteLength
  const together = leading + body.byteLength <= pieceBytes
  const first = new Uint8Array(together ? leading + body.byteLength : leading)
  const view = new DataView(first.buffer)
  view.setUint32(0, head.byteLength)
  view.setUint32(4, body.byteLength)
  first.set(head, frameHeaderBytes)
  if (together) {
    first.set(body, leading)
    return [first]
  }
  return [...pieces(first, pieceBytes), ...pieces(body, pieceBytes)]
}

function* pieces(bytes: Uint8Array, pieceBytes: number): Generator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes)
}

/**
 * Turns bytes into frames; `decode` is a transform for it-pipe. Each frame's memory is its own. Lengths are checked before
 * memory is set aside, and long parts grow with what has arrived, so that eight bytes cannot claim megabytes.
 */
export class FrameDecoder {
  readonly #limits: ChannelLimits
  #reader: PartReader | undefined
  #frames = 0

  constructor(limits: ChannelLimits) {
    this.#limits = limits
  }

  /** Frames that were decoded so far. */
  get frames(): number {
    return this.#frames
  }

  /** Bytes that were taken from the source and belong to no frame yet. */
  get heldBytes(): number {
    return this.#reader?.heldBytes ?? 0
  }

  /** @throws WireError `TooLarge` for a frame beyond the limits; MalformedError when the bytes end inside a frame */
  async *decode(source: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
    const reader = new PartReader(source)
    this.#reader = reader
    for (;;) {
      const header = reader.take(frameHeaderBytes) ?? (await reader.readOrEnd(frameHeaderBytes))
      if (header === undefined) return
      const view = new DataView(header.buffer)
      const headBytes = view.getUint32(0)
      const bodyBytes = view.getUint32(4)
      assertWithin('head', headBytes, this.#limits.maxHeadBytes)
      assertWithin('body', bodyBytes, this.#limits.maxBodyBytes)
      const head = reader.take(headBytes) ?? (await reader.read(headBytes))
      const body = bodyBytes === 0 ? undefined : (reader.take(bodyBytes) ?? (await reader.read(bodyBytes)))
      reader.partBytes = 0
      this.#frames++
      yield body === undefined ? { head } : { head, body: { byteLength: bodyBytes, read: () => body } }
    }
  }
}

function assertWithin(part: string, bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return
  throw new WireError(WireErrorCode.TooLarge, `the ${part} of a frame has ${bytes} bytes, and ${maxBytes} are allowed`, {
    detail: { bytes, maxBytes }
  })
}

/** Cuts chunks of any size into parts of stated sizes. */
class PartReader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)
  /** Bytes that went into parts of an unfinished frame. */
  partBytes = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  get heldBytes(): number {
    return this.partBytes + this.#chunk.byteLength
  }

  /** A part that has arrived whole, as those of small frames have; undefined of any other. */
  take(length: number): Uint8Array<ArrayBuffer> | undefined {
    if (this.#chunk.byteLength < length) return undefined
    // Typed arrays copy by slice, and Buffers, which streams may bring, do not.
    const part = new Uint8Array(length)
    part.set(this.#chunk.subarray(0, length))
    this.#chunk = this.#chunk.subarray(length)
    this.partBytes += length
    return part
  }

  /** @throws MalformedError when the bytes end before */
  async read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const part = await this.readOrEnd(length)
    if (part === undefined) throw endedEarly(length)
    return part
  }

  /** Undefined when the bytes end before the first one. @throws MalformedError when they end after it */
  async readOrEnd(length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    let part = new Uint8Array(Math.min(length, trustedBytes))
    for (let filled = 0; filled < length;) {
      if (this.#chunk.byteLength === 0) {
        const next = await this.#chunks.next()
        if (next.done === true) {
          if (filled === 0) return undefined
          throw endedEarly(length - filled)
        }
        this.#chunk = next.value
        continue
      }
      const taken = Math.min(length - filled, this.#chunk.byteLength)
      if (filled + taken > part.byteLength) part = grown(part, filled, Math.min(length, Math.max(2 * part.byteLength, filled + taken)))
      part.set(this.#chunk.subarray(0, taken), filled)
      this.#chunk = this.#chunk.subarray(taken)
      filled += taken
      this.partBytes += taken
    }
    return part
  }
}

function endedEarly(missingBytes: number): MalformedError {
  return new MalformedError(`the stream ended inside a frame, ${missingBytes} bytes too early`)
}

function grown(part: Uint8Array, filled: number, toBytes: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(toBytes)
  larger.set(part.subarray(0, filled))
  return larger
}
