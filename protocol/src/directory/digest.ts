/**
 * A small summary of which announcements somebody holds, from which another can tell where the two differ. Peers fall into
 * buckets by a hash; a bucket's word is the exclusive or of the hashes of its entries. The hash is made of two FNV-1a sums over
 * the peer id, which are computed once, and of the salt, by the finalizer of MurmurHash3; it need not resist an attacker who
 * does not know the salt, and one who does must find two peer ids that agree in 64 bits.
 *
 * @packageDocumentation
 */
import { limits } from '../limits.ts'
import type { PeerId } from '../ids.ts'

const fnvPrime = 0x01000193
const fnvOffsetA = 0x811c9dc5
const fnvOffsetB = 0x3c6ef372

/** What a digest is made of, for one announcement: whole numbers of 32 bits. */
export interface DigestKey {
  readonly hashA: number
  readonly hashB: number
  readonly sequenceLow: number
  readonly sequenceHigh: number
}

/** The same for many of them, which lie side by side so that a thousand are passed through quickly. */
export type DigestColumns = { readonly [Part in keyof DigestKey]: Int32Array }

export function digestKey(peer: PeerId, sequence: number): DigestKey {
  return {
    hashA: fnv(peer, fnvOffsetA),
    hashB: fnv(peer, fnvOffsetB),
    sequenceLow: sequence | 0,
    sequenceHigh: Math.floor(sequence / 2 ** 32)
  }
}

/** Buckets for a number of entries: about four in each, a power of two. */
export function bucketCountFor(entries: number): number {
  let count = 1
  while (count * 4 < entries && count < limits.maxDigestBuckets) count *= 2
  return count
}

export interface Digest {
  /** One a bucket; 0 for an empty one. */
  readonly words: Uint32Array
  /** The bucket of each entry, in the order of the entries. */
  readonly buckets: Uint16Array
}

/** @param rows - the entries, by where they are in the columns. @param bucketCount - a power of two */
export function digestOf({ columns, rows }: { columns: DigestColumns; rows: Int32Array }, salt: number, bucketCount: number): Digest {
  const { hashA, hashB, sequenceLow, sequenceHigh } = columns
  const words = new Uint32Array(bucketCount)
  const buckets = new Uint16Array(rows.length)
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as number
    const hash = mix(mix((hashA[row] as number) ^ salt) ^ (hashB[row] as number))
    const bucket = hash & (bucketCount - 1)
    buckets[index] = bucket
    words[bucket] = (words[bucket] as number) ^ mix(mix(hash ^ (sequenceLow[row] as number)) ^ (sequenceHigh[row] as number))
  }
  return { words, buckets }
}

/** Little-endian, as in `exchange`. */
export function digestToBytes(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(4 * words.length)
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as number
    bytes[4 * index] = word
    bytes[4 * index + 1] = word >>> 8
    bytes[4 * index + 2] = word >>> 16
    bytes[4 * index + 3] = word >>> 24
  }
  return bytes
}

/** Inverse of {@link digestToBytes}; what follows the last whole word is ignored. */
export function digestFromBytes(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(bytes.byteLength >>> 2)
  for (let index = 0; index < words.length; index++) {
    const [a, b, c, d] = [bytes[4 * index]!, bytes[4 * index + 1]!, bytes[4 * index + 2]!, bytes[4 * index + 3]!]
    words[index] = a | (b << 8) | (c << 16) | (d << 24)
  }
  return words
}

/** How near other peers are to one by a hash that favours nobody: 0 to 2^32 - 1, the same both ways round only by chance. */
export function affinityOf(peer: PeerId): (to: PeerId) => number {
  const offset = mix(fnv(peer, fnvOffsetA))
  return (to) => mix(fnv(to, offset)) >>> 0
}

function fnv(text: string, offset: number): number {
  let hash = offset | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), fnvPrime)
  return hash
}

/** `fmix32` of MurmurHash3. */
function mix(value: number): number {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
