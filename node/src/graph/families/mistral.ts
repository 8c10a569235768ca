/**
 * Mistral: Llama's block, with a sliding window in its first version.
 *
 * @see https://github.com/huggingface/transformers/blob/main/src/transformers/models/mistral/modeling_mistral.py
 * @packageDocumentation
 */
import { readLlamaLikeConfig } from './llama-like-config.ts'
import type { Family } from './family.ts'
import { llama } from './llama.ts'

export const mistral: Family = {
  ...llama,
  modelTypes: ['mistral'],
  readConfig: (json) => readLlamaLikeConfig(json, { attentionBias: 'never', slidingWindow: 'always' })
}
