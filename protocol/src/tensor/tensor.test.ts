import assert from 'node:assert/strict'
import { Float16Array, f16round } from '@petamoriken/float16'
import fc from 'fast-check'
import { InvalidArgumentError, MalformedError } from '../errors.ts'
import type { TensorEncoding } from '../numerics.ts'
import { allFinite, allFiniteEncoded, bytesPerValue, decodeRows, encodeRows } from './tensor.ts'

const narrow = ['f16', 'bf16'] as const
const numeric = ['f32', 'f16', 'bf16'] as const

function allHalves(): Uint16Array {
  return Uint16Array.from({ length: 0x10000 }, (_, i) => i)
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0] as number
}

/** The nearest bf16 by exact arithmetic on the two neighbours, in double precision. */
function nearestBf16(value: number): number {
  const bits = bitsOf(value)
  const below = new Float32Array(Uint32Array.of((bits & 0xffff0000) >>> 0).buffer)[0] as number
  const aboveBits = ((bits & 0xffff0000) + 0x10000) >>> 0
  // Beyond the largest finite bf16 the next value of the grid is 2^128, which rounds to infinity.
  const above =
    (aboveBits & 0x7fffffff) === 0x7f800000
      ? Math.sign(value) * 2 ** 128
      : (new Float32Array(Uint32Array.of(aboveBits).buffer)[0] as number)
  const toBelow = Math.abs(value - below)
  const toAbove = Math.abs(above - value)
  const chosen = toBelow < toAbove || (toBelow === toAbove && ((bits >>> 16) & 1) === 0) ? below : above
  return Math.fround(chosen)
}

describe('tensor codec', () => {
  it('widens every f16 pattern as the oracle does', () => {
    const halves = allHalves()
    const decoded = decodeRows('f16', bytesOf(halves))
    const oracle = new Float16Array(halves.buffer)
    for (let i = 0; i < halves.length; i++) assert.ok(Object.is(decoded[i], oracle[i]), `pattern ${i.toString(16)}`)
  })

  it('widens every bf16 pattern to the same upper bits', () => {
    const decoded = new Uint32Array(decodeRows('bf16', bytesOf(allHalves())).buffer)
    for (let i = 0; i < decoded.length; i++) assert.equal(decoded[i], i * 0x10000)
  })

  for (const [encoding, quiet, infinity] of [
    ['f16', 0x200, 0x7c00],
    ['bf16', 0x40, 0x7f80]
  ] as const) {
    it(`narrows every widened ${encoding} pattern back to itself, and NaNs to quiet ones`, () => {
      const halves = allHalves()
      const encoded = encodeRows(encoding, decodeRows(encoding, bytesOf(halves)))
      const back = new Uint16Array(encoded.buffer, encoded.byteOffset, 0x10000)
      for (let i = 0; i < back.length; i++) {
        const isNaN = (i & 0x7fff) > infinity
        assert.equal(back[i], isNaN ? i | quiet : i, `pattern ${i.toString(16)}`)
      }
    })
  }

  it('rounds any f32 to f16 as the oracle does', () => {
    const check = (values: Float32Array): void => {
      const got = decodeRows('f16', encodeRows('f16', values))
      for (const [i, value] of values.entries()) assert.ok(Object.is(got[i], f16round(value)), `${value} gave ${got[i]}`)
    }
    fc.assert(fc.property(fc.float32Array({ maxLength: 100 }), check), { numRuns: 500 })
    // Every half way point between neighbours, and the f32 values next to it.
    const halves = decodeRows('f16', bytesOf(Uint16Array.from({ length: 0x7c00 }, (_, i) => i)))
    const middles = Float32Array.from(halves, (low, i) => (i === 0x7bff ? 65520 : (low + halves[i + 1]!) / 2))
    const bits = new Uint32Array(middles.buffer)
    for (const near of [bits.map((b) => b - 1), bits, bits.map((b) => b + 1), bits.map((b) => b | 0x80000000)])
      check(new Float32Array(near.buffer))
  })

  it('rounds any f32 to the nearest bf16, ties to even', () => {
    const check = (value: number): void => {
      const got = decodeRows('bf16', encodeRows('bf16', Float32Array.of(value)))[0]
      const expected = Number.isFinite(value) ? nearestBf16(value) : value
      assert.ok(Object.is(got, expected), `${value} gave ${got}, not ${expected}`)
    }
    fc.assert(fc.property(fc.float(), check), { numRuns: 5_000 })
    for (const bits of [0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7f7fff, 0x7f7f8000, 0x00008000, 0x00018000, 1, 0x80008001]) {
      check(new Float32Array(Uint32Array.of(bits).buffer)[0] as number)
    }
  })

  it('passes f32 through bit for bit, as a view where it is aligned', () => {
    const buffer = new Uint8Array(4 * 8 + 1)
    for (let i = 0; i < buffer.length; i++) buffer[i] = (i * 37) & 0xff
    const straight = decodeRows('f32', buffer.subarray(4, 20))
    assert.equal(straight.buffer, buffer.buffer)
    const crooked = decodeRows('f32', buffer.subarray(1, 17))
    assert.notEqual(crooked.buffer, buffer.buffer)
    assert.deepEqual(bytesOf(crooked), buffer.slice(1, 17))
    const encoded = encodeRows('f32', straight)
    assert.equal(encoded.buffer, buffer.buffer)
    assert.deepEqual(encoded, buffer.slice(4, 20))
  })

  it('gives the same bytes and values at any offset, into a given output or a new one', () => {
    const rows = fc.float32Array({ maxLength: 40 })
    fc.assert(
      fc.property(rows, fc.constantFrom(...numeric), fc.nat(3), (values, encoding, offset) => {
        const expected = encodeRows(encoding, values).slice()
        const target = new Uint8Array(expected.length + offset).subarray(offset)
        assert.equal(encodeRows(encoding, values, target), target)
        assert.deepEqual(target, expected)
        const decoded = decodeRows(encoding, expected).slice()
        const out = new Float32Array(values.length)
        assert.equal(decodeRows(encoding, target, out), out)
        assert.deepEqual(bytesOf(out), bytesOf(decoded))
        assert.deepEqual(bytesOf(decodeRows(encoding, target)), bytesOf(decoded))
      })
    )
  })

  it('refuses cut bytes, outputs of another size, and raw', () => {
    for (const encoding of numeric) {
      assert.throws(() => decodeRows(encoding, new Uint8Array(bytesPerValue(encoding) * 2 - 1)), MalformedError)
      assert.throws(() => decodeRows(encoding, new Uint8Array(8), new Float32Array(1)), InvalidArgumentError)
      assert.throws(() => encodeRows(encoding, new Float32Array(2), new Uint8Array(3)), InvalidArgumentError)
    }
    const raw: TensorEncoding = 'raw'
    assert.throws(() => decodeRows(raw, new Uint8Array(32)), InvalidArgumentError)
    assert.throws(() => encodeRows(raw, new Float32Array(8)), InvalidArgumentError)
  })

  it('finds a single value that is not finite', () => {
    assert.ok(allFinite(Float32Array.of(0, -0, 3.4e38, -3.4e38, 1e-45)))
    assert.ok(allFinite(new Float32Array(0)))
    for (const bad of [NaN, Infinity, -Infinity]) {
      for (let at = 0; at < 9; at++) {
        const rows = new Float32Array(9).fill(1)
        rows[at] = bad
        assert.equal(allFinite(rows), false)
      }
    }
    for (const encoding of narrow) assert.equal(allFinite(decodeRows(encoding, encodeRows(encoding, Float32Array.of(1, NaN)))), false)
  })

  it('sees in encoded rows what it would see in them widened', () => {
    for (const encoding of ['f32', ...narrow] as const) {
      for (let pattern = 0; pattern < 0x10000; pattern += 7) {
        // At an odd offset, and the pattern as either half of the last value.
        const bytes = new Uint8Array(9).subarray(1)
        new DataView(bytes.buffer).setUint16(1 + (pattern % 2 === 0 ? 6 : 4), pattern, true)
        assert.equal(allFiniteEncoded(encoding, bytes), allFinite(decodeRows(encoding, bytes)), `${encoding} ${pattern}`)
      }
    }
    assert.throws(() => allFiniteEncoded('f16', new Uint8Array(3)), MalformedError)
    assert.throws(() => allFiniteEncoded('raw', new Uint8Array(2)), InvalidArgumentError)
  })
})
