/**
 * MessagePack as skein uses it: nil, booleans, numbers, text, bytes, arrays and maps with text keys. No extension types, no
 * msgpackr records. Integers beyond 32 bits may be written as 64-bit integers or as doubles.
 *
 * @packageDocumentation
 */
import { FLOAT32_OPTIONS, Packr } from 'msgpackr'
import { MalformedError, WireError, WireErrorCode } from '../errors.ts'

const packr = new Packr({
  useRecords: false,
  structuredClone: false,
  moreTypes: false,
  mapsAsObjects: true,
  variableMapSize: true,
  useFloat32: FLOAT32_OPTIONS.NEVER,
  int64AsType: 'number'
})

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
 * Byte strings in the result are views of `bytes`.
 *
 * @throws MalformedError for everything that is not such a value
 */
export function unpackMessage(bytes: Uint8Array, maxBytes: number): unknown {
  if (bytes.byteLength > maxBytes) {
    throw new MalformedError(`a message of ${bytes.byteLength} bytes exceeds its limit of ${maxBytes}`)
  }
  checkStructure(bytes)
  try {
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

/** First bytes of values of fixed size, and how many bytes follow: nil, false, true, floats, unsigned and signed integers. */
const scalars: ReadonlyMap<number, number> = new Map([
  [0xc0, 0],
  [0xc2, 0],
  [0xc3, 0],
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8]
])

/** First bytes that a length of `width` bytes follows: byte strings, texts, arrays and maps. */
const headers: ReadonlyMap<number, { readonly width: number; readonly holds: 'bytes' | 'items' | 'entries' }> = new Map([
  [0xc4, { width: 1, holds: 'bytes' }],
  [0xc5, { width: 2, holds: 'bytes' }],
  [0xc6, { width: 4, holds: 'bytes' }],
  [0xd9, { width: 1, holds: 'bytes' }],
  [0xda, { width: 2, holds: 'bytes' }],
  [0xdb, { width: 4, holds: 'bytes' }],
  [0xdc, { width: 2, holds: 'items' }],
  [0xdd, { width: 4, holds: 'items' }],
  [0xde, { width: 2, holds: 'entries' }],
  [0xdf, { width: 4, holds: 'entries' }]
])

/** Walks the headers and skips the contents; allocates nothing. */
class StructureCheck {
  private readonly bytes: Uint8Array
  private values = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Checks the value at a position and returns the position behind it. */
  value(at: number, depth: number): number {
    if (++this.values > maxValues) throw new MalformedError(`the message has more than ${maxValues} values`)
    const token = this.unsigned(at, 1)
    if (token < 0x80 || token >= 0xe0) return at + 1
    if (token < 0x90) return this.items(at + 1, token & 0x0f, depth, true)
    if (token < 0xa0) return this.items(at + 1, token & 0x0f, depth, false)
    if (token < 0xc0) return this.skip(at + 1, token & 0x1f)
    const scalarBytes = scalars.get(token)
    if (scalarBytes !== undefined) return this.skip(at + 1, scalarBytes)
    const header = headers.get(token)
    if (header === undefined) throw new MalformedError(`the message has a value of type 0x${token.toString(16)}, which skein does not use`)
    const from = at + 1 + header.width
    const length = this.unsigned(at + 1, header.width)
    return header.holds === 'bytes' ? this.skip(from, length) : this.items(from, length, depth, header.holds === 'entries')
  }

  private items(from: number, count: number, depth: number, isMap: boolean): number {
    if (depth >= maxDepth) throw new MalformedError(`the message nests deeper than ${maxDepth}`)
    if (count * (isMap ? 2 : 1) > this.bytes.byteLength - from) throw cut()
    let at = from
    for (let i = 0; i < count; i++) {
      if (isMap) at = this.key(at)
      at = this.value(at, depth + 1)
    }
    return at
  }

  private key(at: number): number {
    const token = this.unsigned(at, 1)
    const isText = (token >= 0xa0 && token < 0xc0) || token === 0xd9
    if (!isText) throw new MalformedError('the message has a map with a key that is no short text')
    return this.value(at, maxDepth)
  }

  private skip(from: number, length: number): number {
    if (length > this.bytes.byteLength - from) throw cut()
    return from + length
  }

  private unsigned(at: number, width: number): number {
    if (width > this.bytes.byteLength - at) throw cut()
    let value = 0
    for (let i = 0; i < width; i++) value = value * 256 + (this.bytes[at + i] as number)
    return value
  }
}

function cut(): MalformedError {
  return new MalformedError('the message ends before its last value')
}
