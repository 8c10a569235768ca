/**
 * How weights get from a checkpoint into a graph: what the builder declares, and the plan by which a converter fills the
 * external data file. The graph itself depends on the model's configuration alone, never on the values.
 *
 * @packageDocumentation
 */
import type { WeightDtype } from '@skein/protocol'
import type { ExternalSlice, GraphBuilder, Value } from './graph-builder.ts'
import { gemm, matMulNBits } from './operators.ts'

/** Weights of a quantized matrix share a scale in blocks of so many along a row. */
export const quantBlockSize = 32

/** The external data file of a graph's weights, in the graph's folder. */
export const weightsFileName = 'weights.bin'
/** The external data file of the tables of the rotary embedding, the same for all graphs of a model. */
export const ropeFileName = 'rope.bin'

/** One entry of the plan: which tensors of the checkpoint go where, and in which form. */
export type PlannedWeight =
  /** The tensors' values as f32, one after another. */
  | { readonly kind: 'float32'; readonly tensors: readonly string[]; readonly data: ExternalSlice }
  /** The tensors' rows, one after another, as integers in blocks with one f32 scale each. */
  | {
      readonly kind: 'quantized'
      readonly tensors: readonly string[]
      readonly columns: number
      readonly bits: 4 | 8
      readonly data: ExternalSlice
      readonly scales: ExternalSlice
    }

/** A tensor that a model must have. */
export interface TensorSpec {
  readonly name: string
  readonly shape: readonly number[]
}

export interface LinearOptions {
  /** Matrices `[rows_i, columns]`, as checkpoints hold them; their outputs stand side by side. */
  readonly matrices: readonly string[]
  /** One bias per matrix, `[rows_i]`. */
  readonly biases?: readonly string[]
  /** Sum of the matrices' rows: the width of the result. */
  readonly rows: number
  readonly columns: number
  /** Graph output that the result becomes. */
  readonly outputName?: string
}

/** Declares weights in a graph and remembers where their values must be written. */
export class WeightPlanner {
  readonly #plan: PlannedWeight[] = []

  constructor(
    private readonly builder: GraphBuilder,
    readonly dtype: WeightDtype
  ) {}

  get plan(): readonly PlannedWeight[] {
    return this.#plan
  }

  /** A vector that stays f32 in every dtype: a norm's weight or a bias; several tensors stand one after another. */
  vector(name: string, tensors: readonly string[], length: number): Value {
    const { value, slice } = this.builder.external(name, 'f32', [length], weightsFileName)
    this.#plan.push({ kind: 'float32', tensors, data: slice })
    return value
  }

  /** `x @ matricesT + biases`: f32 `[R, columns]` to `[R, rows]`, with the matrices in the planner's dtype. */
  linear(name: string, x: Value, options: LinearOptions): Value {
    const { builder } = this
    const { matrices, rows, columns, outputName } = options
    const bias = options.biases === undefined ? undefined : this.vector(`${name}_bias`, options.biases, rows)
    if (this.dtype === 'f32') {
      const { value, slice } = builder.external(`${name}_weight`, 'f32', [rows, columns], weightsFileName)
      this.#plan.push({ kind: 'float32', tensors: matrices, data: slice })
      return gemm(builder, name, x, value, bias, outputName)
    }
    const bits = this.dtype === 'q8' ? 8 : 4
    const blocks = Math.ceil(columns / quantBlockSize)
    const weight = builder.external(`${name}_weight`, 'u8', [rows, blocks, (quantBlockSize * bits) / 8], weightsFileName)
    const scales = builder.external(`${name}_scales`, 'f32', [rows, blocks], weightsFileName)
    this.#plan.push({ kind: 'quantized', tensors: matrices, columns, bits, data: weight.slice, scales: scales.slice })
    const shape = { columns, rows, bits, blockSize: quantBlockSize, outputName } as const
    return matMulNBits(builder, name, x, weight.value, scales.value, bias, shape)
  }
}
