/**
 * Attention in lanes: the inputs of a turn that every block shares, and one block's attention over its windows of KV slots.
 * `span-graph.ts` says what the inputs mean.
 *
 * @packageDocumentation
 */
import type { ModelConfig } from '../checkpoint/model.ts'
import type { ExternalSlice, GraphBuilder, Value } from './graph-builder.ts'
import { concat, gather, groupQueryAttention, reshape, rotaryEmbedding, split } from './operators.ts'
import { groupGraphNames } from './span-graph.ts'
import { ropeFileName } from './weights.ts'

interface Lane {
  readonly index: number
  readonly rows: Value
  readonly shape: Value
  readonly seqlens: Value
  readonly total: Value
}

/** Where the tables of the rotary embedding go, each f32 `[contextTokens, headDim/2]`. */
export interface RopeTable {
  readonly cos: ExternalSlice
  readonly sin: ExternalSlice
}

/** What all blocks of a group share. */
export interface TurnInputs {
  /** int64 `[R, 1]`. */
  readonly positions: Value
  readonly cos: Value
  readonly sin: Value
  /** Where the two tables must be written. */
  readonly ropeTable: RopeTable
  readonly order: Value
  readonly lanes: readonly Lane[]
}

/** Declares the inputs that describe a turn, and the tables of the rotary embedding. */
export function declareTurn(builder: GraphBuilder, config: ModelConfig, laneCount: number): TurnInputs {
  const positions = builder.input(groupGraphNames.positions, 'i64', [1, 'R'])
  const lanes = Array.from({ length: laneCount }, (_, index) => ({
    index,
    rows: builder.input(groupGraphNames.laneRows(index), 'i64', [`BS${index}`]),
    shape: builder.input(groupGraphNames.laneShape(index), 'i64', [3]),
    seqlens: builder.input(groupGraphNames.laneSeqlens(index), 'i32', [`B${index}`]),
    total: builder.input(groupGraphNames.laneTotal(index), 'i32', [])
  }))
  const order = builder.input(groupGraphNames.order, 'i64', ['R'])
  const table = [config.contextTokens, config.headDim / 2]
  const cos = builder.external('rope_cos', 'f32', table, ropeFileName)
  const sin = builder.external('rope_sin', 'f32', table, ropeFileName)
  return {
    // RotaryEmbedding refuses sequences longer than its table; rows as a batch of length 1 have no such limit.
    positions: reshape(builder, 'positions_column', positions, [-1, 1]),
    cos: cos.value,
    sin: sin.value,
    ropeTable: { cos: cos.slice, sin: sin.slice },
    order,
    lanes
  }
}

/**
 * Attention of one block. `qkv` f32 `[R, (heads + 2*kvHeads)*headDim]`: queries, keys and values side by side, not yet
 * turned. @returns f32 `[R, heads*headDim]`, in the order of the rows
 */
export function laneAttention(builder: GraphBuilder, config: ModelConfig, turn: TurnInputs, block: number, qkv: Value): Value {
  const { heads, kvHeads, headDim } = config
  const turnedWidth = (heads + kvHeads) * headDim
  const width = turnedWidth + kvHeads * headDim
  const [queriesAndKeys, values] = split(builder, 'qkv_split', qkv, [turnedWidth, kvHeads * headDim], 1) as [Value, Value]
  const column = reshape(builder, 'rope_in', queriesAndKeys, [-1, 1, turnedWidth])
  const turned = rotaryEmbedding(builder, 'rope', column, turn.positions, turn.cos, turn.sin)
  const packed = concat(builder, 'qkv', [reshape(builder, 'rope_rows', turned, [-1, turnedWidth]), values], 1)
  // The row of zeros that idle slots take: index R.
  const padded = concat(builder, 'qkv_padded', [packed, builder.zeros([1, width])], 0)

  const results = turn.lanes.map((lane) => {
    const cache = (name: string) => builder.input(name, 'f32', [`B${lane.index}`, kvHeads, `C${lane.index}`, headDim])
    const key = cache(groupGraphNames.key(block, lane.index))
    const value = cache(groupGraphNames.value(block, lane.index))
    const presentKeyName = groupGraphNames.presentKey(block, lane.index)
    const presentValueName = groupGraphNames.presentValue(block, lane.index)
    for (const name of [presentKeyName, presentValueName]) {
      builder.output(name, 'f32', [`B${lane.index}`, kvHeads, `C${lane.index}`, headDim])
    }
    const name = `lane${lane.index}`
    const rows = gather(builder, `${name}_gather`, padded, lane.rows)
    const shaped = reshape(builder, `${name}_shape`, rows, lane.shape)
    const attended = groupQueryAttention(builder, `${name}_attention`, shaped, key, value, lane.seqlens, lane.total, {
      heads,
      kvHeads,
      localWindow: config.slidingWindowTokens ?? -1,
      presentKeyName,
      presentValueName
    })
    return reshape(builder, `${name}_rows`, attended, [-1, heads * headDim])
  })
  const [first] = results as [Value]
  const all = results.length === 1 ? first : concat(builder, 'lanes', results, 0)
  return gather(builder, 'in_order', all, turn.order)
}
