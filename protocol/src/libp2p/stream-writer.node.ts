import type { Stream } from '@libp2p/interface'

/**
 * Sends pieces to a libp2p stream, one muxer's turn at a time. It holds what the stream does not take and goes on at each
 * `drain` event; `onDrain()` would resolve at once for ever after the first drain.
 */
export class StreamWriter {
  readonly #stream: Stream
  readonly #onProgress: () => void
  readonly #onFailure: (error: Error) => void
  #pieces: Uint8Array[] = []
  #heldBytes = 0
  #flushing = false

  /**
   * @param onProgress called when fewer bytes wait than before
   * @param onFailure called when the stream refuses a piece
   */
  constructor(stream: Stream, onProgress: () => void, onFailure: (error: Error) => void) {
    this.#stream = stream
    this.#onProgress = onProgress
    this.#onFailure = onFailure
    stream.addEventListener('drain', () => {
      this.#flush()
      this.#onProgress()
    })
  }

  /** Bytes that the muxer has not taken. */
  get waitingBytes(): number {
    return this.#heldBytes + this.#stream.writeBufferLength
  }

  /** Whether every piece was handed to the stream. */
  get empty(): boolean {
    return this.#heldBytes === 0
  }

  push(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      this.#pieces.push(piece)
      this.#heldBytes += piece.byteLength
    }
    this.#flush()
  }

  discard(): void {
    this.#pieces = []
    this.#heldBytes = 0
  }

  #flush(): void {
    if (this.#flushing) return
    this.#flushing = true
    try {
      let sent = 0
      while (sent < this.#pieces.length && !this.#stream.writableNeedsDrain) {
        const piece = this.#pieces[sent++] as Uint8Array
        this.#heldBytes -= piece.byteLength
        this.#stream.send(piece)
      }
      this.#pieces.splice(0, sent)
    } catch (error) {
      this.discard()
      this.#onFailure(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#flushing = false
    }
  }
}
