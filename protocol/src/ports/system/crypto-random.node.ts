import { randomFillSync } from 'node:crypto'
import { RandomBase } from '../random-base.ts'
import type { Random } from '../random.ts'

/** Words that are drawn from the system at once: a call costs a microsecond, a word of a batch almost nothing. */
const batchWords = 64

/** The system's generator. There is no seed, so a fork is simply another one. */
export function cryptoRandom(): Random {
  return new CryptoRandom()
}

class CryptoRandom extends RandomBase {
  readonly #words = new Uint32Array(batchWords)
  #next = batchWords

  uint32(): number {
    if (this.#next === batchWords) {
      randomFillSync(this.#words)
      this.#next = 0
    }
    const word = this.#words[this.#next] as number
    // What was handed out may become part of a key: it does not stay here.
    this.#words[this.#next++] = 0
    return word
  }

  override bytes(length: number): Uint8Array {
    return randomFillSync(new Uint8Array(length))
  }

  fork(_name: string): Random {
    return new CryptoRandom()
  }
}
