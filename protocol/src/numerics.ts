/** The dtype in which a node holds a block's matrices. `q8` and `q4` are symmetric integers in blocks of 32. */
export type WeightDtype = 'f32' | 'q8' | 'q4'

/** How activations are encoded on a link. `raw` is for the simulator: opaque bytes, 32 per row. */
export type TensorEncoding = 'f32' | 'f16' | 'bf16' | 'raw'

/**
 * What must match between two nodes for their results to be the same: the dtype of the weights and the class of kernels,
 * for example `ort-1.30.0/x64-avx512-vnni`. Stages of one class replace each other bit for bit.
 */
export interface Numerics {
  readonly weights: WeightDtype
  readonly kernels: string
}

export function sameNumerics(a: Numerics, b: Numerics): boolean {
  return a.weights === b.weights && a.kernels === b.kernels
}

/** Bytes of one row of activations on the wire. */
export function rowBytes(encoding: TensorEncoding, hiddenSize: number): number {
  switch (encoding) {
    case 'f32':
      return 4 * hiddenSize
    case 'f16':
    case 'bf16':
      return 2 * hiddenSize
    case 'raw':
      return 32
  }
}
