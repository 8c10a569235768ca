/**
 * Symmetric integer weights in blocks, in the layout of ONNX Runtime's MatMulNBits: per row, blocks of
 * {@link quantBlockSize} columns; a value is `(q - 2^(bits-1)) * scale`; the last block of a row is filled up with zeros.
 *
 * @packageDocumentation
 */
import { quantBlockSize } from './weights.ts'

export interface QuantizedRows {
  /** uint8 `[rows, blocks, quantBlockSize * bits / 8]`; for 4 bits the lower half of a byte comes first. */
  readonly data: Uint8Array
  /** f32 `[rows, blocks]`. */
  readonly scales: Float32Array
}

/** @param values f32 `[rows, columns]`, finite */
export function quantizeRows(values: Float32Array, rows: number, columns: number, bits: 4 | 8): QuantizedRows {
  const blocks = Math.ceil(columns / quantBlockSize)
  const scales = new Float32Array(rows * blocks)
  const data = new Uint8Array((rows * blocks * quantBlockSize * bits) / 8)
  const quantize = bits === 8 ? quantizeBlock8 : quantizeBlock4
  for (let row = 0, index = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++, index++) {
      const from = row * columns + block * quantBlockSize
      const to = Math.min(from + quantBlockSize, (row + 1) * columns)
      scales[index] = quantize(values, from, to, data, index)
    }
  }
  return { data, scales }
}

/** The largest magnitude becomes 127, so that the range is symmetric. @returns the block's scale */
function quantizeBlock8(values: Float32Array, from: number, to: number, data: Uint8Array, index: number): number {
  let largest = 0
  for (let at = from; at < to; at++) largest = Math.max(largest, Math.abs(values[at] as number))
  const scale = Math.fround(largest / 127)
  const inverse = scale === 0 ? 0 : 1 / scale
  const start = index * quantBlockSize
  data.fill(128, start, start + quantBlockSize)
  for (let at = from, out = start; at < to; at++, out++) {
    data[out] = 128 + Math.max(-127, Math.min(127, Math.round((values[at] as number) * inverse)))
  }
  return scale
}

/** The value of largest magnitude becomes -8 exactly, as in GGUF's Q4_0: the side with one step more goes to it. */
function quantizeBlock4(values: Float32Array, from: number, to: number, data: Uint8Array, index: number): number {
  let extreme = 0
  for (let at = from; at < to; at++) if (Math.abs(values[at] as number) > Math.abs(extreme)) extreme = values[at] as number
  const scale = extreme === 0 ? 0 : Math.fround(extreme / -8)
  const inverse = scale === 0 ? 0 : 1 / scale
  const start = (index * quantBlockSize) / 2
  data.fill(0x88, start, start + quantBlockSize / 2)
  for (let at = from; at < to; at++) {
    const level = Math.max(0, Math.min(15, Math.round((values[at] as number) * inverse) + 8))
    const position = at - from
    const out = start + (position >> 1)
    const other = data[out] as number
    data[out] = (position & 1) === 0 ? (other & 0xf0) | level : (other & 0x0f) | (level << 4)
  }
  return scale
}
