/**
 * The seam at which a model family joins: how its `config.json` is read, which tensors it has, and how a block of it is put
 * together. A family is one short file, listed in `registry.ts`.
 *
 * @packageDocumentation
 */
import type { ModelConfig } from '../../checkpoint/model.ts'
import type { GraphBuilder, Value } from '../graph-builder.ts'
import type { TurnInputs } from '../lanes.ts'
import type { TensorSpec, WeightPlanner } from '../weights.ts'

/** What a family puts a block together with. */
export interface BlockContext {
  readonly builder: GraphBuilder
  readonly weights: WeightPlanner
  readonly config: ModelConfig
  readonly turn: TurnInputs
  /** The block's index in the model. */
  readonly block: number
  /** Graph output that the block's result must become; undefined inside a group. */
  readonly outputName: string | undefined
}

/** The tensors of a model's two ends. */
export interface EndTensors {
  /** `[vocabSize, hiddenSize]`. */
  readonly embedding: TensorSpec
  /** The final norm's weight, `[hiddenSize]`. */
  readonly norm: TensorSpec
  /** The LM head, `[vocabSize, hiddenSize]`; the embedding itself when they are tied. */
  readonly head: TensorSpec
}

export interface Family {
  /** Values of `model_type` in `config.json`. */
  readonly modelTypes: readonly string[]
  /** @throws CheckpointError when a value is missing, impossible or not supported */
  readConfig(json: unknown): ModelConfig
  /** The tensors of block `block`. */
  blockTensors(config: ModelConfig, block: number): TensorSpec[]
  endTensors(config: ModelConfig): EndTensors
  /** Adds block `context.block` to the graph. `hidden` and the result are f32 `[R, hiddenSize]`. */
  buildBlock(context: BlockContext, hidden: Value): Value
}
