import type { SamplingProcessor } from './processor.ts'
import { selectLargest } from './select-largest.ts'

/** Leaves the `k` most likely tokens; of equal ones at the edge, those with the lowest ids. */
export function topK(k: number): SamplingProcessor {
  return {
    name: 'top-k',
    apply(candidates) {
      if (candidates.ranked) candidates.cut(k)
      else if (k < candidates.count) candidates.keep(selectLargest(candidates.logits, candidates.left(), k))
    }
  }
}
