import assert from 'node:assert/strict'
import fc from 'fast-check'
import { attachment, type Frame } from '../ports/network.ts'
import { encodeFrame, FrameDecoder } from './frame-codec.ts'

const limits = { maxHeadBytes: 1000, maxBodyBytes: 200_000, sendBufferBytes: 1 }
type Parts = readonly [head: Uint8Array, body: Uint8Array]

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.tuple(fc.nat(maxLength), fc.nat(255)).map(([length, first]) => Uint8Array.from({ length }, (_, index) => first + index))
const frames = fc.array(fc.tuple(bytes(300), fc.oneof(fc.constant(new Uint8Array(0)), bytes(5000), bytes(150_000))), { maxLength: 6 })

function encode(parts: readonly Parts[]): Uint8Array {
  const frame = ([head, body]: Parts): Frame => (body.byteLength === 0 ? { head } : { head, body: attachment(body) })
  return Buffer.concat(parts.flatMap((each) => encodeFrame(frame(each), 65_536)))
}

/** As a socket brings them: Buffers, whose `slice` copies nothing. */
async function* inChunks(whole: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let offset = 0
  for (let index = 0; offset < whole.byteLength; index++) {
    const size = sizes[index % sizes.length] as number
    await Promise.resolve()
    yield Buffer.from(whole.subarray(offset, offset + size))
    offset += size
  }
}

async function decode(source: AsyncIterable<Uint8Array>, onFrame: (parts: Parts) => void): Promise<FrameDecoder> {
  const decoder = new FrameDecoder(limits)
  for await (const { head, body } of decoder.decode(source)) onFrame([head, body?.read() ?? new Uint8Array(0)])
  return decoder
}

describe('frames on a stream of bytes', () => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 70_000 })), { minLength: 1, maxLength: 5 })

  it('come out as they went in, however the bytes are cut, and on memory of their own', async () => {
    const property = fc.asyncProperty(frames, sizes, async (sent, cuts) => {
      const received: Parts[] = []
      const decoder = await decode(inChunks(encode(sent), cuts), (parts) => received.push(parts))
      assert.deepEqual(received, sent)
      assert.equal(decoder.frames, sent.length)
      assert.equal(decoder.heldBytes, 0)
      for (const part of received.flat()) assert.equal(part.byteLength, part.buffer.byteLength)
    })
    await fc.assert(property, { numRuns: 60 })
  })

  it('are refused when the bytes end inside one', async () => {
    const property = fc.asyncProperty(bytes(100), bytes(3000), fc.nat(), sizes, async (head, body, cut, cuts) => {
      const whole = encode([[head, body]])
      const part = whole.subarray(0, 1 + (cut % (whole.byteLength - 1)))
      await assert.rejects(
        decode(inChunks(part, cuts), () => assert.fail('a frame came out')),
        { code: 'ERR_SKEIN_MALFORMED' }
      )
    })
    await fc.assert(property, { numRuns: 60 })
  })
})
