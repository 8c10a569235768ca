/** What is larger gets memory of its own, so that a piece is not kept for the sake of a part of it. */
const maxShared = 1024
const pieceBytes = 65_536

/**
 * Short arrays that share memory in pieces: V8 gives each of them a block of its own once its bytes are looked at as something
 * else, and there are millions of them. A piece is kept as long as any part of it, so each kind of bytes has a pool of its own.
 */
export class BytePool {
  #piece = new Uint8Array(pieceBytes)
  #used = 0

  /** The same bytes in memory that nobody else writes to, at a place where numbers of eight bytes may be read. */
  copy(bytes: Uint8Array): Uint8Array {
    // Not `slice`, which copies nothing of a Buffer.
    if (bytes.byteLength > maxShared) return new Uint8Array(bytes)
    const copy = this.take(bytes.byteLength)
    copy.set(bytes)
    return copy
  }

  /** Zeroed memory that nobody else writes to, at such a place. */
  take(byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength > maxShared) return new Uint8Array(byteLength)
    if (this.#used + byteLength > pieceBytes) {
      this.#piece = new Uint8Array(pieceBytes)
      this.#used = 0
    }
    const taken = new Uint8Array(this.#piece.buffer, this.#used, byteLength)
    this.#used += (byteLength + 7) & ~7
    return taken
  }
}
