/**
 * MessagePack as skein uses it: nil, booleans, numbers, text, bytes, arrays and maps with text keys. No extension types, no
 * msgpackr records. Integers beyond 32 bits may be written as 64-bit integers or as doubles.
 *
 * @packageDocumentation
 */
import { FLOAT32_OPTIONS, Packr } from 'msgpackr'
import { MalformedError, WireError, WireErrorCode } from '../errors.ts'

const options = {
  useRecords: false,
  structuredClone: false,
  moreTypes: false,
  mapsAsObjects: true,
  variableMapSize: true,
  useFloat32: FLOAT32_OPTIONS.NEVER,
  int64AsType: 'number'
} as const

const packr = new Packr(options)

/** Most messages are decoded from here, so that none of them needs a view for reading numbers; what they hold is copied. */
const scratch = new Uint8Array(512)
const scratchPackr = new Packr({ ...options, copyBuffers: true })

/** No message nests deeper: a `rerouted` has its row map's pairs at 4. */
const maxDepth = 8

/** No message has more values: a `step` with all its runs has 6,150. An empty map of one byte costs a decoder some 50. */
const maxValues = 16_384

/** @throws WireError `TooLarge` when the message does not fit into one frame of its protocol */
export function packMessage(value: unknown, maxBytes: number): Uint8Array {
  const packed = packr.pack(value)
  if (packed.byteLength > maxBytes) {
    throw new WireError(WireErrorCode.TooLarge, `a message of ${packed.byteLength} bytes exceeds its limit of ${maxBytes}: split it`)
  }
  // A plain view: Buffer has methods of other meaning (`slice`), and browsers have none.
  return new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength)
}

/**
 * Decodes one value that fills `bytes` exactly. The structure is checked before anything is decoded, so that no header
 * allocates more than the bytes behind it, no extension type is ever constructed and no nesting exhausts the stack.
 *
 * Byte strings in the result are views of `bytes`, or copies where the message is short.
 *
 * @throws MalformedError for everything that is not such a value
 */
export function unpackMessage(bytes: Uint8Array, maxBytes: number): unknown {
  if (bytes.byteLength > maxBytes) {
    throw new MalformedError(`a message of ${bytes.byteLength} bytes exceeds its limit of ${maxBytes}`)
  }
  checkStructure(bytes)
  try {
    if (bytes.byteLength <= scratch.byteLength) {
      scratch.set(bytes)
      return scratchPackr.unpack(scratch, { start: 0, end: bytes.byteLength }) as unknown
    }
    // A view of its own, since msgpackr leaves a property on what it is given.
    return packr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)) as unknown
  } catch (cause) {
    throw new MalformedError('the message is no MessagePack', { cause })
  }
}

function checkStructure(bytes: Uint8Array): void {
  const end = new StructureCheck(bytes).value(0, 0)
  if (end !== bytes.byteLength) throw new MalformedError(`${bytes.byteLength - end} bytes follow the message's end`)
}

/** What follows the first byte of a value; before bytes, items and entries, how many there are. */
const Shape = { unknown: 0, scalar: 1, bytes: 2, items: 3, entries: 4 } as const
type Shape = (typeof Shape)[keyof typeof Shape]

/** By first bytes from 0xc0 to 0xdf: what follows, and in how many bytes: those of the scalar, or of the length. */
const shapes = new Uint8Array(32)
const widths = new Uint8Array(32)

function define(shape: Shape, widthsByToken: Readonly<Record<number, number>>): void {
  for (const [token, width] of Object.entries(widthsByToken)) {
    shapes[Number(token) - 0xc0] = shape
    widths[Number(token) - 0xc0] = width
  }
}

// nil, false, true, floats, unsigned and signed integers
define(Shape.scalar, { 0xc0: 0, 0xc2: 0, 0xc3: 0, 0xca: 4, 0xcb: 8 })
define(Shape.scalar, { 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8 })
// byte strings and texts
define(Shape.bytes, { 0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4 })
define(Shape.items, { 0xdc: 2, 0xdd: 4 })
define(Shape.entries, { 0xde: 2, 0xdf: 4 })

/** Walks the headers and skips the contents; allocates nothing. */
class StructureCheck {
  private readonly bytes: Uint8Array
  private readonly length: number
  private values = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.length = bytes.byteLength
  }

  /** Checks the value at a position and returns the position behind it. */
  value(at: number, depth: number): number {
    if (++this.values > maxValues) throw new MalformedError(`the message has more than ${maxValues} values`)
    if (at >= this.length) throw cut()
    const token = this.bytes[at] as number
    if (token < 0x80 || token >= 0xe0) return at + 1
    if (token < 0x90) return this.items(at + 1, token & 0x0f, depth, true)
    if (token < 0xa0) return this.items(at + 1, token & 0x0f, depth, false)
    if (token < 0xc0) return this.skip(at + 1, token & 0x1f)
    const shape = shapes[token - 0xc0] as Shape
    const width = widths[token - 0xc0] as number
    if (shape === Shape.scalar) return this.skip(at + 1, width)
    if (shape === Shape.unknown) {
      throw new MalformedError(`the message has a value of type 0x${token.toString(16)}, which skein does not use`)
    }
    const from = this.skip(at + 1, width)
    const length = this.unsigned(at + 1, width)
    return shape === Shape.bytes ? this.skip(from, length) : this.items(from, length, depth, shape === Shape.entries)
  }

  private items(from: number, count: number, depth: number, isMap: boolean): number {
    if (depth >= maxDepth) throw new MalformedError(`the message nests deeper than ${maxDepth}`)
    if (count * (isMap ? 2 : 1) > this.length - from) throw cut()
    let at = from
    for (let i = 0; i < count; i++) {
      if (isMap) at = this.key(at)
      at = this.value(at, depth + 1)
    }
    return at
  }

  private key(at: number): number {
    const token = this.bytes[at] as number
    const isText = (token >= 0xa0 && token < 0xc0) || token === 0xd9
    if (at < this.length && !isText) throw new MalformedError('the message has a map with a key that is no short text')
    return this.value(at, maxDepth)
  }

  private skip(from: number, length: number): number {
    if (length > this.length - from) throw cut()
    return from + length
  }

  /** The bytes are there. */
  private unsigned(at: number, width: number): number {
    let value = 0
    for (let i = 0; i < width; i++) value = value * 256 + (this.bytes[at + i] as number)
    return value
  }
}

function cut(): MalformedError {
  return new MalformedError('the message ends before its last value')
}
