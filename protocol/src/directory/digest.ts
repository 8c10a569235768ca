/**
 * A small summary of which announcements somebody holds, from which another can tell where the two differ. Peers fall into
 * buckets by a hash; a bucket's word is the exclusive or of the hashes of its entries. The hash is FNV-1a over the peer id,
 * with the salt in its start, then the finalizer of MurmurHash3; it need not resist an attacker who does not know the salt.
 *
 * @packageDocumentation
 */
import { limits } from '../limits.ts'
import type { PeerId } from '../ids.ts'
import type { DirectoryEntry } from '../messages/directory.ts'

const fnvOffset = 0x811c9dc5
const fnvPrime = 0x01000193

/** Buckets for a number of entries: about four in each, a power of two. */
export function bucketCountFor(entries: number): number {
  let count = 1
  while (count * 4 < entries && count < limits.maxDigestBuckets) count *= 2
  return count
}

/** @param buckets - a power of two */
export function bucketOf(peer: PeerId, salt: number, buckets: number): number {
  return (hashPeer(peer, salt) & (buckets - 1)) >>> 0
}

/** One word a bucket; 0 for an empty one. */
export function digestOf(entries: Iterable<DirectoryEntry>, salt: number, buckets: number): Uint32Array {
  const words = new Uint32Array(buckets)
  for (const [peer, sequence] of entries) {
    const hash = hashPeer(peer, salt)
    const bucket = (hash & (buckets - 1)) >>> 0
    words[bucket] = (words[bucket] as number) ^ hashEntry(hash, sequence)
  }
  return words
}

/** Little-endian, as in `exchange`. */
export function digestToBytes(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(4 * words.length)
  const view = new DataView(bytes.buffer)
  words.forEach((word, i) => view.setUint32(4 * i, word, true))
  return bytes
}

/** Inverse of {@link digestToBytes}; what follows the last whole word is ignored. */
export function digestFromBytes(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Uint32Array.from({ length: bytes.byteLength >>> 2 }, (_, i) => view.getUint32(4 * i, true))
}

function hashPeer(peer: PeerId, salt: number): number {
  let hash = mix(salt ^ fnvOffset)
  for (let i = 0; i < peer.length; i++) hash = Math.imul(hash ^ peer.charCodeAt(i), fnvPrime)
  return mix(hash)
}

function hashEntry(peerHash: number, sequence: number): number {
  const low = sequence >>> 0
  const high = Math.floor(sequence / 2 ** 32)
  return mix(mix(peerHash ^ low) ^ high)
}

/** `fmix32` of MurmurHash3. */
function mix(value: number): number {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
