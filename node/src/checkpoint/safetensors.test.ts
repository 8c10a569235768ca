import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isSkeinError } from '@skein/protocol'
import { CheckpointError } from './errors.ts'
import { parseSafetensorsHeader } from './safetensors.ts'

const parse = (json: unknown, dataBytes = 1000) =>
  parseSafetensorsHeader(
    new TextEncoder().encode(typeof json === 'string' ? json : JSON.stringify(json)),
    dataBytes,
    108,
    'weights.safetensors'
  )

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({ dtype, shape, data_offsets: [begin, end] })

function refuses(json: unknown, code: string, ...words: string[]): void {
  assert.throws(
    () => parse(json),
    (error) => {
      assert.ok(error instanceof CheckpointError)
      assert.equal(error.code, code)
      for (const word of ['weights.safetensors', ...words]) assert.ok(error.message.includes(word), `${error.message} lacks ${word}`)
      return true
    }
  )
}

describe('safetensors headers', () => {
  it('gives offsets from the file’s beginning, and keeps dtypes that it does not read', () => {
    const entries = parse({ __metadata__: { format: 'pt' }, a: entry(0, 8), b: entry(8, 16, [1], 'I64') })
    assert.deepEqual(entries, [
      { name: 'a', dtype: 'f32', rawDtype: 'F32', shape: [2], begin: 108, end: 116 },
      { name: 'b', dtype: undefined, rawDtype: 'I64', shape: [1], begin: 116, end: 124 }
    ])
  })

  it('refuses tensors that overlap, naming both', () => {
    refuses({ a: entry(0, 8), b: entry(4, 12) }, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', 'a', 'b', 'overlap')
    assert.equal(parse({ a: entry(4, 4, [0]), b: entry(0, 8) }).length, 2)
  })

  it('refuses offsets beyond the file, as of a truncated download', () => {
    refuses({ a: entry(0, 1004) }, 'ERR_SKEIN_CHECKPOINT_TRUNCATED', '"a"', '1004', '1000')
  })

  it('refuses sizes that do not fit the shape', () => {
    refuses({ a: entry(0, 8, [3]) }, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', '"a"')
    refuses({ a: entry(0, 8, [2 ** 40, 2 ** 40]) }, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', '"a"')
    refuses({ a: entry(8, 0, [0]) }, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', '"a"')
    refuses({ a: { ...entry(0, 8), data_offsets: [-4, 4] } }, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', '"a"')
    refuses({ a: { ...entry(0, 8), data_offsets: [0.5, 8.5] } }, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', '"a"')
  })

  it('refuses what is not JSON, or not an object of tensors', () => {
    for (const json of ['', '{', '[]', 'null', '"x"', '7', '{"a":7}', '{"a":{}}']) refuses(json, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER')
  })

  it('property: any header gives entries inside the file, or a typed error', () => {
    const number = fc.oneof(fc.integer({ min: -8, max: 1100 }), fc.double(), fc.maxSafeInteger())
    const anyEntry = fc.oneof(
      fc.record({
        dtype: fc.constantFrom('F32', 'BF16', 'I8'),
        shape: fc.array(number, { maxLength: 3 }),
        data_offsets: fc.array(number, { maxLength: 3 })
      }),
      fc.nat({ max: 200 }).map((at) => entry(at * 4, at * 4 + 8)),
      fc.jsonValue()
    )
    fc.assert(
      fc.property(fc.dictionary(fc.string({ maxLength: 4 }), anyEntry, { maxKeys: 4 }), (header) => {
        try {
          const sorted = parse(header).sort((a, b) => a.begin - b.begin)
          for (const [index, { begin, end }] of sorted.entries()) {
            assert.ok(begin >= 108 && begin <= end && end <= 1108)
            const after = sorted[index + 1]
            if (after !== undefined && after.end > after.begin && end > begin) assert.ok(end <= after.begin)
          }
        } catch (error) {
          assert.ok(isSkeinError(error), String(error))
        }
      })
    )
  })
})
