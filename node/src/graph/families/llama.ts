/**
 * Llama (1 to 3.x): RMS norm, grouped-query attention with rotary embedding, SwiGLU. Mistral and Qwen2 are the same block
 * with other options, so the block and its tensors are told here once.
 *
 * @see https://github.com/huggingface/transformers/blob/main/src/transformers/models/llama/modeling_llama.py
 * @packageDocumentation
 */
import { readLlamaLikeConfig } from './llama-like-config.ts'
import type { ModelConfig } from '../../checkpoint/model.ts'
import type { Value } from '../graph-builder.ts'
import { laneAttention } from '../lanes.ts'
import { add, mul, rmsNorm, silu, skipRmsNorm } from '../operators.ts'
import type { TensorSpec } from '../weights.ts'
import type { BlockContext, EndTensors, Family } from './family.ts'

export const llama: Family = {
  modelTypes: ['llama'],
  readConfig: (json) => readLlamaLikeConfig(json, { attentionBias: 'attention_bias', slidingWindow: 'never' }),
  blockTensors: llamaBlockTensors,
  endTensors: llamaEndTensors,
  buildBlock: buildLlamaBlock
}

const qkv = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'] as const

function llamaBlockTensors(config: ModelConfig, block: number): TensorSpec[] {
  const { hiddenSize, ffnSize } = config
  const width = config.heads * config.headDim
  const kvWidth = config.kvHeads * config.headDim
  const at = (name: string, ...shape: number[]): TensorSpec => ({ name: `model.layers.${block}.${name}`, shape })
  const linear = (name: string, rows: number, columns: number, bias: boolean): TensorSpec[] =>
    bias ? [at(`${name}.weight`, rows, columns), at(`${name}.bias`, rows)] : [at(`${name}.weight`, rows, columns)]
  return [
    at('input_layernorm.weight', hiddenSize),
    ...linear('self_attn.q_proj', width, hiddenSize, config.attentionBias),
    ...linear('self_attn.k_proj', kvWidth, hiddenSize, config.attentionBias),
    ...linear('self_attn.v_proj', kvWidth, hiddenSize, config.attentionBias),
    ...linear('self_attn.o_proj', hiddenSize, width, config.outputBias),
    at('post_attention_layernorm.weight', hiddenSize),
    ...linear('mlp.gate_proj', ffnSize, hiddenSize, config.mlpBias),
    ...linear('mlp.up_proj', ffnSize, hiddenSize, config.mlpBias),
    ...linear('mlp.down_proj', hiddenSize, ffnSize, config.mlpBias)
  ]
}

function llamaEndTensors(config: ModelConfig): EndTensors {
  const shape = [config.vocabSize, config.hiddenSize]
  const embedding = { name: 'model.embed_tokens.weight', shape }
  return {
    embedding,
    norm: { name: 'model.norm.weight', shape: [config.hiddenSize] },
    head: config.tiedEmbeddings ? embedding : { name: 'lm_head.weight', shape }
  }
}

function buildLlamaBlock(context: BlockContext, hidden: Value): Value {
  const { builder, weights, config, turn, block, outputName } = context
  const { hiddenSize, ffnSize, heads, kvHeads, headDim, normEpsilon } = config
  const tensor = (name: string) => `model.layers.${block}.${name}`
  const linear = (name: string, x: Value, modules: readonly string[], rows: number, columns: number, bias: boolean, output?: string) =>
    weights.linear(name, x, {
      matrices: modules.map((module) => tensor(`${module}.weight`)),
      biases: bias ? modules.map((module) => tensor(`${module}.bias`)) : undefined,
      rows,
      columns,
      outputName: output
    })

  const inputNorm = weights.vector('input_norm_weight', [tensor('input_layernorm.weight')], hiddenSize)
  const normed = rmsNorm(builder, 'input_norm', hidden, inputNorm, normEpsilon)
  const projected = linear('qkv_proj', normed, qkv, (heads + 2 * kvHeads) * headDim, hiddenSize, config.attentionBias)
  const attended = laneAttention(builder, config, turn, block, projected)
  const output = linear('o_proj', attended, ['self_attn.o_proj'], hiddenSize, heads * headDim, config.outputBias)

  const postNorm = weights.vector('post_norm_weight', [tensor('post_attention_layernorm.weight')], hiddenSize)
  const middle = skipRmsNorm(builder, 'post_norm', output, hidden, postNorm, normEpsilon)
  const gate = linear('gate_proj', middle.normed, ['mlp.gate_proj'], ffnSize, hiddenSize, config.mlpBias)
  const up = linear('up_proj', middle.normed, ['mlp.up_proj'], ffnSize, hiddenSize, config.mlpBias)
  const activated = mul(builder, 'gated', silu(builder, 'silu', gate), up)
  const down = linear('down_proj', activated, ['mlp.down_proj'], hiddenSize, ffnSize, config.mlpBias)
  // Not fused with the next block's norm: a group must compute the same bits wherever its borders are.
  return add(builder, 'block_out', middle.sum, down, outputName)
}
