/**
 * Rows of activations as bytes: little-endian, row-major, without padding. `f32` is IEEE 754 binary32, `f16` binary16 and
 * `bf16` the upper half of binary32; narrowing rounds to the nearest value, ties to even, overflows to infinity, keeps
 * denormals and the sign of zero, and turns a signalling NaN into a quiet one.
 *
 * @packageDocumentation
 */
import { InvalidArgumentError, MalformedError } from '../errors.ts'
import type { TensorEncoding } from '../numerics.ts'

/** Encodings whose values can be read; `raw` is opaque. */
type NumericEncoding = Exclude<TensorEncoding, 'raw'>

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Bytes of one value. @throws InvalidArgumentError for `raw`, whose bytes nobody may interpret */
export function bytesPerValue(encoding: TensorEncoding): number {
  switch (encoding) {
    case 'f32':
      return 4
    case 'f16':
    case 'bf16':
      return 2
    case 'raw':
      throw new InvalidArgumentError("activations in the encoding 'raw' are opaque: pass their bytes on as they are")
  }
}

/**
 * Widens encoded rows to f32.
 *
 * Without `out`, and for `f32` whose bytes are aligned to 4, the result is a view of `bytes`, not a copy: it changes when
 * they do. In every other case it is memory of its own, or `out`.
 *
 * @param bytes - whole values; their number is `bytes.byteLength / bytesPerValue(encoding)`
 * @param out - receives the values; must have exactly their number
 * @throws MalformedError when `bytes` ends in the middle of a value; InvalidArgumentError for `raw` or an `out` of another size
 */
export function decodeRows(encoding: TensorEncoding, bytes: Uint8Array, out?: Float32Array): Float32Array {
  const width = bytesPerValue(encoding)
  if (bytes.byteLength % width !== 0) {
    throw new MalformedError(`${bytes.byteLength} bytes of activations are no whole number of ${encoding} values`)
  }
  requireLittleEndian()
  const count = bytes.byteLength / width
  if (out !== undefined && out.length !== count) throw wrongSize(count, out.length, 'values')
  switch (encoding as NumericEncoding) {
    case 'f32': {
      const source = aligned(bytes, 4)
      const values = new Float32Array(source.buffer, source.byteOffset, count)
      if (out === undefined) return values
      // Copied as bytes, so that no engine gets to change the bits of a NaN.
      bytesOf(out).set(source)
      return out
    }
    case 'f16':
      return widen(bytes, out ?? new Float32Array(count), widenF16)
    case 'bf16':
      return widen(bytes, out ?? new Float32Array(count), widenBf16)
  }
}

/**
 * Narrows f32 rows to an encoding. Without `out`, `f32` gives a view of `rows`, not a copy.
 *
 * @param out - receives the bytes; must have exactly `rows.length * bytesPerValue(encoding)`
 * @throws InvalidArgumentError for `raw` or an `out` of another size
 */
export function encodeRows(encoding: TensorEncoding, rows: Float32Array, out?: Uint8Array): Uint8Array {
  const byteLength = rows.length * bytesPerValue(encoding)
  requireLittleEndian()
  if (out !== undefined && out.byteLength !== byteLength) throw wrongSize(byteLength, out.byteLength, 'bytes')
  if (encoding === 'f32') {
    const source = bytesOf(rows)
    if (out === undefined) return source
    out.set(source)
    return out
  }
  const target = out ?? new Uint8Array(byteLength)
  // An unaligned target is filled by way of a scratch array; both then hold the same bytes.
  const halves = target.byteOffset % 2 === 0 ? halvesOf(target) : new Uint16Array(rows.length)
  const bits = new Uint32Array(rows.buffer, rows.byteOffset, rows.length)
  if (encoding === 'f16') narrowF16(bits, halves)
  else narrowBf16(bits, halves)
  if (halves.buffer !== target.buffer) target.set(bytesOf(halves))
  return target
}

/** Whether no value is NaN or infinite. */
export function allFinite(rows: Float32Array): boolean {
  const bits = new Uint32Array(rows.buffer, rows.byteOffset, rows.length)
  for (let i = 0; i < bits.length; i++) {
    if (((bits[i] as number) & 0x7f800000) === 0x7f800000) return false
  }
  return true
}

/**
 * Whether no value of encoded rows is NaN or infinite, seen without widening them.
 *
 * @throws as {@link decodeRows}
 */
export function allFiniteEncoded(encoding: TensorEncoding, bytes: Uint8Array): boolean {
  if (encoding !== 'f16' && encoding !== 'bf16') return allFinite(decodeRows(encoding, bytes))
  const exponent = encoding === 'f16' ? 0x7c00 : 0x7f80
  if (bytes.byteLength % 2 !== 0)
    throw new MalformedError(`${bytes.byteLength} bytes of activations are no whole number of ${encoding} values`)
  requireLittleEndian()
  const halves = halvesOf(aligned(bytes, 2))
  for (let i = 0; i < halves.length; i++) {
    if (((halves[i] as number) & exponent) === exponent) return false
  }
  return true
}

function widen(bytes: Uint8Array, out: Float32Array, convert: (from: Uint16Array, to: Uint32Array) => void): Float32Array {
  convert(halvesOf(aligned(bytes, 2)), new Uint32Array(out.buffer, out.byteOffset, out.length))
  return out
}

/**
 * By arithmetic. A table of all 65 536 patterns is no slower when it is in the cache, but a decode step finds it evicted by
 * the weights, and would wait for memory at nearly every value.
 */
function widenF16(from: Uint16Array, to: Uint32Array): void {
  for (let i = 0; i < from.length; i++) {
    const half = from[i] as number
    const magnitude = half & 0x7fff
    let bits: number
    if (magnitude >= 0x7c00) bits = 0x7f800000 | ((magnitude & 0x3ff) << 13)
    else if (magnitude >= 0x400) bits = (magnitude << 13) + 0x38000000
    else bits = magnitude === 0 ? 0 : widenDenormal(magnitude)
    to[i] = ((half & 0x8000) << 16) | bits
  }
}

/** A denormal, `fraction * 2^-24`: normal in binary32. The leading one moves to the hidden bit, 10. */
function widenDenormal(fraction: number): number {
  const shift = Math.clz32(fraction) - 21
  return ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}

function widenBf16(from: Uint16Array, to: Uint32Array): void {
  for (let i = 0; i < from.length; i++) to[i] = (from[i] as number) << 16
}

function narrowF16(from: Uint32Array, to: Uint16Array): void {
  for (let i = 0; i < from.length; i++) {
    const bits = from[i] as number
    const magnitude = bits & 0x7fffffff
    let half: number
    if (magnitude >= 0x47800000) {
      // 2^16 and more: infinity, or NaN with the upper bits of its payload.
      half = magnitude > 0x7f800000 ? 0x7e00 | ((magnitude >>> 13) & 0x1ff) : 0x7c00
    } else if (magnitude >= 0x38800000) {
      // Normal in both. The carry out of the fraction raises the exponent, up to infinity, as it should.
      half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13
    } else if (magnitude > 0x33000000) {
      half = narrowToDenormal(magnitude)
    } else {
      // 2^-25 and less: half of the smallest denormal, and ties go to even.
      half = 0
    }
    to[i] = ((bits >>> 16) & 0x8000) | half
  }
}

/** For magnitudes between 2^-25 and 2^-14: the fraction with its hidden bit, shifted to units of 2^-24 and rounded. */
function narrowToDenormal(magnitude: number): number {
  const fraction = (magnitude & 0x7fffff) | 0x800000
  const shift = 126 - (magnitude >>> 23)
  const kept = fraction >>> shift
  const rest = fraction & ((1 << shift) - 1)
  const tie = 1 << (shift - 1)
  return rest > tie || (rest === tie && (kept & 1) === 1) ? kept + 1 : kept
}

function narrowBf16(from: Uint32Array, to: Uint16Array): void {
  for (let i = 0; i < from.length; i++) {
    const bits = from[i] as number
    to[i] = (bits & 0x7fffffff) > 0x7f800000 ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
  }
}

function aligned(bytes: Uint8Array, alignment: number): Uint8Array {
  return bytes.byteOffset % alignment === 0 ? bytes : Uint8Array.from(bytes)
}

function halvesOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function requireLittleEndian(): void {
  // The wire is little-endian and typed arrays are as the machine is; swapping would double the cost for machines that ORT does not support.
  if (!littleEndian) throw new InvalidArgumentError('skein needs a little-endian machine')
}

function wrongSize(expected: number, actual: number, unit: string): InvalidArgumentError {
  return new InvalidArgumentError(`the output must have exactly ${expected} ${unit}, and has ${actual}`)
}
