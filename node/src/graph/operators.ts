/**
 * Typed forms of the operators that the graphs use, ONNX's own and ONNX Runtime's contributed ones (`com.microsoft`).
 * Shapes are row-major; `R` stands for rows.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 * @packageDocumentation
 */
import type { GraphBuilder, Value } from './graph-builder.ts'

const contrib = 'com.microsoft'

export function add(builder: GraphBuilder, name: string, a: Value, b: Value, outputName?: string): Value {
  return only(builder.node('Add', [a, b], { name, outputNames: [outputName] }))
}

export function mul(builder: GraphBuilder, name: string, a: Value, b: Value): Value {
  return only(builder.node('Mul', [a, b], { name }))
}

export function concat(builder: GraphBuilder, name: string, values: readonly Value[], axis: number): Value {
  return only(builder.node('Concat', values, { name, attributes: { axis: { int: axis } } }))
}

/** Takes rows of `data` (axis 0) by `indices`. */
export function gather(builder: GraphBuilder, name: string, data: Value, indices: Value): Value {
  return only(builder.node('Gather', [data, indices], { name, attributes: { axis: { int: 0 } } }))
}

/** `shape` is constant sizes (-1 for what remains), or a value known at run time. */
export function reshape(builder: GraphBuilder, name: string, data: Value, shape: readonly number[] | Value): Value {
  return only(builder.node('Reshape', [data, 'name' in shape ? shape : builder.int64s(shape)], { name }))
}

/** Cuts `data` along `axis` into parts of the given sizes. */
export function split(builder: GraphBuilder, name: string, data: Value, sizes: readonly number[], axis: number): Value[] {
  return builder.node('Split', [data, builder.int64s(sizes)], { name, outputs: sizes.length, attributes: { axis: { int: axis } } })
}

/** `x @ weightT + bias`: `x` `[R, K]`, `weight` `[N, K]` as checkpoints hold it, `bias` `[N]`. */
export function gemm(builder: GraphBuilder, name: string, x: Value, weight: Value, bias?: Value, outputName?: string): Value {
  return only(builder.node('Gemm', [x, weight, bias], { name, attributes: { transB: { int: 1 } }, outputNames: [outputName] }))
}

export interface MatMulNBitsOptions {
  /** `K`, the columns of the matrix as the checkpoint holds it. */
  readonly columns: number
  /** `N`, its rows. */
  readonly rows: number
  readonly bits: 4 | 8
  readonly blockSize: number
  readonly outputName?: string
}

/**
 * `x @ weightT + bias` with integer weights: `weight` uint8 `[N, K/blockSize, blockSize*bits/8]`, `scales` f32
 * `[N, K/blockSize]`, zero point `2^(bits-1)`. `accuracy_level` 4 computes in int8 with int32 sums.
 */
export function matMulNBits(
  builder: GraphBuilder,
  name: string,
  x: Value,
  weight: Value,
  scales: Value,
  bias: Value | undefined,
  options: MatMulNBitsOptions
): Value {
  const attributes = {
    K: { int: options.columns },
    N: { int: options.rows },
    bits: { int: options.bits },
    block_size: { int: options.blockSize },
    accuracy_level: { int: 4 }
  }
  const inputs = [x, weight, scales, undefined, undefined, bias]
  return only(builder.node('MatMulNBits', inputs, { name, domain: contrib, attributes, outputNames: [options.outputName] }))
}

/** `x * sigmoid(x)`. QuickGelu with alpha 1 is that, in one pass. */
export function silu(builder: GraphBuilder, name: string, x: Value): Value {
  return only(builder.node('QuickGelu', [x], { name, domain: contrib, attributes: { alpha: { float: 1 } } }))
}

/** Root-mean-square norm over the last axis: `x / sqrt(mean(x^2) + epsilon) * weight`. */
export function rmsNorm(builder: GraphBuilder, name: string, x: Value, weight: Value, epsilon: number): Value {
  const attributes = { axis: { int: -1 }, epsilon: { float: epsilon }, stash_type: { int: 1 } }
  return only(builder.node('SimplifiedLayerNormalization', [x, weight], { name, attributes }))
}

/** Adds `x` and `skip` `[R, hiddenSize]` and norms the sum in one pass. @returns the norm and the sum */
export function skipRmsNorm(
  builder: GraphBuilder,
  name: string,
  x: Value,
  skip: Value,
  weight: Value,
  epsilon: number
): { normed: Value; sum: Value } {
  const [normed, , , sum] = builder.node('SkipSimplifiedLayerNormalization', [x, skip, weight], {
    name,
    domain: contrib,
    attributes: { epsilon: { float: epsilon } },
    outputs: 4,
    outputNames: [undefined, '', '', undefined]
  })
  return { normed: normed as Value, sum: sum as Value }
}

/**
 * Rotary position embedding of `x` `[batch, length, heads*headDim]` at `positions` int64 `[batch, length]`, first half of a
 * head against its second half. `cos` and `sin` are `[contextTokens, headDim/2]`.
 */
export function rotaryEmbedding(builder: GraphBuilder, name: string, x: Value, positions: Value, cos: Value, sin: Value): Value {
  return only(builder.node('RotaryEmbedding', [x, positions, cos, sin], { name, domain: contrib, attributes: { interleaved: { int: 0 } } }))
}

export interface GroupQueryAttentionOptions {
  readonly heads: number
  readonly kvHeads: number
  /** A row sees itself and at most the `localWindow - 1` rows before it; -1 for all. */
  readonly localWindow: number
  readonly presentKeyName: string
  readonly presentValueName: string
}

/**
 * Attention of `packedQkv` `[B, S, (heads + 2*kvHeads)*headDim]` on the cache `pastKey`, `pastValue`
 * `[B, kvHeads, C, headDim]`, to which the new keys and values are appended (in place, when `present` is bound to the same
 * buffer). `seqlens` int32 `[B]`: rows in the cache afterwards, less one; `total` int32 `[]`: the largest of those, plus one.
 * Batches above 1 only with `S` 1. The rotary embedding is already in.
 *
 * @returns `[B, S, heads*headDim]`
 */
export function groupQueryAttention(
  builder: GraphBuilder,
  name: string,
  packedQkv: Value,
  pastKey: Value,
  pastValue: Value,
  seqlens: Value,
  total: Value,
  options: GroupQueryAttentionOptions
): Value {
  const outputs = builder.node('GroupQueryAttention', [packedQkv, undefined, undefined, pastKey, pastValue, seqlens, total], {
    name,
    domain: contrib,
    attributes: {
      num_heads: { int: options.heads },
      kv_num_heads: { int: options.kvHeads },
      do_rotary: { int: 0 },
      local_window_size: { int: options.localWindow }
    },
    outputs: 3,
    outputNames: [undefined, options.presentKeyName, options.presentValueName]
  })
  return outputs[0] as Value
}

function only(outputs: readonly Value[]): Value {
  return outputs[0] as Value
}
