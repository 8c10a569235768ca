/**
 * The checksums that stand for activations in the simulator. They are made for speed and for telling apart by accident, not
 * against an adversary: 128 bits of state mixed by 32-bit multiplications, as in MurmurHash3 (Austin Appleby, public domain).
 *
 * @packageDocumentation
 */

/** Bytes of a row, in `raw` encoding. */
export const checksumBytes = 32
/** 32-bit words of a row. */
export const rowWords = 8
/** 32-bit words that a block keeps for each row: what its later rows depend on. */
export const stateWords = 4

const M0 = 0x85ebca6b
const M1 = 0xc2b2ae35
const M2 = 0x9e3779b1
const M3 = 0x27d4eb2f

/** Multiplied and folded, so that a bit of one half of a row never does what a bit of the other half does. */
function folded(word: number, multiplier: number): number {
  const product = Math.imul(word, multiplier)
  return product ^ (product >>> 15)
}

/**
 * Passes a row through one block, in place. The new row depends on every bit of the old one, on the block's index and on the
 * block's state after the row before; the first four words of the new row are the block's state after this row.
 *
 * @param rows where the row's 8 words are, input and output
 * @param rowAt index of its first word
 * @param states where the block's state after the row before is, or zeros
 * @param at index of its first word
 */
export function mixThroughBlock(rows: Int32Array, rowAt: number, states: Int32Array, at: number, block: number): void {
  const e0 = states[at]!
  const e1 = states[at + 1]!
  const e2 = states[at + 2]!
  const e3 = states[at + 3]!
  let a = (Math.imul(rows[rowAt]! ^ folded(rows[rowAt + 4]!, M1), M0) + ((e0 << 7) | (e0 >>> 25)) + Math.imul(block + 1, M2)) | 0
  let b = (Math.imul(rows[rowAt + 1]! ^ folded(rows[rowAt + 5]!, M2), M1) + ((e1 << 11) | (e1 >>> 21))) | 0
  let c = (Math.imul(rows[rowAt + 2]! ^ folded(rows[rowAt + 6]!, M3), M2) + ((e2 << 17) | (e2 >>> 15))) | 0
  let d = (Math.imul(rows[rowAt + 3]! ^ folded(rows[rowAt + 7]!, M0), M3) + ((e3 << 23) | (e3 >>> 9))) | 0
  for (let round = 0; round < 3; round++) {
    a = Math.imul(a ^ (d >>> 15), M0)
    b = Math.imul((b + a) ^ (a >>> 13), M1)
    c = Math.imul((c + b) ^ (b >>> 16), M2)
    d = Math.imul((d + c) ^ (c >>> 14), M3)
  }
  a = (a + d) | 0
  rows[rowAt] = a
  rows[rowAt + 1] = b
  rows[rowAt + 2] = c
  rows[rowAt + 3] = d
  rows[rowAt + 4] = Math.imul(a ^ (c >>> 15), M1) ^ d
  rows[rowAt + 5] = Math.imul(b ^ (d >>> 13), M2) ^ a
  rows[rowAt + 6] = Math.imul(c ^ (a >>> 16), M3) ^ b
  rows[rowAt + 7] = Math.imul(d ^ (b >>> 14), M0) ^ c
}

const noState = new Int32Array(stateWords)

/** Puts the row that stands for a token before block 0 into `rows`, from the word `at` on. */
export function embedToken(token: number, rows: Int32Array, at = 0): void {
  for (let word = 0; word < rowWords; word++) rows[at + word] = Math.imul(token + 1, M0) ^ Math.imul(word + 1, M2)
  mixThroughBlock(rows, at, noState, 0, -2)
}

/** The row that stands for a token before block 0. */
export function checksumEmbedding(token: number): Uint8Array {
  const row = new Int32Array(rowWords)
  embedToken(token, row)
  return new Uint8Array(row.buffer)
}

/**
 * One undisturbed machine that holds all blocks and sees one context, token by token: what every swarm must give. It shares
 * only the mixing with {@link ChecksumRuntime}: it has no caches by position, no turns and no cut-backs.
 */
export class ReferenceMachine {
  readonly #blocks: number
  readonly #states: Int32Array
  readonly #row = new Int32Array(rowWords)

  constructor(blocks: number) {
    this.#blocks = blocks
    this.#states = new Int32Array(blocks * stateWords)
  }

  /** Takes the next token of the context. The row after the last block, until the next call. */
  next(token: number): Int32Array {
    const row = this.#row
    embedToken(token, row)
    for (let block = 0; block < this.#blocks; block++) {
      const at = block * stateWords
      mixThroughBlock(row, 0, this.#states, at, block)
      for (let word = 0; word < stateWords; word++) this.#states[at + word] = row[word]!
    }
    return row
  }

  /** The row after the last block for the last token of a context, as bytes of its own. */
  static output(blocks: number, context: readonly number[]): Uint8Array {
    const machine = new ReferenceMachine(blocks)
    let row = new Int32Array(rowWords)
    for (const token of context) row = machine.next(token) as Int32Array<ArrayBuffer>
    return new Uint8Array(row.slice().buffer)
  }
}
