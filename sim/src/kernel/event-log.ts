/**
 * A running hash of everything that happened: two runs did the same exactly when their hashes agree. 64 bits by two lanes
 * of multiply and rotate (the mixing step of MurmurHash3 by Austin Appleby, public domain); it is no cryptographic hash.
 */
export class EventLog {
  #low = 0x9747b28c
  #high = 0x3c6ef372
  #count = 0

  get count(): number {
    return this.#count
  }

  /** @param timeUs whole microseconds; @param peer and the rest are whole numbers below 2^32 */
  add(timeUs: number, peer: number, kind: number, channel: number): void {
    this.#count++
    this.#mix(timeUs | 0, (timeUs / 0x1_0000_0000) | 0)
    this.#mix((peer << 4) ^ kind, channel)
  }

  /** A fact that no event shows by itself, such as what an oracle saw. */
  note(value: number): void {
    this.#mix(value | 0, (value / 0x1_0000_0000) | 0)
  }

  /** 16 hex digits. */
  digest(): string {
    return [this.#low, this.#high].map((lane) => (finish(lane ^ this.#count) >>> 0).toString(16).padStart(8, '0')).join('')
  }

  #mix(a: number, b: number): void {
    let k = Math.imul(a, 0xcc9e2d51)
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
    let h = this.#low ^ k
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
    k = Math.imul(b ^ h, 0x85ebca6b)
    k = Math.imul((k << 16) | (k >>> 16), 0xc2b2ae35)
    let g = this.#high ^ k
    g = (Math.imul((g << 17) | (g >>> 15), 5) + 0x52dce729) | 0
    this.#low = (h + g) | 0
    this.#high = g
  }
}

function finish(lane: number): number {
  let h = lane
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
