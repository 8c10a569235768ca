/**
 * Qwen2 and Qwen2.5: Llama's block with biases on queries, keys and values, and none on the output.
 *
 * @see https://github.com/huggingface/transformers/blob/main/src/transformers/models/qwen2/modeling_qwen2.py
 * @packageDocumentation
 */
import { readLlamaLikeConfig } from './llama-like-config.ts'
import type { Family } from './family.ts'
import { llama } from './llama.ts'

export const qwen2: Family = {
  ...llama,
  modelTypes: ['qwen2'],
  readConfig: (json) => readLlamaLikeConfig(json, { attentionBias: 'qkv', slidingWindow: 'use_sliding_window' })
}
