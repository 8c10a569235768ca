import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCheckpoint } from '@skein/node'
import { limits } from '@skein/protocol'
import { tinyFolder } from '../text/testing.node.ts'
import { createEnds, type EndsProgress } from './ends.node.ts'
import type { Ends } from './ends.ts'

describe('ends', function () {
  let cacheDir: string
  let ends: Ends
  const seen: EndsProgress[] = []

  before(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'skein-ends-'))
    ends = await createEnds({ modelFolder: tinyFolder, cacheDir, onProgress: (progress) => seen.push(progress) })
  })

  after(async () => {
    await ends.stop()
    await rm(cacheDir, { recursive: true })
  })

  it('tell what the model is, and how far they are', () => {
    assert.equal(ends.config.blocks, 8)
    assert.match(ends.modelId, /@[0-9a-f]{32}$/)
    assert.deepEqual(ends.text.generation.eosTokenIds, [1020])
    for (const phase of ['hash', 'convert']) {
      const fractions = seen.filter((progress) => progress.phase === phase).map(({ fraction }) => fraction)
      assert.equal(fractions.at(-1), 1, phase)
      assert.deepEqual(
        fractions,
        fractions.toSorted((a, b) => a - b)
      )
    }
  })

  it('are given up with an error of skein, at whatever moment', async () => {
    for (const afterMs of [0, 5, 20, 50, 100, 200, 400]) {
      const opened = createEnds({ modelFolder: tinyFolder, cacheDir, signal: AbortSignal.timeout(afterMs) })
      await opened.then(
        (other) => other.stop(),
        (error: unknown) => assert.equal((error as { code?: unknown }).code, 'ERR_SKEIN_ABORTED', `after ${afterMs} ms`)
      )
    }
  })

  it('have a head in 8 bits when that is asked for, which is nearly the same', async () => {
    const small = await createEnds({ modelFolder: tinyFolder, cacheDir, dtype: 'q8' })
    const { hiddenSize } = ends.config
    const hidden = Float32Array.from({ length: 4 * hiddenSize }, (_, index) => Math.sin(index * index))
    const [exact, near] = [(await ends.logits(hidden, 4)).slice(), await small.logits(hidden, 4)]
    await small.stop()
    const range = Math.max(...exact) - Math.min(...exact)
    const most = Math.max(...exact.map((value, index) => Math.abs(value - (near[index] ?? Number.NaN))))
    assert.ok(most > 0 && most < 0.02 * range, `${most} of ${range}`)
  })

  it('embed tokens as the table has them', async () => {
    const { hiddenSize } = ends.config
    const checkpoint = await openCheckpoint(tinyFolder, { cacheDir })
    const table = await checkpoint.readFloat32('model.embed_tokens.weight')
    await checkpoint.close()
    const tokens = [0, 1023, 5, 5]
    const rows = await ends.embed(tokens)
    const expected = tokens.flatMap((token) => Array.from(table.subarray(token * hiddenSize, (token + 1) * hiddenSize)))
    assert.deepEqual(Array.from(rows), expected)
    assert.equal((await ends.embed([])).length, 0)
  })

  it('give the logits of the last norm and the head', async () => {
    const { hiddenSize, vocabSize, normEpsilon } = ends.config
    const checkpoint = await openCheckpoint(tinyFolder, { cacheDir })
    const head = await checkpoint.readFloat32('model.embed_tokens.weight')
    const norm = await checkpoint.readFloat32('model.norm.weight')
    await checkpoint.close()
    // A view of a larger buffer, which must stay whole.
    const buffer = new Float32Array(hiddenSize * 4)
    const hidden = buffer.subarray(hiddenSize, 3 * hiddenSize)
    for (let index = 0; index < hidden.length; index++) hidden[index] = Math.sin(index) * 3
    const logits = await ends.logits(hidden, 2)
    assert.equal(buffer.length, hiddenSize * 4)
    assert.equal(logits.length, 2 * vocabSize)
    let worst = 0
    for (let row = 0; row < 2; row++) {
      const values = Array.from(hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize))
      const scale = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / hiddenSize + normEpsilon)
      const normed = values.map((value, index) => value * scale * (norm[index] as number))
      for (let token = 0; token < vocabSize; token++) {
        const expected = normed.reduce((sum, value, index) => sum + value * (head[token * hiddenSize + index] as number), 0)
        worst = Math.max(worst, Math.abs(expected - (logits[row * vocabSize + token] as number)))
      }
    }
    assert.ok(worst < 1e-3, `the largest difference is ${worst}`)
  })

  it('answer many calls at once, each with its own rows', async () => {
    const rows = await Promise.all(Array.from({ length: 20 }, (_, token) => ends.embed([token])))
    const alone = await ends.embed(Array.from({ length: 20 }, (_, token) => token))
    assert.deepEqual(
      rows.flatMap((row) => Array.from(row)),
      Array.from(alone)
    )
    const logits = await Promise.all(rows.map((row) => ends.logits(row.slice(), 1)))
    assert.deepEqual(
      logits.flatMap((row) => Array.from(row)),
      Array.from(await ends.logits(alone, 20))
    )
  })

  it('refuse what does not fit', async () => {
    for (const token of [-1, 1024, 1.5, NaN]) await assert.rejects(ends.embed([0, token]), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(ends.embed(new Array<number>(limits.maxStepRows + 1).fill(0)), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(ends.logits(new Float32Array(5), 1), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(ends.logits(new Float32Array(ends.config.hiddenSize).fill(NaN), 1), { code: 'ERR_SKEIN_NOT_FINITE' })
    await assert.rejects(createEnds({ modelFolder: join(cacheDir, 'nothing'), cacheDir }), { message: /config\.json/ })
  })

  it('stop once and for all', async () => {
    const other = await createEnds({ modelFolder: tinyFolder, cacheDir })
    const late = other.embed([1])
    await Promise.all([other.stop(), other.stop()])
    assert.equal((await late).length, other.config.hiddenSize)
    await assert.rejects(other.embed([1]))
    await assert.rejects(other.logits(new Float32Array(other.config.hiddenSize), 1))
  })
})
