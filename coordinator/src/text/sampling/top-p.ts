import type { Candidates } from './candidates.ts'
import type { SamplingProcessor } from './processor.ts'
import { selectLargest } from './select-largest.ts'

/** Tokens fall into bins by how far their logit is below the largest: 16 bins to a unit of it, the last one open. */
const binsPerUnit = 16
const bins = 512

/**
 * Leaves the smallest set of most likely tokens whose probabilities reach `p`; at least one (nucleus sampling, Holtzman et
 * al., arXiv 1904.09751).
 *
 * Linear in the vocabulary however flat the distribution is: weights are summed in bins of logits, whole bins are kept until
 * the next one would reach `p`, and only that one's tokens are ranked.
 */
export function topP(p: number): SamplingProcessor {
  return {
    name: 'top-p',
    apply(candidates) {
      const max = candidates.max()
      if (candidates.ranked) candidates.cut(nucleus(candidates.logits, candidates.left(), max, p * candidates.weight(max)))
      else if (max > -Infinity) cutByBins(candidates, max, p)
    }
  }
}

function cutByBins(candidates: Candidates, max: number, p: number): void {
  const { logits, ids, count } = candidates
  const weights = new Float64Array(bins)
  let total = 0
  for (let index = 0; index < count; index++) {
    const logit = logits[ids[index] as number] as number
    const weight = Math.exp(logit - max)
    total += weight
    const bin = binOf(logit, max)
    weights[bin] = (weights[bin] as number) + weight
  }
  const wanted = p * total
  let edge = 0
  let whole = 0
  while (edge < bins - 1 && whole + (weights[edge] as number) < wanted) whole += weights[edge++] as number
  const atEdge: number[] = []
  let kept = 0
  for (let index = 0; index < count; index++) {
    const id = ids[index] as number
    const bin = binOf(logits[id] as number, max)
    if (bin < edge) ids[kept++] = id
    else if (bin === edge) atEdge.push(id)
  }
  const ranked = selectLargest(logits, Uint32Array.from(atEdge), atEdge.length)
  const size = nucleus(logits, ranked, max, wanted - whole)
  ids.set(ranked.subarray(0, size), kept)
  candidates.count = kept + size
}

function binOf(logit: number, max: number): number {
  return Math.min(bins - 1, Math.floor((max - logit) * binsPerUnit))
}

/** How many of the ranked tokens reach the wanted weight; all when rounding keeps even those from it. */
function nucleus(logits: Float32Array, ranked: Uint32Array, max: number, wanted: number): number {
  let sum = 0
  for (let index = 0; index < ranked.length; index++) {
    sum += Math.exp((logits[ranked[index] as number] as number) - max)
    if (sum >= wanted) return index + 1
  }
  return ranked.length
}
