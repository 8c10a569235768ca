import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BytePool } from './byte-pool.ts'

describe('BytePool', () => {
  it('gives the same bytes in memory of their own, of Buffers too', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 3000 }), fc.boolean()), { maxLength: 200 }), (arrays) => {
        const sources = arrays.map(([bytes, asBuffer]) => (asBuffer ? Buffer.from(bytes) : bytes))
        const pool = new BytePool()
        const copies = sources.map((source) => pool.copy(source))
        for (const source of sources) source.fill(0xee)
        copies.forEach((copy, index) => {
          assert.ok(!Buffer.isBuffer(copy))
          assert.equal(copy.byteLength, sources[index]!.byteLength)
          assert.ok(copy.byteLength > 1024 || copy.byteOffset % 8 === 0)
        })
        // Each was written last by its own copying: nobody else's bytes are in it.
        copies.forEach((copy, index) => copy.fill(index))
        copies.forEach((copy, index) => assert.ok(copy.every((byte) => byte === index % 256)))
      })
    )
  })

  it('hands out zeroed memory, however much of it, of which no part is handed out twice', () => {
    const pool = new BytePool()
    const all = Array.from({ length: 400 }, (_, index) => pool.take(index * 7))
    all.forEach((taken, index) => {
      assert.equal(taken.byteLength, index * 7)
      assert.ok(taken.every((byte) => byte === 0))
      taken.fill(0xff)
    })
  })

  it('keeps what was copied when its source changes', () => {
    const source = Buffer.from([1, 2, 3])
    const copy = new BytePool().copy(source)
    source[0] = 9
    assert.deepEqual([...copy], [1, 2, 3])
  })
})
