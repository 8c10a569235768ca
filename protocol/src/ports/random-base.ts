import { InvalidArgumentError } from '../errors.ts'
import type { Random } from './random.ts'

const twoTo32 = 0x1_0000_0000

/** What every generator has in common: all draws stand on `uint32` alone. */
export abstract class RandomBase implements Random {
  abstract uint32(): number
  abstract fork(name: string): Random

  float(): number {
    const high = this.uint32() >>> 5
    const low = this.uint32() >>> 6
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000
  }

  below(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > twoTo32) {
      throw new InvalidArgumentError(`a draw below ${bound} is not possible: the bound must be an integer from 1 to 2^32`)
    }
    // Division takes the high bits, which are the better ones of many generators; what lies past a whole multiple is drawn again.
    const width = Math.floor(twoTo32 / bound)
    for (;;) {
      const drawn = Math.floor(this.uint32() / width)
      if (drawn < bound) return drawn
    }
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length)
    let word = 0
    for (let index = 0; index < length; index++) {
      if (index % 4 === 0) word = this.uint32()
      out[index] = (word >>> (8 * (index % 4))) & 0xff
    }
    return out
  }
}
