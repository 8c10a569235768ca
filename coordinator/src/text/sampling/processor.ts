import type { Candidates } from './candidates.ts'
import type { TokenHistory } from './token-history.ts'

/** One step from the model's logits to the tokens that are drawn from. Changes the candidates; has no state of its own. */
export interface SamplingProcessor {
  readonly name: string
  apply(candidates: Candidates, history: TokenHistory): void
}
