import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeRows, encodeRows, rowBytes, type BlockRange } from '@skein/protocol'
import type { OrtSpanRuntime } from '@skein/node'
import { compareLogits, floats, ModelUnderTest, step } from './model-under-test.ts'

const tokens = Array.from({ length: 40 }, (_, index) => (index * 131 + 7) % 1000)

/** The parts of `[0, blocks)` between the cuts. */
function parts(blocks: number, cuts: readonly number[]): BlockRange[] {
  const borders = [0, ...[...new Set(cuts)].sort((a, b) => a - b), blocks]
  return borders.slice(1).map((end, index) => ({ start: borders[index] as number, end }))
}

/** Spans of one model, one after another, as a chain of stages would run them. */
describe('splits of skein-tiny', () => {
  let model: ModelUnderTest
  let whole: OrtSpanRuntime
  let span: BlockRange

  before(async () => {
    model = await ModelUnderTest.open('skein-tiny')
    span = { start: 0, end: model.blocks }
    whole = await model.openSpan(span, { groupBlocks: model.blocks, kvTokens: 8192 })
  })

  after(() => model.close())

  /** A forward pass without a past: all rows at once, in a cache that is dropped. */
  async function cacheFree(input: Uint8Array, exact = true): Promise<Uint8Array> {
    await whole.reserve('cache-free', 64, span)
    const output = await step(whole, input, { cache: 'cache-free', position: 0, span, exact })
    await whole.release('cache-free')
    return output
  }

  it('give the same bits however the blocks are cut and grouped', async () => {
    const input = model.embed(tokens)
    const expected = await cacheFree(input, false)
    for (const { cuts, groupBlocks } of [
      { cuts: [], groupBlocks: 1 },
      { cuts: [4], groupBlocks: 3 },
      { cuts: [1, 7], groupBlocks: 2 },
      { cuts: [3, 5], groupBlocks: 8 },
      { cuts: [1, 2, 3, 4, 5, 6, 7], groupBlocks: 1 }
    ]) {
      let rows = input
      for (const part of parts(model.blocks, cuts)) {
        const runtime = await model.openSpan(part, { groupBlocks, lanes: 1 + (part.start % 3) })
        await runtime.reserve('a', tokens.length, part)
        rows = await step(runtime, rows, { cache: 'a', position: 0, span: part })
      }
      assert.deepEqual(rows, expected, `cuts at ${cuts.join(', ')}, groups of ${groupBlocks}`)
    }
  })

  it('property: any cuts, chunks, cut-backs and interleaved sessions give the rows of a cache-free pass, in exact mode', async () => {
    const runtime = await model.openSpan(span, { kvTokens: 16384 })
    const bytes = rowBytes('f32', model.hiddenSize)
    const action = fc.record({
      session: fc.nat({ max: 2 }),
      rows: fc.integer({ min: 1, max: 9 }),
      cutBack: fc.nat({ max: 12 }),
      seed: fc.nat({ max: 999 })
    })
    const arbitrary = fc.record({
      cuts: fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 4 }),
      actions: fc.array(action, { minLength: 1, maxLength: 10 })
    })
    let serial = 0
    await fc.assert(
      fc.asyncProperty(arbitrary, async ({ cuts, actions }) => {
        const run = serial++
        const ranges = parts(model.blocks, cuts)
        const histories = new Map<number, number[]>()
        const outputs = new Map<number, Uint8Array[]>()
        const name = (session: number, part: BlockRange) => `${run}/${session}/${part.start}`
        for (const { session, rows, cutBack, seed } of actions) {
          let history = histories.get(session)
          if (history === undefined) {
            histories.set(session, (history = []))
            outputs.set(session, [])
            for (const part of ranges) await runtime.reserve(name(session, part), 128, part)
          }
          history.length = Math.max(0, history.length - cutBack)
          const kept = outputs.get(session) as Uint8Array[]
          kept.length = history.length
          const position = history.length
          const fresh = Array.from({ length: rows }, (_, index) => (seed * 17 + index * 29) % 1000)
          let hidden = model.embed(fresh)
          for (const part of ranges) hidden = await step(runtime, hidden, { cache: name(session, part), position, span: part, exact: true })
          history.push(...fresh)
          for (let row = 0; row < rows; row++) kept.push(hidden.subarray(row * bytes, (row + 1) * bytes))
        }
        for (const [session, history] of histories) {
          await whole.reserve('reference', 128, span)
          const expected = await step(whole, model.embed(history), { cache: 'reference', position: 0, span, exact: true })
          await whole.release('reference')
          assert.deepEqual(Buffer.concat(outputs.get(session) as Uint8Array[]), Buffer.from(expected))
          for (const part of ranges) await runtime.release(name(session, part))
        }
      }),
      { numRuns: 40, seed: 20260101 }
    )
  })

  it('state what rounding on the links costs', async () => {
    const head = await model.openHead()
    try {
      const input = model.embed(tokens)
      const expected = await head.run(floats(await cacheFree(input, false)))
      const ranges = parts(model.blocks, [2, 4, 6])
      const runtime = await model.openSpan(span)
      // Measured on AVX-512, with three links between four stages: f16 1.2e-4 of the range, bf16 1.3e-3.
      for (const { encoding, allowed } of [
        { encoding: 'f16', allowed: 1e-3 },
        { encoding: 'bf16', allowed: 1e-2 }
      ] as const) {
        let rows = encodeRows(encoding, decodeRows('f32', input))
        for (const part of ranges) {
          const cache = `${encoding}/${part.start}`
          await runtime.reserve(cache, tokens.length, part)
          rows = await step(runtime, rows, { cache, position: 0, span: part, encoding })
        }
        const found = await head.run(new Float32Array(decodeRows(encoding, rows)))
        const { difference } = compareLogits(found, expected, model.checkpoint.config.vocabSize)
        assert.ok(difference > 0 && difference < allowed, `${encoding}: differs by ${difference} of the range`)
      }
    } finally {
      await head.stop()
    }
  })
})
