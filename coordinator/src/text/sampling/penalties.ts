import type { SamplingProcessor } from './processor.ts'

/** Makes tokens of the prompt and the answer less likely, towards zero or away from it (Keskar et al., arXiv 1909.05858). */
export function repetitionPenalty(penalty: number): SamplingProcessor {
  return {
    name: 'repetition-penalty',
    apply({ logits }, history) {
      for (const token of history.seen()) {
        const logit = logits[token]
        if (logit !== undefined) logits[token] = logit > 0 ? logit / penalty : logit * penalty
      }
    }
  }
}

/** Lowers tokens of the answer: by `presence` for being there, and by `frequency` for each time (as OpenAI's API defines it). */
export function answerPenalties(presence: number, frequency: number): SamplingProcessor {
  return {
    name: 'answer-penalties',
    apply({ logits }, history) {
      for (const [token, count] of history.answer) {
        const logit = logits[token]
        if (logit !== undefined) logits[token] = logit - presence - frequency * count
      }
    }
  }
}
