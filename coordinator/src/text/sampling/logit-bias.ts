import type { SamplingProcessor } from './processor.ts'

/** Adds to the logits of some tokens; -Infinity forbids one. Ids beyond the logits, which `resolveSampling` refuses, have no effect. */
export function logitBias(biases: ReadonlyArray<readonly [token: number, bias: number]>): SamplingProcessor {
  return {
    name: 'logit-bias',
    apply({ logits }) {
      for (const [token, bias] of biases) {
        const logit = logits[token]
        if (logit !== undefined) logits[token] = logit + bias
      }
    }
  }
}
