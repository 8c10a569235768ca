import assert from 'node:assert/strict'
import fc from 'fast-check'
import { quantizeRows } from './quantize.ts'
import { quantBlockSize } from './weights.ts'

/** What MatMulNBits takes a row's values for. */
function dequantize(rows: number, columns: number, bits: 4 | 8, data: Uint8Array, scales: Float32Array): Float64Array {
  const blocks = Math.ceil(columns / quantBlockSize)
  const values = new Float64Array(rows * columns)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * blocks * quantBlockSize + column
      const byte = data[bits === 8 ? at : at >> 1] as number
      const level = bits === 8 ? byte - 128 : ((at & 1) === 0 ? byte & 15 : byte >> 4) - 8
      values[row * columns + column] = level * (scales[row * blocks + Math.floor(column / quantBlockSize)] as number)
    }
  }
  return values
}

describe('quantizeRows', () => {
  for (const bits of [8, 4] as const) {
    it(`property: every value is within half a step, ${bits} bits`, () => {
      const arbitrary = fc
        .record({ rows: fc.integer({ min: 1, max: 3 }), columns: fc.integer({ min: 1, max: 80 }) })
        .chain(({ rows, columns }) =>
          fc.record({
            rows: fc.constant(rows),
            columns: fc.constant(columns),
            values: fc.float32Array({ minLength: rows * columns, maxLength: rows * columns, noNaN: true, min: -100, max: 100 })
          })
        )
      fc.assert(
        fc.property(arbitrary, ({ rows, columns, values }) => {
          const { data, scales } = quantizeRows(values, rows, columns, bits)
          const blocks = Math.ceil(columns / quantBlockSize)
          assert.equal(data.length, (rows * blocks * quantBlockSize * bits) / 8)
          assert.equal(scales.length, rows * blocks)
          const found = dequantize(rows, columns, bits, data, scales)
          for (const [index, value] of values.entries()) {
            const row = Math.floor(index / columns)
            const step = Math.abs(scales[row * blocks + Math.floor((index % columns) / quantBlockSize)] as number)
            // With 4 bits the far end of the other sign has one level less: up to a whole step is cut off there.
            const allowed = bits === 8 ? 0.5001 * step : 1.0001 * step
            assert.ok(Math.abs((found[index] as number) - value) <= allowed + 1e-37, `value ${value} became ${found[index]}`)
          }
        })
      )
    })
  }

  it('fills the last block of a row up with zeros', () => {
    const { data } = quantizeRows(Float32Array.of(1, -1), 1, 2, 8)
    assert.deepEqual([...data.subarray(0, 4)], [255, 1, 128, 128])
    const small = quantizeRows(Float32Array.of(-8, 7, 1), 1, 3, 4)
    assert.deepEqual([...small.data.subarray(0, 3)], [0xf0, 0x89, 0x88])
    assert.deepEqual([...small.scales], [1])
  })

  it('keeps zeros', () => {
    const { data, scales } = quantizeRows(new Float32Array(64), 2, 32, 4)
    assert.ok(data.every((byte) => byte === 0x88))
    assert.deepEqual([...scales], [0, 0])
  })
})
