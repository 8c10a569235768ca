import type { BlockRange } from '@skein/protocol'

/** Bytes of a row: two 32-bit words, four times over. */
export const bytesPerRow = 32

/** A row's value. */
type Word = readonly [number, number]

function mix(a: Word, b: Word, salt: number): Word {
  let x = (a[0] ^ Math.imul(b[1], 0x85ebca6b) ^ Math.imul(salt + 1, 0x9e3779b1)) | 0
  let y = (a[1] ^ Math.imul(b[0], 0xc2b2ae35) ^ Math.imul(salt + 7, 0x27d4eb2f)) | 0
  for (let round = 0; round < 2; round++) {
    x = Math.imul(x ^ (x >>> 15) ^ y, 0x2c1b3c6d)
    y = Math.imul(y ^ (y >>> 13) ^ x, 0x297a2d39)
    x ^= x >>> 16
    y ^= y >>> 17
  }
  return [x | 0, y | 0]
}

function rowsOf(words: readonly Word[]): Uint8Array {
  const all = new Int32Array(words.length * 8)
  words.forEach((word, row) => {
    for (let index = 0; index < 8; index++) all[row * 8 + index] = word[index % 2] as number
  })
  return new Uint8Array(all.buffer)
}

function wordsOf(bytes: Uint8Array): Word[] {
  const all = new Int32Array(bytes.slice().buffer)
  return Array.from({ length: all.length / 8 }, (_, row): Word => [all[row * 8] as number, all[row * 8 + 1] as number])
}

export function embed(tokens: readonly number[]): Uint8Array {
  return rowsOf(tokens.map((token): Word => mix([token, token ^ 0x5bd1e995], [17, token], 99)))
}

/**
 * A KV cache and the blocks that use it, modelled: each block maps a row to a hash of the row, the block's index and all
 * earlier rows of this cache, so that a result depends on every cache entry of every block, in order.
 */
export class ModelledSpan {
  /** Per block and row: the hash of all rows up to it. */
  readonly #cache: Word[][]
  /** Planted bug: what lies beyond the position is kept. */
  keepStale = false
  /** Fault: the next output is not finite. */
  poisoned = false

  constructor(private readonly span: BlockRange) {
    this.#cache = Array.from({ length: span.end - span.start }, () => [])
  }

  get rows(): number {
    return this.#cache[0]?.length ?? 0
  }

  /** @throws Error when the position is beyond the cache */
  run(position: number, input: Uint8Array): Uint8Array {
    if (position > this.rows) throw new Error(`row ${position} of ${this.rows}`)
    let words = wordsOf(input)
    if (words.some(([a, b]) => a === -1 && b === -1)) {
      this.#cache.forEach((sums) => (sums.length = position))
      throw new NotFinite()
    }
    this.#cache.forEach((sums, index) => {
      if (!this.keepStale) sums.length = position
      words = words.map((word): Word => {
        const sum = mix(sums.at(-1) ?? [1, 2], word, 1000 + index + this.span.start)
        sums.push(sum)
        return mix(word, sum, this.span.start + index)
      })
    })
    const poisoned = this.poisoned
    this.poisoned = false
    return poisoned ? new Uint8Array(input.byteLength).fill(255) : rowsOf(words)
  }
}

/** The input holds the model's NaN. */
export class NotFinite extends Error {}
