/**
 * What is left of a row of logits on its way through the processors: the logits of all tokens, and which tokens are still
 * to be drawn from.
 */
export class Candidates {
  /** f32 by token id, `[vocabSize]`. Processors may change it. */
  readonly logits: Float32Array
  /** The first `count` are the token ids that are left. */
  readonly ids: Uint32Array
  count: number
  /** Whether the ids that are left stand by falling logit, and by rising id where logits are equal. */
  ranked: boolean

  constructor(logits: Float32Array, ids: Uint32Array = new Uint32Array(logits.length)) {
    this.logits = logits
    this.ids = ids
    this.count = logits.length
    this.ranked = false
    for (let id = 0; id < ids.length; id++) ids[id] = id
  }

  /** Leaves only these, which must be ranked. */
  keep(ranked: Uint32Array): void {
    this.ids.set(ranked)
    this.count = ranked.length
    this.ranked = true
  }

  /** Leaves only the first `count` of ranked ones. */
  cut(count: number): void {
    this.count = Math.min(this.count, count)
  }

  left(): Uint32Array {
    return this.ids.subarray(0, this.count)
  }

  /** The largest logit that is left. Plain loops over indices: iterators cost milliseconds over a large vocabulary. */
  max(): number {
    const { logits, ids, count } = this
    let max = -Infinity
    for (let index = 0; index < count; index++) {
      const logit = logits[ids[index] as number] as number
      if (logit > max) max = logit
    }
    return max
  }

  /** The weights of what is left, `exp(logit - max)`, added in the order in which they stand. */
  weight(max: number): number {
    const { logits, ids, count } = this
    let sum = 0
    for (let index = 0; index < count; index++) sum += Math.exp((logits[ids[index] as number] as number) - max)
    return sum
  }
}
