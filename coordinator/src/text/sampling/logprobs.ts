import { Candidates } from './candidates.ts'
import { selectLargest } from './select-largest.ts'

/** A token with the natural logarithm of its probability. */
export interface TokenScore {
  readonly token: number
  readonly logprob: number
}

/** The chosen token's score, and those of the most likely tokens, best first. */
export interface ChosenScore extends TokenScore {
  readonly top: readonly TokenScore[]
}

/** Scores from the model's own distribution, the softmax of its logits. Does not change the logits. */
export function scoreChosen(logits: Float32Array, token: number, topCount: number): ChosenScore {
  const all = new Candidates(logits)
  const max = all.max()
  const sum = all.weight(max)
  const logSum = max + Math.log(sum)
  const score = (id: number): TokenScore => ({ token: id, logprob: (logits[id] as number) - logSum })
  return { ...score(token), top: Array.from(selectLargest(logits, all.left(), topCount), score) }
}
