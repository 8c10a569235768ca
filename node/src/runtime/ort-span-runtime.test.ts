import assert from 'node:assert/strict'
import { decodeRows, encodeRows, seededRandom } from '@skein/protocol'
import type { BlockRange, TensorEncoding } from '@skein/protocol'
import fc from 'fast-check'
import type { PreparedSpan } from '../graph/span-graph.ts'
import { OrtSpanRuntime } from './ort-span-runtime.ts'
import type { TurnEntry, TurnOutput } from './span-runtime.ts'
import { randomFloats, temporaryFolder, tinyConfig, writeRandomSpan } from '../testing/random-span.ts'

const { hiddenSize } = tinyConfig
const span = { start: 0, end: 4 }
const clock = { monotonicMs: () => 0 }
const random = seededRandom('runtime')

interface EntryOptions {
  exact?: boolean
  encoding?: TensorEncoding
  span?: BlockRange
}

function entry(cache: string, position: number, input: Float32Array, options: EntryOptions = {}): TurnEntry {
  const { exact = true, encoding = 'f32' } = options
  const bytes = Uint8Array.from(encodeRows(encoding, input.slice()))
  return { cache, position, rows: input.length / hiddenSize, span: options.span ?? span, exact, encoding, input: bytes }
}

function floatsOf(output: TurnOutput | undefined): Float32Array {
  assert.ok(output?.ok, JSON.stringify(output))
  return new Float32Array(output.output.slice().buffer)
}

function codeOf(output: TurnOutput | undefined): string {
  return output?.ok === false ? output.code : 'ok'
}

function rowsOf(values: Float32Array, from: number, to: number): Float32Array {
  return values.subarray(from * hiddenSize, to * hiddenSize)
}

describe('OrtSpanRuntime', function () {
  const folder = temporaryFolder()
  const runtimes: OrtSpanRuntime[] = []
  let prepared: PreparedSpan

  function open(from: PreparedSpan = prepared, plan = {}): OrtSpanRuntime {
    const runtime = new OrtSpanRuntime({ prepared: from, kvTokens: 4000, threads: 2, plan }, { clock })
    runtimes.push(runtime)
    return runtime
  }

  /** One entry alone. */
  async function run(runtime: OrtSpanRuntime, one: TurnEntry): Promise<Float32Array> {
    return floatsOf((await runtime.run([one])).outputs[0])
  }

  /** All rows in one chunk through a fresh cache: what has no cache to go wrong. */
  async function forward(runtime: OrtSpanRuntime, input: Float32Array, part: BlockRange = span): Promise<Float32Array> {
    await runtime.reserve('forward', input.length / hiddenSize, part)
    try {
      return await run(runtime, entry('forward', 0, input, { span: part }))
    } finally {
      await runtime.release('forward')
    }
  }

  before(() => {
    prepared = writeRandomSpan(folder.path)
  })
  afterEach(async () => {
    for (const runtime of runtimes.splice(0)) await runtime.stop()
  })
  after(() => folder.remove())

  it('describes itself', () => {
    const { info } = open()
    assert.deepEqual(info.span, span)
    assert.deepEqual(info.entryPoints, [0, 2, 4])
    assert.equal(info.hiddenSize, hiddenSize)
    assert.equal(info.numerics.weights, 'f32')
    assert.equal(info.contextTokens, 600)
    assert.equal(info.kvTokens, 4000)
  })

  it('computes two decode steps and a prefill chunk in one turn bit for bit as separately', async () => {
    const histories = [randomFloats(random, 5 * hiddenSize, 2), randomFloats(random, 9 * hiddenSize, 2)]
    const chunk = randomFloats(random, 37 * hiddenSize, 2)
    const steps = [randomFloats(random, hiddenSize, 2), randomFloats(random, hiddenSize, 2)]
    for (const exact of [true, false]) {
      const results: Float32Array[][] = []
      for (const together of [true, false]) {
        const runtime = open()
        for (const name of ['a', 'b', 'c']) await runtime.reserve(name, 100, span)
        await runtime.run([entry('a', 0, histories[0]!), entry('b', 0, histories[1]!)])
        const turn = [entry('a', 5, steps[0]!, { exact }), entry('c', 0, chunk, { exact }), entry('b', 9, steps[1]!, { exact })]
        if (together) results.push((await runtime.run(turn)).outputs.map(floatsOf))
        else {
          const alone: Float32Array[] = []
          for (const one of turn) alone.push(await run(runtime, one))
          results.push(alone)
        }
      }
      assert.deepEqual(results[0], results[1], `exact ${exact}`)
    }
  })

  it('restores the KV cache byte for byte by a replay in chunks, in exact mode', async () => {
    const runtime = open()
    const input = randomFloats(random, 90 * hiddenSize, 2)
    await runtime.reserve('live', 90, span)
    const outputs = [await run(runtime, entry('live', 0, rowsOf(input, 0, 33)))]
    for (let i = 33; i < 90; i++) outputs.push(await run(runtime, entry('live', i, rowsOf(input, i, i + 1))))
    await runtime.reserve('replayed', 90, span)
    const replayed: Float32Array[] = []
    for (const [from, to] of [
      [0, 64],
      [64, 65],
      [65, 90]
    ] as const) {
      replayed.push(await run(runtime, entry('replayed', from, rowsOf(input, from, to))))
    }
    assert.deepEqual(runtime.engine.store.export('replayed', 0, 90), runtime.engine.store.export('live', 0, 90))
    assert.deepEqual(joined(replayed), joined(outputs))
  })

  it('gives the same bits however the span is cut into groups and stages', async () => {
    const input = randomFloats(random, 21 * hiddenSize, 2)
    const whole = await forward(open(), input)
    for (const borders of [
      [0, 4],
      [0, 1, 2, 3, 4],
      [0, 1, 4]
    ]) {
      assert.deepEqual(await forward(open(writeRandomSpan(`${folder.path}/${borders.join('-')}`, { borders })), input), whole)
    }
    const middle = await forward(open(), input, { start: 0, end: 2 })
    assert.deepEqual(await forward(open(), middle, { start: 2, end: 4 }), whole)
  })

  it('runs entries of different spans in one turn', async () => {
    const runtime = open()
    const input = randomFloats(random, 3 * hiddenSize, 2)
    const parts = [span, { start: 0, end: 2 }, { start: 2, end: 4 }]
    const expected: Float32Array[] = []
    for (const part of parts) expected.push(await forward(runtime, input, part))
    for (const [i, part] of parts.entries()) await runtime.reserve(`s${i}`, 8, part)
    const { outputs } = await runtime.run(parts.map((part, i) => entry(`s${i}`, 0, input, { span: part })))
    assert.deepEqual(outputs.map(floatsOf), expected)
  })

  it('cuts long entries into several runs without a trace', async () => {
    const input = randomFloats(random, 101 * hiddenSize, 2)
    const whole = await forward(open(), input)
    assert.deepEqual(await forward(open(prepared, { maxRunRows: 20 }), input), whole)
    assert.deepEqual(await forward(open(prepared, { maxRunRows: 2 }), input), whole)
  })

  it('gives the same bits for any capacity of the cache', async () => {
    const input = randomFloats(random, 40 * hiddenSize, 2)
    const runtime = open()
    const results: Float32Array[] = []
    for (const tokens of [40, 300, 600]) {
      await runtime.reserve(`c${tokens}`, tokens, span)
      results.push(await run(runtime, entry(`c${tokens}`, 0, input)))
    }
    assert.deepEqual(results[1], results[0])
    assert.deepEqual(results[2], results[0])
  })

  for (const [encoding, error] of [
    ['f16', 2e-2],
    ['bf16', 2e-1]
  ] as const) {
    it(`takes and gives rows in ${encoding}`, async () => {
      const input = randomFloats(random, 4 * hiddenSize, 2)
      const runtime = open()
      const exact = await forward(runtime, input)
      await runtime.reserve('half', 4, span)
      const { outputs } = await runtime.run([entry('half', 0, input, { encoding })])
      const [output] = outputs
      assert.ok(output?.ok)
      assert.equal(output.output.byteLength, 2 * 4 * hiddenSize)
      decodeRows(encoding, output.output).forEach((value, i) => assert.ok(Math.abs(value - exact[i]!) < error))
    })
  }

  it('refuses what does not fit, entry by entry, and computes the rest', async () => {
    const runtime = open()
    for (const name of ['ok', 'long', 'gap', 'nan', 'raw', 'short', 'span', 'twice']) await runtime.reserve(name, 4, span)
    const rows = (count: number): Float32Array => randomFloats(random, count * hiddenSize, 2)
    const bad = rows(2)
    bad[70] = NaN
    const good = rows(2)
    const { outputs } = await runtime.run([
      entry('ok', 0, good),
      entry('long', 0, rows(5)),
      entry('gap', 1, rows(1)),
      entry('nan', 0, bad),
      { ...entry('raw', 0, rows(1)), encoding: 'raw' },
      { ...entry('short', 0, rows(2)), rows: 3 },
      entry('span', 0, rows(1), { span: { start: 0, end: 2 } }),
      entry('twice', 0, rows(1)),
      entry('twice', 0, rows(1)),
      entry('unknown', 0, rows(1))
    ])
    assert.deepEqual(outputs.map(codeOf), [
      'ok',
      'ERR_SKEIN_TOO_LONG',
      'ERR_SKEIN_OUT_OF_ORDER',
      'ERR_SKEIN_NOT_FINITE',
      'ERR_SKEIN_UNSUPPORTED',
      'ERR_SKEIN_MALFORMED',
      'ERR_SKEIN_WRONG_SPAN',
      'ok',
      'ERR_SKEIN_OUT_OF_ORDER',
      'ERR_SKEIN_UNKNOWN_SESSION'
    ])
    assert.deepEqual(floatsOf(outputs[0]), await forward(runtime, good))
    assert.equal(runtime.engine.store.rows('ok'), 2)
    assert.equal(runtime.engine.store.rows('nan'), 0)
  })

  it('leaves the cache of a failed entry at its position', async () => {
    const runtime = open()
    await runtime.reserve('a', 10, span)
    const input = randomFloats(random, 6 * hiddenSize, 2)
    await run(runtime, entry('a', 0, input))
    const bad = new Float32Array(hiddenSize).fill(Infinity)
    assert.equal(codeOf((await runtime.run([entry('a', 4, bad)])).outputs[0]), 'ERR_SKEIN_NOT_FINITE')
    assert.equal(runtime.engine.store.rows('a'), 4)
    assert.deepEqual(await run(runtime, entry('a', 4, rowsOf(input, 4, 6))), rowsOf(await forward(runtime, input), 4, 6))
  })

  it('says so when its blocks turn finite rows into infinity, or into what the encoding cannot hold', async () => {
    const input = randomFloats(random, 2 * hiddenSize, 2)
    for (const [scale, encoding] of [
      [1e20, 'f32'],
      [100, 'f16']
    ] as const) {
      const runtime = open(writeRandomSpan(`${folder.path}/huge-${encoding}`, { scale }))
      await runtime.reserve('a', 10, span)
      const { outputs } = await runtime.run([entry('a', 0, input, { encoding })])
      assert.equal(codeOf(outputs[0]), 'ERR_SKEIN_NOT_FINITE')
      assert.equal(runtime.engine.store.rows('a'), 0)
    }
  })

  it('gives up a turn whose signal has fired, and leaves the caches at the positions', async () => {
    const runtime = open()
    await runtime.reserve('a', 10, span)
    const input = randomFloats(random, 3 * hiddenSize, 2)
    await run(runtime, entry('a', 0, input))
    const { outputs } = await runtime.run([entry('a', 1, input)], { signal: AbortSignal.abort() })
    assert.equal(codeOf(outputs[0]), 'ERR_SKEIN_ABORTED')
    assert.equal(runtime.engine.store.rows('a'), 1)
  })

  it('reserves only at entry points and within the budget', async () => {
    const runtime = open()
    await assert.rejects(runtime.reserve('a', 1, { start: 1, end: 4 }), { code: 'ERR_SKEIN_WRONG_SPAN' })
    await assert.rejects(runtime.reserve('a', 601, span), { code: 'ERR_SKEIN_TOO_LONG' })
    for (let i = 0; i < 6; i++) await runtime.reserve(`x${i}`, 600, span)
    assert.equal(runtime.freeKvTokens(), 400)
    await assert.rejects(runtime.reserve('a', 401, span), { code: 'ERR_SKEIN_KV_FULL' })
    await runtime.release('x0')
    assert.equal(runtime.freeKvTokens(), 1000)
    await runtime.stop()
    await assert.rejects(runtime.reserve('a', 1, span), { code: 'ERR_SKEIN_RUNTIME_FAILED' })
  })

  for (const [dtype, exact] of [
    ['f32', true],
    ['q8', true],
    ['f32', false]
  ] as const) {
    it(`interleaves sessions with cut-backs as if each had no cache, in ${dtype}, ${exact ? 'bit for bit' : 'but for rounding'}`, async () => {
      const from = writeRandomSpan(`${folder.path}/${dtype}`, { dtype })
      const runtime = open(from, { maxRunRows: 24 })
      const reference = open(from)
      const pool = randomFloats(random, 200 * hiddenSize, 2)
      const step = fc.record({
        who: fc.subarray(['a', 'b', 'c', 'd', 'e'], { minLength: 1 }),
        rows: fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 40 })), { minLength: 5, maxLength: 5 }),
        cut: fc.array(fc.nat(6), { minLength: 5, maxLength: 5 }),
        from: fc.nat(150)
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
          const histories = new Map<string, Float32Array>()
          const names = ['a', 'b', 'c', 'd', 'e']
          for (const name of names) await runtime.reserve(name, 400, span)
          for (const { who, rows, cut, from: offset } of steps) {
            const entries = who.map((name) => {
              const index = names.indexOf(name)
              const held = histories.get(name) ?? new Float32Array(0)
              const position = Math.max(0, held.length / hiddenSize - cut[index]!)
              const input = rowsOf(pool, offset + index, offset + index + rows[index]!)
              histories.set(name, Float32Array.from([...rowsOf(held, 0, position), ...input]))
              return entry(name, position, input, { exact })
            })
            const { outputs } = await runtime.run(entries)
            for (const [i, { cache, position }] of entries.entries()) {
              const whole = await forward(reference, histories.get(cache)!)
              const expected = whole.slice(position * hiddenSize)
              if (exact) assert.deepEqual(floatsOf(outputs[i]), expected, `${cache} at ${position}`)
              else floatsOf(outputs[i]).forEach((value, j) => assert.ok(Math.abs(value - expected[j]!) < 1e-3, `${cache} at ${position}`))
            }
          }
          for (const name of names) await runtime.release(name)
        }),
        { numRuns: 15 }
      )
    })
  }

  it('stays within rounding of exact mode in normal mode', async () => {
    const runtime = open()
    const input = randomFloats(random, 12 * hiddenSize, 2)
    const exact = await forward(runtime, input)
    for (const name of ['x', 'y', 'z']) await runtime.reserve(name, 12, span)
    for (let i = 0; i < 12; i++) {
      const turn = ['x', 'z', 'y'].map((name) => entry(name, i, rowsOf(input, i, i + 1), { exact: false }))
      const { outputs } = await runtime.run(turn)
      for (const output of outputs) floatsOf(output).forEach((value, j) => assert.ok(Math.abs(value - exact[i * hiddenSize + j]!) < 1e-4))
    }
  })
})

function joined(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]))
}
