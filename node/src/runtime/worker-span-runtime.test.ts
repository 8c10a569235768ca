import assert from 'node:assert/strict'
import { encodeRows, seededRandom } from '@skein/protocol'
import type { SkeinError } from '@skein/protocol'
import type { PreparedSpan } from '../graph/span-graph.ts'
import { startHeadRuntime } from './head-runtime.ts'
import { OrtSpanRuntime } from './ort-span-runtime.ts'
import type { TurnEntry } from './span-runtime.ts'
import { randomFloats, temporaryFolder, tinyConfig, writeRandomHead, writeRandomSpan } from '../testing/random-span.ts'
import { startSpanRuntime } from './worker-span-runtime.ts'
import type { WorkerSpanRuntime } from './worker-span-runtime.ts'
import { fromErrorMessage, toErrorMessage, transferable } from './worker/messages.ts'
import { spawnWorker } from './worker/spawn-worker.ts'
import { TurnGate, cancelTurn, makeGate } from './worker/turn-gate.ts'
import { WorkerClient } from './worker/worker-client.ts'

const { hiddenSize, vocabSize } = tinyConfig
const span = { start: 0, end: 4 }
const random = seededRandom('worker')

function entry(cache: string, position: number, input: Float32Array): TurnEntry {
  const bytes = Uint8Array.from(encodeRows('f32', input))
  return { cache, position, rows: input.length / hiddenSize, span, exact: true, encoding: 'f32', input: bytes }
}

describe('runtimes in workers', () => {
  const folder = temporaryFolder()
  let prepared: PreparedSpan
  let runtime: WorkerSpanRuntime

  before(async () => {
    prepared = writeRandomSpan(folder.path)
    runtime = await startSpanRuntime({ prepared, kvTokens: 3000, threads: 2 })
  })
  after(async () => {
    await runtime.stop()
    folder.remove()
  })

  it('computes what the inline runtime computes', async () => {
    const inline = new OrtSpanRuntime({ prepared, kvTokens: 3000, threads: 2 }, { clock: { monotonicMs: () => 0 } })
    const chunk = randomFloats(random, 20 * hiddenSize, 2)
    const step = randomFloats(random, hiddenSize, 2)
    const results = []
    for (const each of [runtime, inline]) {
      assert.deepEqual(each.info, runtime.info)
      await each.reserve('a', 50, span)
      assert.equal(each.freeKvTokens(), 2950)
      const first = await each.run([entry('a', 0, chunk)])
      const second = await each.run([entry('a', 20, step), entry('unknown', 0, step)])
      results.push([...first.outputs, ...second.outputs])
      await each.release('a')
      await each.release('a')
      assert.equal(each.freeKvTokens(), 3000)
    }
    assert.deepEqual(results[0], results[1])
    assert.ok(results[0]?.[0]?.ok)
    await inline.stop()
  })

  it('takes over the memory of a large input, and copies it only when others share it', async () => {
    const caches = ['b0', 'b1', 'b2']
    for (const cache of caches) await runtime.reserve(cache, 500, span)
    // Together more than what is written into shared memory.
    const whole = caches.map((cache) => entry(cache, 0, randomFloats(random, 500 * hiddenSize, 2)))
    const inputs = whole.map(({ input }) => input.slice())
    const { outputs } = await runtime.run(whole)
    for (const { input } of whole) assert.equal(input.byteLength, 0)
    const shared = inputs.map((input) => {
      const larger = new Uint8Array(64 + input.byteLength)
      larger.set(input, 64)
      return larger
    })
    const copied = await runtime.run(whole.map((each, index) => ({ ...each, input: (shared[index] as Uint8Array).subarray(64) })))
    for (const [index, input] of inputs.entries()) assert.equal(shared[index]?.byteLength, 64 + input.byteLength)
    assert.deepEqual(copied.outputs, outputs)
    for (const cache of caches) await runtime.release(cache)
  })

  it('gives out results beside a failed one that later turns leave alone', async () => {
    for (const cache of ['f0', 'f1', 'f2']) await runtime.reserve(cache, 8, span)
    // What failed has a text, so that the answer goes as a message; f32 rows become the results where they lie.
    const spoilt = entry('f1', 0, new Float32Array(hiddenSize).fill(NaN))
    const mixed = await runtime.run([entry('f0', 0, randomFloats(random, hiddenSize, 2)), spoilt])
    assert.deepEqual(
      mixed.outputs.map(({ ok }) => ok),
      [true, false]
    )
    const before = structuredClone(mixed.outputs)
    await runtime.run([entry('f2', 0, new Float32Array(hiddenSize).fill(7))])
    assert.deepEqual(mixed.outputs, before)
    const [output] = mixed.outputs
    assert.ok(output?.ok === true && output.output.buffer instanceof ArrayBuffer, 'on memory that no thread shares')
    for (const cache of ['f0', 'f1', 'f2']) await runtime.release(cache)
  })

  it('gives out results that later turns leave alone', async () => {
    await runtime.reserve('e', 8, span)
    const first = await runtime.run([entry('e', 0, randomFloats(random, hiddenSize, 2))])
    const before = structuredClone(first.outputs)
    for (let position = 1; position < 8; position++) await runtime.run([entry('e', position, randomFloats(random, hiddenSize, 2))])
    assert.deepEqual(first.outputs, before)
    await runtime.release('e')
  })

  it('carries refusals across the thread with their code and detail', async () => {
    await assert.rejects(runtime.reserve('c', 599, { start: 1, end: 2 }), { name: 'WireError', code: 'ERR_SKEIN_WRONG_SPAN' })
    await assert.rejects(runtime.reserve('c', 601, span), { code: 'ERR_SKEIN_TOO_LONG', detail: { tokens: 601, contextTokens: 600 } })
  })

  it('gives up a turn that waits, and a turn under way, and then goes on', async () => {
    await runtime.reserve('d', 600, span)
    const input = randomFloats(random, 500 * hiddenSize, 2)
    const whole = await runtime.run([entry('d', 0, input)])
    const abort = new AbortController()
    const under = runtime.run([entry('d', 0, input)], { signal: abort.signal })
    const waiting = runtime.run([entry('d', 0, input)], { signal: abort.signal })
    abort.abort()
    for (const turn of [under, waiting]) {
      const [output] = (await turn).outputs
      assert.equal(output?.ok === false && output.code, 'ERR_SKEIN_ABORTED')
    }
    assert.deepEqual((await runtime.run([entry('d', 0, input)])).outputs, whole.outputs)
    await runtime.release('d')
  })

  it('says why a span cannot be opened', async () => {
    const broken = { ...prepared, groups: prepared.groups.map((group) => ({ ...group, modelFile: 'missing.onnx' })) }
    await assert.rejects(startSpanRuntime({ prepared: broken, kvTokens: 10, threads: 1 }), {
      code: 'ERR_SKEIN_ORT',
      message: /missing\.onnx/
    })
    await assert.rejects(startSpanRuntime({ prepared, kvTokens: 0, threads: 1 }), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })

  it('stops after what was handed over, once', async () => {
    const other = await startSpanRuntime({ prepared, kvTokens: 100, threads: 1 })
    await other.reserve('a', 10, span)
    const turn = other.run([entry('a', 0, randomFloats(random, hiddenSize, 2))])
    await Promise.all([other.stop(), other.stop()])
    assert.equal((await turn).outputs[0]?.ok, true)
    await assert.rejects(other.run([]), { code: 'ERR_SKEIN_RUNTIME_FAILED', message: /has been stopped/ })
    await other.release('a')
    assert.equal(other.freeKvTokens(), 0)
  })

  it('computes the head, and refuses bad rows', async () => {
    const graph = writeRandomHead(`${folder.path}/head`)
    const head = await startHeadRuntime({ graph, hiddenSize, vocabSize, threads: 2 })
    const hidden = randomFloats(random, 3 * hiddenSize, 2)
    const logits = await head.run(hidden.slice())
    assert.equal(logits.length, 3 * vocabSize)
    for (let row = 0; row < 3; row++) {
      const alone = await head.run(hidden.slice(row * hiddenSize, (row + 1) * hiddenSize))
      assert.deepEqual(alone, logits.slice(row * vocabSize, (row + 1) * vocabSize))
    }
    await assert.rejects(head.run(new Float32Array(hiddenSize + 1)), { code: 'ERR_SKEIN_MALFORMED' })
    await assert.rejects(head.run(new Float32Array(hiddenSize).fill(NaN)), { code: 'ERR_SKEIN_NOT_FINITE' })
    await head.stop()
    await assert.rejects(head.run(new Float32Array(hiddenSize)), { code: 'ERR_SKEIN_RUNTIME_FAILED' })
  })
})

describe('WorkerClient', () => {
  /** A worker that answers with what it gets, and ends when told to. */
  const source = `
    import { serve } from '${new URL('./worker/serve.js', import.meta.url).href}'
    void serve(() => ({
      ready: 'ready',
      handle: (request) => {
        if (request === 'refuse') throw new Error('not that one')
        if (request === 'exit') process.exit(3)
        return { value: request, last: request === 'stop' }
      }
    }))`
  const start = (module = source): WorkerClient<string> =>
    new WorkerClient(spawnWorker(new URL(`data:text/javascript,${encodeURIComponent(module)}`), undefined, 'test'), 'the test')
  const call = (client: WorkerClient<string>, request: string): Promise<string> => client.call(() => ({ request, transfer: [] }))

  it('answers calls in order', async () => {
    const client = start()
    assert.equal(await client.ready(), 'ready')
    assert.deepEqual(await Promise.all([call(client, 'a'), call(client, 'b')]), ['a', 'b'])
    await assert.rejects(call(client, 'refuse'), /not that one/)
    const last = call(client, 'c')
    const stopped = client.stop('stop')
    assert.equal(await last, 'c')
    await stopped
    await client.stop('stop')
  })

  it('fails every call once the worker is gone by itself', async () => {
    const client = start()
    await client.ready()
    await assertGone(client, [call(client, 'exit'), call(client, 'b')], /the worker of the test ended by itself with code 3/)
  })

  it('fails every call when the worker cannot start', async () => {
    const client = start(`throw new Error('out of luck')`)
    await assertGone(client, [client.ready(), call(client, 'b')], /the worker of the test failed: out of luck/)
  })

  async function assertGone(client: WorkerClient<string>, calls: readonly Promise<unknown>[], message: RegExp): Promise<void> {
    const outcomes = await Promise.allSettled(calls)
    for (const outcome of outcomes) {
      assert.ok(outcome.status === 'rejected')
      const { code, message: text } = outcome.reason as SkeinError
      assert.equal(code, 'ERR_SKEIN_RUNTIME_FAILED')
      assert.match(text, message)
    }
    assert.match(String(client.failure), message)
    await assert.rejects(call(client, 'c'), { code: 'ERR_SKEIN_RUNTIME_FAILED' })
    await assert.rejects(client.ready(), { code: 'ERR_SKEIN_RUNTIME_FAILED' })
    await client.stop('stop')
  }

  it('goes on after a request that cannot be sent', async () => {
    const client = start()
    await client.ready()
    await assert.rejects(
      client.call(() => {
        throw new Error('not this one')
      }),
      /not this one/
    )
    await assert.rejects(
      client.call(() => ({ request: (() => 'a function cannot be copied') as never, transfer: [] })),
      { name: 'DataCloneError' }
    )
    assert.equal(await call(client, 'b'), 'b')
    await client.stop('stop')
  })
})

describe('messages between threads', () => {
  it('keep the code of an error', () => {
    const error = fromErrorMessage(
      toErrorMessage(fromErrorMessage({ code: 'ERR_SKEIN_KV_FULL', message: 'full', detail: { freeTokens: 3 } }))
    )
    assert.deepEqual([error.name, error.code, error.message, error.detail.freeTokens], ['WireError', 'ERR_SKEIN_KV_FULL', 'full', 3])
    assert.equal(fromErrorMessage(toErrorMessage(new TypeError('x'))).code, 'ERR_SKEIN_INTERNAL')
  })

  it('transfer a buffer only when one view covers it', () => {
    const whole = new Uint8Array(8)
    const twice = new Uint8Array(8)
    assert.deepEqual(transferable([whole, twice, twice, new Uint8Array(8).subarray(1)]), [whole.buffer])
  })
})

describe('TurnGate', () => {
  it('ends only the turn that was meant', () => {
    const shared = makeGate()
    const gate = new TurnGate(shared)
    const terminated: number[] = []
    const cancel = (turn: number): void => cancelTurn(shared, turn, () => terminated.push(turn))
    gate.enter(1)
    assert.equal(gate.cancelled, false)
    cancel(2)
    assert.equal(gate.cancelled, false)
    assert.equal(gate.leave(), false)
    gate.enter(2)
    assert.equal(gate.cancelled, true, 'given up before it began')
    cancel(2)
    assert.deepEqual(terminated, [2])
    assert.equal(gate.leave(), true)
    cancel(2)
    gate.enter(3)
    assert.equal(gate.cancelled, false)
    assert.equal(gate.leave(), false)
    assert.deepEqual(terminated, [2])
  })
})
