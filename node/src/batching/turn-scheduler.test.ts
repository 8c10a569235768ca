import assert from 'node:assert/strict'
import type { Clock } from '@skein/protocol'
import type { SpanRuntime, TurnEntry, TurnOutput, TurnResult } from '../runtime/span-runtime.ts'
import { TurnScheduler } from './turn-scheduler.ts'

const entry = (cache: string, rows = 1): TurnEntry => ({
  cache,
  position: 0,
  rows,
  span: { start: 0, end: 1 },
  exact: false,
  encoding: 'raw',
  input: new Uint8Array(32 * rows)
})

/** A runtime whose turns end when the test says so. */
class HeldRuntime {
  readonly turns: { entries: readonly TurnEntry[]; caches: string[]; finish: () => void; fail: (error: Error) => void }[] = []

  run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    return new Promise((resolve, reject) => {
      const outputs = entries.map((entry): TurnOutput => ({ ok: true, output: entry.input }))
      const finish = (): void => resolve({ outputs, computeUs: 100 })
      this.turns.push({ entries, caches: entries.map((entry) => entry.cache), finish, fail: reject })
    })
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function setUp(): { runtime: HeldRuntime; scheduler: TurnScheduler; advance: (ms: number) => void } {
  let nowMs = 0
  const runtime = new HeldRuntime()
  const clock = { monotonicMs: () => nowMs } as Clock
  const scheduler = new TurnScheduler({ runtime: runtime as unknown as SpanRuntime, clock })
  return { runtime, scheduler, advance: (ms) => (nowMs += ms) }
}

describe('TurnScheduler', () => {
  it('gathers what arrives during a turn into the next one, and shares its cost by rows', async () => {
    const { runtime, scheduler, advance } = setUp()
    const done: [string, number][] = []
    const submit = (cache: string, rows: number): void =>
      scheduler.submit(entry(cache, rows), (_, computeUs) => done.push([cache, computeUs]))
    submit('a', 1)
    await settle()
    submit('b', 1)
    submit('c', 3)
    advance(7)
    assert.deepEqual(
      runtime.turns.map((turn) => turn.caches),
      [['a']]
    )
    assert.equal(scheduler.queuedRows, 4)
    assert.equal(scheduler.turnMs, 7)
    runtime.turns[0]?.finish()
    await settle()
    assert.deepEqual(runtime.turns[1]?.caches, ['b', 'c'])
    runtime.turns[1]?.finish()
    await settle()
    assert.deepEqual(scheduler.done, { turns: 2, rows: 5, busyMs: 0.2 })
    assert.deepEqual(done, [
      ['a', 100],
      ['b', 25],
      ['c', 75]
    ])
    assert.equal(scheduler.turnMs, 0)
  })

  it('hands over entries that can go to a worker', async () => {
    const { runtime, scheduler } = setUp()
    const submitted = entry('a')
    scheduler.submit(submitted, () => {})
    await settle()
    assert.deepEqual(structuredClone(runtime.turns[0]?.entries), [submitted])
  })

  it('forgets what waits for a session that ended', async () => {
    const { runtime, scheduler } = setUp()
    const done: string[] = []
    for (const cache of ['a', 'b']) scheduler.submit(entry(cache), () => done.push(cache))
    scheduler.discard('a')
    await settle()
    runtime.turns[0]?.finish()
    await settle()
    assert.deepEqual(done, ['b'])
  })

  it('tells every session when the runtime has failed, also later ones', async () => {
    const { runtime, scheduler } = setUp()
    const codes: string[] = []
    const note = (output: TurnOutput): void => void codes.push(output.ok ? 'ok' : output.code)
    scheduler.submit(entry('a'), note)
    await settle()
    runtime.turns[0]?.fail(new Error('the worker exited'))
    await settle()
    scheduler.submit(entry('b'), note)
    await settle()
    assert.deepEqual(codes, ['ERR_SKEIN_INTERNAL', 'ERR_SKEIN_INTERNAL'])
    assert.equal(runtime.turns.length, 1)
  })
})
