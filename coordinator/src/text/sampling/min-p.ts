import type { SamplingProcessor } from './processor.ts'

/** Leaves the tokens that are at least `p` times as likely as the most likely one (Nguyen et al., arXiv 2407.01082). */
export function minP(p: number): SamplingProcessor {
  return {
    name: 'min-p',
    apply(candidates) {
      const { logits, ids, count } = candidates
      const least = candidates.max() + Math.log(p)
      let kept = 0
      for (let index = 0; index < count; index++) {
        const id = ids[index] as number
        // The order stays, and with it the rank.
        if ((logits[id] as number) >= least) ids[kept++] = id
      }
      candidates.count = kept
    }
  }
}
