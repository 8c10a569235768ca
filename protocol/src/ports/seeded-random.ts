import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus'
import { RandomBase } from './random-base.ts'
import type { Random } from './random.ts'

/**
 * A generator whose draws are a function of the seed alone, on every machine. For sampling with a seed, the simulator and
 * tests; never for keys or session ids.
 */
export function seededRandom(seed: number | string): Random {
  return new SeededRandom(`${typeof seed}:${seed}`)
}

class SeededRandom extends RandomBase {
  readonly #path: string
  readonly #generator: ReturnType<typeof xoroshiro128plusFromState>

  constructor(path: string) {
    super()
    this.#path = path
    this.#generator = xoroshiro128plusFromState(hash128(path))
  }

  uint32(): number {
    return this.#generator.next() >>> 0
  }

  fork(name: string): Random {
    // The length keeps the names apart: fork('a').fork('b') is another generator than fork('a/b').
    return new SeededRandom(`${this.#path}/${name.length}:${name}`)
  }
}

/** Four 32-bit words of a text (cyrb128 by bryc, public domain). Spreads seeds; it is not a cryptographic hash. */
function hash128(text: string): [number, number, number, number] {
  let a = 1779033703
  let b = 3144134277
  let c = 1013904242
  let d = 2773480762
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    a = b ^ Math.imul(a ^ code, 597399067)
    b = c ^ Math.imul(b ^ code, 2869860233)
    c = d ^ Math.imul(c ^ code, 951274213)
    d = a ^ Math.imul(d ^ code, 2716044179)
  }
  a = Math.imul(c ^ (a >>> 18), 597399067)
  b = Math.imul(d ^ (b >>> 22), 2869860233)
  c = Math.imul(a ^ (c >>> 17), 951274213)
  d = Math.imul(b ^ (d >>> 19), 2716044179)
  // A state of zeros would draw zeros for ever.
  return a === 0 && b === 0 && c === 0 && d === 0 ? [1, 2, 3, 4] : [a, b, c, d]
}
