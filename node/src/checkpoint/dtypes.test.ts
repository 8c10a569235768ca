import assert from 'node:assert/strict'
import { toFloat32 } from './dtypes.ts'

/** The value of a half by the definition of IEEE 754. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : NaN
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}

describe('checkpoint dtypes', () => {
  it('reads every f16 value exactly', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, index) => index)
    const values = toFloat32(new Uint8Array(all.buffer), 'f16')
    for (let bits = 0; bits < 65536; bits++) assert.ok(Object.is(values[bits], halfValue(bits)), `bits ${bits}`)
  })

  it('reads bf16 as the upper half of f32', () => {
    const bits = Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x8000, 0x7f80)
    const values = toFloat32(new Uint8Array(bits.buffer), 'bf16')
    assert.deepEqual([...values], [1, -2, 2 ** -133, -0, Infinity])
  })

  it('reads bytes that are not aligned', () => {
    const bytes = new Uint8Array(9)
    new DataView(bytes.buffer).setFloat32(1, 1.5, true)
    new DataView(bytes.buffer).setFloat32(5, -3, true)
    assert.deepEqual([...toFloat32(bytes.subarray(1), 'f32')], [1.5, -3])
    new DataView(bytes.buffer).setUint16(3, 0x3f80, true)
    assert.deepEqual([...toFloat32(bytes.subarray(3, 5), 'bf16')], [1])
  })
})
