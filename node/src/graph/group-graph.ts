/**
 * Builds the graph of a group of blocks and the graph of the head, each with the plan by which its weights are filled in.
 *
 * @packageDocumentation
 */
import type { BlockRange, WeightDtype } from '@skein/protocol'
import type { ModelConfig } from '../checkpoint/model.ts'
import { familyOf } from './families/registry.ts'
import { GraphBuilder } from './graph-builder.ts'
import { declareTurn, type RopeTable } from './lanes.ts'
import { rmsNorm } from './operators.ts'
import { groupGraphNames, headGraphNames, type BlockShape, type GroupGraph } from './span-graph.ts'
import { WeightPlanner, weightsFileName, type PlannedWeight } from './weights.ts'

/** A graph, and what must be written into its external data file. */
export interface PlannedGraph {
  /** A serialized ONNX `ModelProto`. */
  readonly model: Uint8Array
  readonly plan: readonly PlannedWeight[]
  /** Bytes of the file {@link weightsFileName}. */
  readonly weightsBytes: number
  /** What goes into the file `rope.bin`; undefined when the graph uses none. */
  readonly rope: RopeTable | undefined
}

export interface GroupGraphOptions {
  readonly blocks: BlockRange
  readonly lanes: number
  readonly dtype: WeightDtype
}

export function blockShape(config: ModelConfig): BlockShape {
  const { hiddenSize, heads, kvHeads, headDim, ffnSize, contextTokens } = config
  return { hiddenSize, heads, kvHeads, headDim, ffnSize, contextTokens }
}

/**
 * The graph of blocks `[start, end)`, with inputs and outputs as `span-graph.ts` says. A block computes the same bits in
 * whichever group it stands.
 *
 * @throws CheckpointError when the family is not known
 */
export function buildGroupGraph(config: ModelConfig, options: GroupGraphOptions): GroupGraph & PlannedGraph {
  const { blocks, lanes, dtype } = options
  const family = familyOf(config.family)
  const builder = new GraphBuilder(`blocks ${blocks.start}:${blocks.end}`)
  const weights = new WeightPlanner(builder, dtype)
  let hidden = builder.input(groupGraphNames.hidden, 'f32', ['R', config.hiddenSize])
  builder.output(groupGraphNames.output, 'f32', ['R', config.hiddenSize])
  const turn = declareTurn(builder, config, lanes)
  for (let block = blocks.start; block < blocks.end; block++) {
    const outputName = block === blocks.end - 1 ? groupGraphNames.output : undefined
    const before = hidden
    hidden = builder.scope(`block${block}`, () => family.buildBlock({ builder, weights, config, turn, block, outputName }, before))
  }
  const shape = blockShape(config)
  return { blocks, lanes, dtype, shape, weightsFile: weightsFileName, ...planned(builder, weights, turn.ropeTable) }
}

/** The graph of the final norm and the LM head, as `headGraphNames` says. @throws CheckpointError when the family is not known */
export function buildHeadGraph(config: ModelConfig, dtype: WeightDtype): PlannedGraph {
  const ends = familyOf(config.family).endTensors(config)
  const builder = new GraphBuilder('head')
  const weights = new WeightPlanner(builder, dtype)
  const hidden = builder.input(headGraphNames.hidden, 'f32', ['R', config.hiddenSize])
  builder.output(headGraphNames.logits, 'f32', ['R', config.vocabSize])
  const normWeight = weights.vector('norm_weight', [ends.norm.name], config.hiddenSize)
  const normed = rmsNorm(builder, 'norm', hidden, normWeight, config.normEpsilon)
  weights.linear('head', normed, {
    matrices: [ends.head.name],
    rows: config.vocabSize,
    columns: config.hiddenSize,
    outputName: headGraphNames.logits
  })
  return planned(builder, weights, undefined)
}

function planned(builder: GraphBuilder, weights: WeightPlanner, rope: RopeTable | undefined): PlannedGraph {
  return {
    model: builder.build(),
    plan: weights.plan,
    weightsBytes: builder.fileBytes(weightsFileName),
    rope
  }
}
