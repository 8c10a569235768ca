import type { TensorDtype } from './model.ts'

/** Bytes of one value. */
export const dtypeBytes: Readonly<Record<TensorDtype, number>> = { f32: 4, f16: 2, bf16: 2 }

let halfTable: Uint32Array | undefined

/** The f32 bit pattern of every f16 bit pattern. Exact: f32 holds every f16 value. */
function halfToSingleBits(): Uint32Array {
  if (halfTable !== undefined) return halfTable
  const table = new Uint32Array(65536)
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16
    const exponent = (half >> 10) & 0x1f
    const mantissa = half & 0x3ff
    if (exponent === 0x1f) table[half] = sign | 0x7f800000 | (mantissa << 13)
    else if (exponent !== 0) table[half] = sign | ((exponent + 112) << 23) | (mantissa << 13)
    else if (mantissa === 0) table[half] = sign
    else {
      // A subnormal half is mantissa * 2^-24, a normal single: shift the leading bit out.
      const shift = Math.clz32(mantissa) - 21
      table[half] = sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13)
    }
  }
  return (halfTable = table)
}

/**
 * Values as f32. `bytes` is little-endian, as checkpoints hold it; its length must be a multiple of the value's size.
 *
 * @returns a new array, or for aligned `f32` a view of `bytes`
 */
export function toFloat32(bytes: Uint8Array, dtype: TensorDtype): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  const count = aligned.byteLength / dtypeBytes[dtype]
  if (dtype === 'f32') return new Float32Array(aligned.buffer, aligned.byteOffset, count)
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, count)
  const bits = new Uint32Array(count)
  if (dtype === 'bf16') {
    for (let index = 0; index < count; index++) bits[index] = (halves[index] as number) << 16
  } else {
    const table = halfToSingleBits()
    for (let index = 0; index < count; index++) bits[index] = table[halves[index] as number] as number
  }
  return new Float32Array(bits.buffer)
}
