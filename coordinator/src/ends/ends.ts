import type { ModelId } from '@skein/protocol'
import type { ModelConfig } from '@skein/node'
import type { ModelText } from '../text/model-text.ts'

/**
 * The two ends of a model, which a coordinator computes itself: the embedding before block 0, and the final norm with the LM
 * head after the last block; and all that the model says about text.
 */
export interface Ends {
  readonly modelId: ModelId
  readonly config: ModelConfig
  readonly text: ModelText
  /**
   * @param tokens - ids, at most `limits.maxStepRows` of them
   * @returns f32 `[tokens.length, hiddenSize]`, row-major
   * @throws InvalidArgumentError for an id outside the vocabulary, or too many tokens
   */
  embed(tokens: readonly number[]): Promise<Float32Array>
  /**
   * @param hidden - f32 `[rows, hiddenSize]`, the output of the last block; ownership passes to the ends
   * @returns f32 `[rows, vocabSize]`, row-major
   * @throws InvalidArgumentError when the size does not fit; WireError `ERR_SKEIN_NOT_FINITE` when the activations hold NaN or
   * infinity
   */
  logits(hidden: Float32Array, rows: number): Promise<Float32Array>
  /** Ends the workers once they are idle. Idempotent. */
  stop(): Promise<void>
}
