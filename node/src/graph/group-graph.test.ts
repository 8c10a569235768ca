import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { WeightDtype } from '@skein/protocol'
import { openCheckpoint, type OpenedCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { makeRandomCheckpoint } from '../testing/random-checkpoint.ts'
import { PlainForward, plainHead, type ForwardEntry } from '../testing/plain-forward.ts'
import { prepareHead, prepareSpan } from './convert.ts'
import { loadEmbedding, type Embedding } from './embedding.ts'
import { familyOf } from './families/registry.ts'
import { buildGroupGraph } from './group-graph.ts'

const hiddenSize = 64
const tokenCount = 24
const capacity = 32

/**
 * The graphs without the runtime around them. That their results are right is for the golden tests; here they must be
 * the same however blocks are grouped and rows are arranged.
 */
describe('group graphs', () => {
  let root: string
  let cacheDir: string
  let checkpoint: OpenedCheckpoint
  let embedding: Embedding
  let input: Float32Array

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'skein-graph-'))
    cacheDir = path.join(root, 'cache')
    await makeRandomCheckpoint(path.join(root, 'model'), { num_hidden_layers: 4, attention_bias: true }, 11)
    checkpoint = await openCheckpoint(path.join(root, 'model'), { cacheDir })
    embedding = await loadEmbedding({ checkpoint })
    input = embedding.embeddingRows(Array.from({ length: tokenCount }, (_, index) => (index * 37) % 128))
  })

  after(async () => {
    await checkpoint.close()
    await rm(root, { recursive: true, force: true })
  })

  async function openSpan(start: number, end: number, groupBlocks: number, lanes = 1, dtype: WeightDtype = 'f32'): Promise<PlainForward> {
    const span = await prepareSpan({ checkpoint, cacheDir, span: { start, end }, groupBlocks, lanes, dtype, inThisThread: true })
    return new PlainForward(span, capacity)
  }

  const rowsOf = (from: number, to: number) => input.slice(from * hiddenSize, to * hiddenSize)

  const entry = (session: string, lane: number, from: number, to: number): ForwardEntry => ({
    session,
    lane,
    rows: to - from,
    input: rowsOf(from, to)
  })

  for (const dtype of ['f32', 'q8', 'q4'] as const) {
    it(`give the same bits in groups of 1, 2, 3 and 4 blocks: ${dtype}`, async () => {
      let expected: Float32Array | undefined
      for (const groupBlocks of [1, 2, 3, 4]) {
        const forward = await openSpan(0, 4, groupBlocks, 1, dtype)
        const [output] = forward.run([entry('a', 0, 0, tokenCount)])
        expected ??= output as Float32Array
        assert.deepEqual(output, expected, `groups of ${groupBlocks}`)
        forward.close()
      }
      assert.ok(expected?.every(Number.isFinite))
    })
  }

  it('give the same bits when a span is cut in two', async () => {
    const whole = await openSpan(0, 4, 2)
    const [expected] = whole.run([entry('a', 0, 0, tokenCount)])
    whole.close()
    for (const cut of [1, 2, 3]) {
      const first = await openSpan(0, cut, 2)
      const second = await openSpan(cut, 4, 2)
      const [middle] = first.run([entry('a', 0, 0, tokenCount)])
      const [output] = second.run([{ session: 'a', lane: 0, rows: tokenCount, input: middle as Float32Array }])
      assert.deepEqual(output, expected, `cut at ${cut}`)
      first.close()
      second.close()
    }
  })

  it('give the same bits for any chunks of two rows or more, and nearly the same for single rows', async () => {
    const forward = await openSpan(0, 4, 1)
    const [expected] = forward.run([entry('whole', 0, 0, tokenCount)]) as [Float32Array]
    const run = async (session: string, sizes: readonly number[]) => {
      const output = new Float32Array(tokenCount * hiddenSize)
      let at = 0
      for (const size of sizes) {
        const [part] = forward.run([entry(session, 0, at, at + size)])
        output.set(part as Float32Array, at * hiddenSize)
        at += size
      }
      return output
    }
    assert.deepEqual(await run('chunks', [2, 7, 3, 12]), expected)
    const single = await run('single', new Array<number>(tokenCount).fill(1))
    for (const [index, value] of single.entries()) assert.ok(Math.abs(value - (expected[index] as number)) < 2e-5)
    forward.close()
  })

  it('compute several sessions at once in lanes as each alone, with idle lanes beside', async () => {
    const alone = await openSpan(0, 2, 1, 1)
    const together = await openSpan(0, 2, 1, 3)
    const expected: Float32Array[] = []
    for (const [session, from] of [
      ['a', 5],
      ['b', 9]
    ] as const) {
      alone.run([entry(session, 0, 0, from)])
      expected.push(...alone.run([entry(session, 0, from, from + 1)]))
    }
    expected.push(...alone.run([entry('c', 0, 3, 10)]))

    // Each prefilled in a lane that the others leave idle; the order in the turn is not that of the lanes.
    together.run([entry('a', 2, 0, 5)])
    together.run([entry('b', 1, 0, 9)])
    const found = together.run([entry('a', 0, 5, 6), entry('c', 2, 3, 10), entry('b', 0, 9, 10)])
    assert.deepEqual([found[0], found[2], found[1]], expected)
    alone.close()
    together.close()
  })

  it('take a cache up again after it was cut back', async () => {
    const forward = await openSpan(0, 2, 1)
    const [expected] = forward.run([entry('straight', 0, 0, 12)])
    forward.run([entry('back', 0, 0, 4)])
    forward.run([entry('back', 0, 15, 24)])
    forward.cut('back', 4)
    const [output] = forward.run([entry('back', 0, 4, 12)])
    assert.deepEqual(output, expected?.slice(4 * hiddenSize))
    forward.close()
  })

  it('give integer weights whose results are near those in f32', async () => {
    const outputs: Float32Array[] = []
    for (const dtype of ['f32', 'q8', 'q4'] as const) {
      const span = await prepareSpan({ checkpoint, cacheDir, span: { start: 0, end: 4 }, dtype, inThisThread: true })
      const head = await prepareHead({ checkpoint, cacheDir, dtype, inThisThread: true })
      const forward = new PlainForward(span, capacity)
      const [hidden] = forward.run([entry('a', 0, 0, tokenCount)])
      outputs.push(plainHead(head, span.shape, 128, hidden as Float32Array))
      forward.close()
    }
    const [f32, q8, q4] = outputs as [Float32Array, Float32Array, Float32Array]
    const rms = (values: Float32Array, other?: Float32Array) =>
      Math.sqrt(values.reduce((sum, value, index) => sum + (value - (other?.[index] ?? 0)) ** 2, 0) / values.length)
    assert.equal(f32.length, tokenCount * 128)
    assert.ok(rms(q8, f32) < 0.03 * rms(f32), `q8 is off by ${rms(q8, f32) / rms(f32)}`)
    assert.ok(rms(q4, f32) < 0.3 * rms(f32), `q4 is off by ${rms(q4, f32) / rms(f32)}`)
    assert.ok(rms(q8, f32) > 0 && rms(q4, f32) > rms(q8, f32))
  })

  it('are the same bytes for the same calls, and small', () => {
    const build = () => buildGroupGraph(checkpoint.config, { blocks: { start: 1, end: 3 }, lanes: 2, dtype: 'q8' })
    const graph = build()
    assert.deepEqual(graph, build())
    assert.ok(graph.model.length < 32 * 1024)
    for (const weight of graph.plan) {
      if (weight.kind === 'quantized') assert.equal(weight.data.offset % 4096, 0)
    }
  })

  it('refuse an embedding of a token outside the vocabulary', () => {
    for (const token of [-1, 128, 1.5, NaN]) assert.throws(() => embedding.embeddingRows([token]), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    assert.equal(embedding.embeddingRows([]).length, 0)
  })

  it('do not exist for a family that is not known', () => {
    assert.throws(() => familyOf('bert'), { code: 'ERR_SKEIN_UNKNOWN_FAMILY' })
  })
})
