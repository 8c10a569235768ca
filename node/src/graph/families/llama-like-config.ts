/**
 * Reads the `config.json` of Llama and of the families that share its keys.
 *
 * @packageDocumentation
 */
import { z } from 'zod'
import { usableContext } from '../rope.ts'
import { CheckpointError, CheckpointErrorCode } from '../../checkpoint/errors.ts'
import type { ModelConfig, RopeScaling } from '../../checkpoint/model.ts'

/** What tells the families apart. */
export interface LlamaLikeOptions {
  /** Where biases are: as the key `attention_bias` says (all four projections), always on q, k and v, or nowhere. */
  readonly attentionBias: 'attention_bias' | 'qkv' | 'never'
  /** Whether `sliding_window` counts: never, always, or only when `use_sliding_window` is true. */
  readonly slidingWindow: 'never' | 'always' | 'use_sliding_window'
}

// Bounds keep later arithmetic exact and allocations sane; no published model comes near them.
const size = z
  .number()
  .int()
  .min(1)
  .max(2 ** 24)
const count = z.number().int().min(1).max(4096)
const tokenId = z
  .number()
  .int()
  .min(0)
  .max(2 ** 31)
const positive = z.number().positive()
const factors = z.array(positive).max(4096)

const ropeSchema = z.object({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: z.number().nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: size.nullish(),
  attention_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  short_factor: factors.nullish(),
  long_factor: factors.nullish()
})

const configSchema = z.object({
  model_type: z.string(),
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: size,
  max_position_embeddings: size,
  rms_norm_eps: positive.default(1e-6),
  rope_theta: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  original_max_position_embeddings: size.nullish(),
  partial_rotary_factor: z.number().nullish(),
  hidden_act: z.string().default('silu'),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.number().int().min(0).nullish(),
  layer_types: z.array(z.string()).max(4096).nullish(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId).max(64)]).nullish(),
  quantization_config: z.unknown().optional()
})

type RawConfig = z.infer<typeof configSchema>
type RawRope = z.infer<typeof ropeSchema>

/** The default of transformers when `rope_theta` is given nowhere. */
const defaultTheta = 10_000

/** @throws CheckpointError `ERR_SKEIN_CHECKPOINT_BAD_CONFIG`, which names the key */
export function readLlamaLikeConfig(json: unknown, options: LlamaLikeOptions): ModelConfig {
  const parsed = configSchema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw badConfig(`${issue?.path.join('.') ?? 'the file'}: ${issue?.message ?? 'not valid'}`)
  }
  const raw = parsed.data
  refuseUnsupported(raw)
  const heads = raw.num_attention_heads
  const kvHeads = raw.num_key_value_heads ?? heads
  if (heads % kvHeads !== 0) throw badConfig(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`)
  const headDim = raw.head_dim ?? raw.hidden_size / heads
  // GroupQueryAttention's limit on CPU, and what makes the halves of the rotary embedding whole.
  if (headDim % 16 !== 0) throw badConfig(`the head size ${headDim} is not a multiple of 16, which ONNX Runtime's attention needs`)
  const ropeScaling = readRopeScaling(raw, headDim)
  const contextTokens = usableContext(raw.max_position_embeddings, ropeScaling)
  return {
    family: raw.model_type,
    blocks: raw.num_hidden_layers,
    hiddenSize: raw.hidden_size,
    ffnSize: raw.intermediate_size,
    heads,
    kvHeads,
    headDim,
    vocabSize: raw.vocab_size,
    contextTokens,
    normEpsilon: raw.rms_norm_eps,
    ropeTheta: raw.rope_parameters?.rope_theta ?? raw.rope_scaling?.rope_theta ?? raw.rope_theta ?? defaultTheta,
    ropeScaling,
    tiedEmbeddings: raw.tie_word_embeddings ?? false,
    attentionBias: options.attentionBias === 'qkv' || (options.attentionBias === 'attention_bias' && (raw.attention_bias ?? false)),
    outputBias: options.attentionBias === 'attention_bias' && (raw.attention_bias ?? false),
    mlpBias: raw.mlp_bias ?? false,
    slidingWindowTokens: readSlidingWindow(raw, options, contextTokens),
    eosTokenIds: raw.eos_token_id === null || raw.eos_token_id === undefined ? [] : [raw.eos_token_id].flat(),
    bosTokenId: raw.bos_token_id ?? undefined
  }
}

function refuseUnsupported(raw: RawConfig): void {
  if (raw.hidden_act !== 'silu') throw badConfig(`hidden_act is ${JSON.stringify(raw.hidden_act)}; only "silu" is supported`)
  const partial = raw.rope_parameters?.partial_rotary_factor ?? raw.rope_scaling?.partial_rotary_factor ?? raw.partial_rotary_factor ?? 1
  if (partial !== 1) throw badConfig(`partial_rotary_factor is ${partial}; only 1 is supported for this family`)
  if (raw.quantization_config !== undefined && raw.quantization_config !== null) {
    throw badConfig('the checkpoint is quantized already (quantization_config); use the original in bf16, f16 or f32')
  }
}

/** One window for all blocks, none, or a refusal when blocks differ. */
function readSlidingWindow(raw: RawConfig, options: LlamaLikeOptions, contextTokens: number): number | undefined {
  const window = raw.sliding_window ?? undefined
  const used = options.slidingWindow === 'always' || (options.slidingWindow === 'use_sliding_window' && (raw.use_sliding_window ?? false))
  if (!used || window === undefined || window >= contextTokens) return undefined
  const blocks = raw.num_hidden_layers
  const firstSliding = options.slidingWindow === 'always' ? 0 : (raw.max_window_layers ?? 28)
  const types =
    raw.layer_types ?? Array.from({ length: blocks }, (_, block) => (block >= firstSliding ? 'sliding_attention' : 'full_attention'))
  const sliding = types.filter((type) => type === 'sliding_attention').length
  if (sliding === 0) return undefined
  if (sliding === blocks) return window
  throw badConfig(`${sliding} of ${blocks} blocks use a sliding window and the others do not; skein supports only all or none`)
}

function readRopeScaling(raw: RawConfig, headDim: number): RopeScaling {
  const rope = raw.rope_parameters ?? raw.rope_scaling
  const type = rope?.rope_type ?? rope?.type ?? 'default'
  if (rope === null || rope === undefined || type === 'default') return { kind: 'none' }
  const originalContextTokens = raw.original_max_position_embeddings ?? rope.original_max_position_embeddings ?? raw.max_position_embeddings
  const factor = () => required(rope.factor, type, 'factor')
  switch (type) {
    case 'linear':
      return { kind: 'linear', factor: factor() }
    case 'dynamic':
      return { kind: 'dynamic', factor: factor(), originalContextTokens: raw.max_position_embeddings }
    case 'llama3':
      return {
        kind: 'llama3',
        factor: factor(),
        lowFreqFactor: required(rope.low_freq_factor, type, 'low_freq_factor'),
        highFreqFactor: required(rope.high_freq_factor, type, 'high_freq_factor'),
        originalContextTokens
      }
    case 'yarn':
      return readYarn(raw, rope, originalContextTokens)
    case 'longrope':
    case 'su':
      return readLongrope(raw, rope, originalContextTokens, headDim / 2)
    default:
      throw badConfig(
        `rope type ${JSON.stringify(type.slice(0, 32))} is not known; skein knows default, linear, dynamic, llama3, yarn, longrope`
      )
  }
}

function readYarn(raw: RawConfig, rope: RawRope, originalContextTokens: number): RopeScaling {
  const factor = rope.factor ?? raw.max_position_embeddings / originalContextTokens
  const scale = (mscale: number) => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1)
  const { mscale, mscale_all_dim: mscaleAllDim } = rope
  const inferred = mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : undefined
  return {
    kind: 'yarn',
    factor,
    originalContextTokens,
    attentionFactor: rope.attention_factor ?? inferred,
    betaFast: rope.beta_fast ?? 32,
    betaSlow: rope.beta_slow ?? 1,
    truncate: rope.truncate ?? true
  }
}

function readLongrope(raw: RawConfig, rope: RawRope, originalContextTokens: number, half: number): RopeScaling {
  const shortFactor = required(rope.short_factor, 'longrope', 'short_factor')
  const longFactor = required(rope.long_factor, 'longrope', 'long_factor')
  if (shortFactor.length !== half || longFactor.length !== half) {
    throw badConfig(
      `longrope needs ${half} short and long factors (half the head size), but has ${shortFactor.length} and ${longFactor.length}`
    )
  }
  return {
    kind: 'longrope',
    shortFactor,
    longFactor,
    originalContextTokens,
    factor: rope.factor ?? raw.max_position_embeddings / originalContextTokens,
    attentionFactor: rope.attention_factor ?? undefined
  }
}

function required<T>(value: T | null | undefined, type: string, key: string): T {
  if (value === null || value === undefined) throw badConfig(`rope type ${type} needs ${key}`)
  return value
}

function badConfig(text: string): CheckpointError {
  return new CheckpointError(CheckpointErrorCode.BadConfig, `config.json cannot be used: ${text}`)
}
