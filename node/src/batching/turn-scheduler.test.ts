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

const computed = (entries: readonly TurnEntry[]): Promise<TurnResult> =>
  Promise.resolve({ outputs: entries.map(({ input }) => ({ ok: true, output: input })), computeUs: 100 })

function fail(message: string): never {
  throw new Error(message)
}

/** How a runtime may fail as a whole: what it does, its `run`, and the hook that hears of its turns. */
const failing: readonly (readonly [string, (entries: readonly TurnEntry[]) => unknown, (() => void)?])[] = [
  ['rejects', () => Promise.reject(new Error('the worker exited'))],
  ['throws', () => fail('the worker exited')],
  ['has no result', () => Promise.resolve(undefined)],
  ['computes, but the hook throws', computed, () => fail('the hook failed')]
]

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

  for (const [what, run, onTurn] of failing) {
    it(`tells every session that the runtime has failed when it ${what}, also later ones`, async () => {
      let [nowMs, runs] = [0, 0]
      const failures: unknown[] = []
      const counted = { run: (entries: readonly TurnEntry[]) => (runs++, run(entries)) } as SpanRuntime
      const clock = { monotonicMs: () => nowMs } as Clock
      const scheduler = new TurnScheduler({ runtime: counted, clock, onTurn, onFailed: (error) => failures.push(error) })
      const answers: string[] = []
      for (const caches of [['a', 'b'], ['c']]) {
        for (const cache of caches) scheduler.submit(entry(cache), (output) => answers.push(`${cache} ${output.ok ? 'ok' : output.code}`))
        await settle()
        nowMs += 7
        assert.equal(scheduler.turnMs, 0)
      }
      assert.deepEqual(answers, ['a ERR_SKEIN_INTERNAL', 'b ERR_SKEIN_INTERNAL', 'c ERR_SKEIN_INTERNAL'])
      assert.equal(failures.length, 1)
      assert.equal(runs, 1, 'it is not asked again')
    })
  }
})
