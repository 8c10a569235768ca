import assert from 'node:assert/strict'
import { MalformedError } from '../errors.ts'
import { packMessage, unpackMessage } from './msgpack.ts'

const maxBytes = 4_096

/** Some below, at and above the size up to which messages are decoded from the scratch. */
const sizes = [300, 511, 512, 513]

interface Message {
  readonly key: Uint8Array
  readonly rest: Uint8Array
}

/** A message that takes `size` bytes, with byte strings of `fill` alone at its beginning and its end. */
function messageOf(size: number, fill: number): { message: Message; packed: Uint8Array } {
  const key = new Uint8Array(16).fill(fill)
  const overhead = packMessage({ key, rest: new Uint8Array(256) }, maxBytes).byteLength - 256
  const message = { key, rest: new Uint8Array(size - overhead).fill(fill) }
  const packed = packMessage(message, maxBytes).slice()
  assert.equal(packed.byteLength, size)
  return { message, packed }
}

describe('unpackMessage', () => {
  for (const size of sizes) {
    it(`gives byte strings of a message of ${size} bytes that the next message leaves alone`, () => {
      const { message, packed } = messageOf(size, 1)
      for (const nextSize of sizes) {
        const unpacked = unpackMessage(packed, maxBytes)
        const next = messageOf(nextSize, 2)
        assert.deepEqual(unpackMessage(next.packed, maxBytes), next.message)
        assert.deepEqual(unpacked, message)
      }
    })

    it(`decodes a message of ${size} bytes as before when one in between was malformed`, () => {
      const { message, packed } = messageOf(size, 1)
      const unpacked = unpackMessage(packed, maxBytes)
      for (const nextSize of sizes) {
        const next = messageOf(nextSize, 2).packed
        assert.throws(() => unpackMessage(next.subarray(0, -1), maxBytes), MalformedError)
        assert.throws(() => unpackMessage(Uint8Array.of(...next, 0), maxBytes), MalformedError)
        assert.deepEqual(unpacked, message)
        assert.deepEqual(unpackMessage(packed, maxBytes), message)
      }
    })

    it(`leaves the ${size} bytes that it is given as they are`, () => {
      const { packed } = messageOf(size, 1)
      const before = packed.slice()
      unpackMessage(packed, maxBytes)
      assert.deepEqual(packed, before)
      assert.equal(Reflect.ownKeys(packed).length, size, 'it has its bytes, and no property besides')
    })
  }
})
