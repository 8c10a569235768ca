/**
 * Short arrays share memory in pieces of so many bytes: V8 gives each of them a block of its own once its bytes are looked at as
 * something else, and there are millions of them.
 */
const pieceBytes = 65_536
/** What is larger gets memory of its own, so that a piece is not kept for the sake of a part of it. */
const maxShared = 1024

let piece = new Uint8Array(pieceBytes)
let used = 0

/** The same bytes in memory that nobody else writes to. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  const { byteLength } = bytes
  // Not `slice`, which copies nothing of a Buffer.
  if (byteLength > maxShared) return new Uint8Array(bytes)
  if (used + byteLength > pieceBytes) {
    piece = new Uint8Array(pieceBytes)
    used = 0
  }
  const copy = new Uint8Array(piece.buffer, used, byteLength)
  copy.set(bytes)
  // Numbers of eight bytes may be read in place.
  used += (byteLength + 7) & ~7
  return copy
}
