/**
 * What a checkpoint tells of its model, whatever its file format.
 *
 * @packageDocumentation
 */
import type { ModelId } from '@skein/protocol'

/** Scaling of rotary position embeddings, as Hugging Face names them (`rope_scaling.rope_type`). */
export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  | { readonly kind: 'dynamic'; readonly factor: number; readonly originalContextTokens: number }
  | {
      readonly kind: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalContextTokens: number
    }
  | {
      readonly kind: 'yarn'
      readonly factor: number
      readonly originalContextTokens: number
      readonly attentionFactor?: number
      readonly betaFast: number
      readonly betaSlow: number
      /** Whether the borders of the ramp are rounded to whole dimensions. @default true */
      readonly truncate?: boolean
    }
  | {
      readonly kind: 'longrope'
      readonly shortFactor: readonly number[]
      readonly longFactor: readonly number[]
      readonly originalContextTokens: number
      readonly factor?: number
      readonly attentionFactor?: number
    }

/** The model's configuration in our words, read from `config.json` by its family. */
export interface ModelConfig {
  /** `model_type` of `config.json`, the key of the family registry. */
  readonly family: string
  readonly blocks: number
  readonly hiddenSize: number
  readonly ffnSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  readonly contextTokens: number
  readonly normEpsilon: number
  readonly ropeTheta: number
  readonly ropeScaling: RopeScaling
  readonly tiedEmbeddings: boolean
  readonly attentionBias: boolean
  readonly outputBias: boolean
  readonly mlpBias: boolean
  /** Attention looks back at most so far; undefined for all. */
  readonly slidingWindowTokens?: number
  readonly eosTokenIds: readonly number[]
  readonly bosTokenId?: number
}

export type TensorDtype = 'f32' | 'f16' | 'bf16'

export interface TensorInfo {
  readonly name: string
  readonly dtype: TensorDtype
  readonly shape: readonly number[]
  readonly byteLength: number
}

/** An opened checkpoint. Reads only the byte ranges that it is asked for. */
export interface Checkpoint {
  readonly config: ModelConfig
  readonly modelId: ModelId
  /** The folder it was read from, for the tokenizer's files. */
  readonly folder: string
  tensor(name: string): TensorInfo | undefined
  /** The tensor's raw little-endian bytes. @throws CheckpointError that names the file and the tensor */
  readBytes(name: string): Promise<Uint8Array>
  /** The tensor's values as f32, row-major. @throws CheckpointError */
  readFloat32(name: string): Promise<Float32Array>
  close(): Promise<void>
}
