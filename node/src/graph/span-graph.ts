/**
 * The contract between the graph builder and the runtime: the names, shapes and dtypes of a group graph's inputs and
 * outputs.
 *
 * A hosted span is cut into groups of consecutive blocks; each group is one ONNX graph and one ORT session. A graph takes
 * the packed rows of a whole turn, `R` of them, from several sessions. Matrix products run on all rows at once. Attention
 * runs in a fixed number of lanes; each lane gathers its rows, runs GroupQueryAttention on its window of KV slots in
 * place, and its result is put back in the order of the rows.
 *
 * @packageDocumentation
 */
import type { BlockRange, WeightDtype } from '@skein/protocol'

/** What a family needs to know of a model to build its blocks. */
export interface BlockShape {
  readonly hiddenSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly ffnSize: number
  readonly contextTokens: number
}

/**
 * Inputs of a group graph, by name (`L` lanes, `i` from 0; `B` slots in a lane's window, `S` new rows per slot; `C`
 * capacity of the window's slots in rows; `R` rows of the turn; `k` block index in the model):
 *
 * | name | dtype, shape | meaning |
 * | --- | --- | --- |
 * | `hidden` | f32 `[R, hiddenSize]` | the packed rows |
 * | `positions` | int64 `[1, R]` | each row's position in its session |
 * | `lane{i}_rows` | int64 `[B*S]` | rows of `hidden` that the lane takes; `R` names a row of zeros (idle) |
 * | `lane{i}_shape` | int64 `[3]` | `[B, S, -1]` |
 * | `lane{i}_seqlens` | int32 `[B]` | rows in the cache after this turn, less one (`seqlens_k` of GroupQueryAttention) |
 * | `lane{i}_total` | int32 `[]` | the largest of those, plus one (`total_sequence_length`) |
 * | `order` | int64 `[R]` | for each row, its index in the lanes' results laid end to end |
 * | `block{k}_lane{i}_key`, `..._value` | f32 `[B, kvHeads, C, headDim]` | the window of the KV pool |
 *
 * Outputs: `output` f32 `[R, hiddenSize]`, and `block{k}_lane{i}_present_key`, `..._present_value`, which the runtime
 * binds to the buffers of the inputs of the same name, so that GroupQueryAttention appends in place.
 */
export interface GroupGraph {
  readonly blocks: BlockRange
  readonly lanes: number
  /** A serialized ONNX ModelProto. Large initializers are external data in the file `weightsFile`. */
  readonly model: Uint8Array
  /** Name of the external data file, relative to the folder handed to ORT. */
  readonly weightsFile: string
  readonly shape: BlockShape
  readonly dtype: WeightDtype
}

export const groupGraphNames = {
  hidden: 'hidden',
  positions: 'positions',
  order: 'order',
  output: 'output',
  laneRows: (lane: number) => `lane${lane}_rows`,
  laneShape: (lane: number) => `lane${lane}_shape`,
  laneSeqlens: (lane: number) => `lane${lane}_seqlens`,
  laneTotal: (lane: number) => `lane${lane}_total`,
  key: (block: number, lane: number) => `block${block}_lane${lane}_key`,
  value: (block: number, lane: number) => `block${block}_lane${lane}_value`,
  presentKey: (block: number, lane: number) => `block${block}_lane${lane}_present_key`,
  presentValue: (block: number, lane: number) => `block${block}_lane${lane}_present_value`
} as const

/**
 * The head graph of a coordinator: inputs `hidden` f32 `[R, hiddenSize]`, output `logits` f32 `[R, vocabSize]` (final norm
 * and LM head).
 */
export const headGraphNames = { hidden: 'hidden', logits: 'logits' } as const

/** A group of blocks or the head, converted, on disk and ready to be opened by the runtime. */
export interface PreparedGraph {
  /** Folder that holds `model.onnx` and its external data. */
  readonly folder: string
  readonly modelFile: string
}

/** A hosted span, converted and on disk: what the runtime opens. Structured-cloneable, so that it can go to a worker. */
export interface PreparedSpan {
  readonly span: BlockRange
  readonly groups: ReadonlyArray<PreparedGraph & { readonly blocks: BlockRange }>
  readonly shape: BlockShape
  readonly dtype: WeightDtype
  readonly lanes: number
}
