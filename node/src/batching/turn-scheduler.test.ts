import assert from 'node:assert/strict'
import { type Clock, type Logger, silentLogger } from '@skein/protocol'
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
  const scheduler = new TurnScheduler({ runtime: runtime as unknown as SpanRuntime, clock, logger: silentLogger })
  return { runtime, scheduler, advance: (ms) => (nowMs += ms) }
}

const computed = (entries: readonly TurnEntry[]): Promise<TurnResult> =>
  Promise.resolve({ outputs: entries.map(({ input }) => ({ ok: true, output: input })), computeUs: 100 })

function fail(message: string): never {
  throw new Error(message)
}

/** How a runtime may fail as a whole: what it does, and its `run`. */
const failing: readonly (readonly [string, (entries: readonly TurnEntry[]) => unknown])[] = [
  ['rejects', () => Promise.reject(new Error('the worker exited'))],
  ['throws', () => fail('the worker exited')],
  ['has no result', () => Promise.resolve(undefined)],
  ['has a result without outputs', () => Promise.resolve({ computeUs: 100 })]
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

  for (const [what, run] of failing) {
    it(`tells every session that the runtime has failed when it ${what}, also later ones`, async () => {
      const { submit, answers, failures, runs, errors } = withCallbacks({ run })
      for (const caches of [['a', 'b'], ['c']]) await submit(caches)
      assert.deepEqual(answers, ['a ERR_SKEIN_INTERNAL', 'b ERR_SKEIN_INTERNAL', 'c ERR_SKEIN_INTERNAL'])
      assert.equal(failures.length, 1)
      assert.equal(runs(), 1, 'it is not asked again')
      assert.deepEqual(errors, [])
    })
  }

  it('hands over what waits before it gives out the results of the turn before, and what those cause after', async () => {
    const { runtime, scheduler } = setUp()
    const seen: string[] = []
    const submit = (cache: string, then?: () => void): void =>
      scheduler.submit(entry(cache), () => {
        seen.push(`${cache} done, ${runtime.turns.length} turns begun`)
        then?.()
      })
    submit('a')
    await settle()
    submit('b', () => submit('c'))
    for (const turn of [0, 1, 2]) {
      runtime.turns[turn]?.finish()
      await settle()
    }
    assert.deepEqual(seen, ['a done, 2 turns begun', 'b done, 2 turns begun', 'c done, 3 turns begun'])
    assert.equal(scheduler.turnMs, 0)
  })

  it('answers everybody of a turn, and goes on, when a callback of one or the hook of turns throws', async () => {
    const { submit, answers, failures, errors } = withCallbacks({ throws: 'a', onTurn: () => fail('the hook failed') })
    for (const caches of [['a', 'b'], ['c']]) await submit(caches)
    assert.deepEqual(answers, ['a ok', 'b ok', 'c ok'])
    assert.deepEqual(errors, ['a threw', 'the hook failed', 'the hook failed'])
    assert.deepEqual(failures, [], 'the runtime is well')
  })

  it('answers everybody when the runtime has failed and who hears of it throws', async () => {
    const run = (): Promise<never> => Promise.reject(new Error('the worker exited'))
    const { submit, answers, errors } = withCallbacks({ run, throws: 'a', onFailed: () => fail('the daemon failed') })
    for (const caches of [['a', 'b'], ['c']]) await submit(caches)
    assert.deepEqual(answers, ['a ERR_SKEIN_INTERNAL', 'b ERR_SKEIN_INTERNAL', 'c ERR_SKEIN_INTERNAL'])
    assert.deepEqual(errors, ['the daemon failed', 'a threw'])
  })
})

interface Callbacks {
  readonly run?: (entries: readonly TurnEntry[]) => unknown
  /** The session whose callback throws. */
  readonly throws?: string
  readonly onTurn?: () => void
  readonly onFailed?: () => void
}

/** A scheduler whose calls to others are kept. */
function withCallbacks({ run = computed, throws, onTurn, onFailed }: Callbacks): {
  /** Submits an entry of each session, and waits until there is nothing to do. */
  submit: (caches: readonly string[]) => Promise<void>
  answers: string[]
  failures: unknown[]
  /** Turns that the runtime was asked for. */
  runs: () => number
  /** Messages of the errors that were logged. */
  errors: string[]
} {
  let [nowMs, runs] = [0, 0]
  const [answers, failures, errors]: [string[], unknown[], string[]] = [[], [], []]
  const scheduler = new TurnScheduler({
    runtime: { run: (entries: readonly TurnEntry[]) => (runs++, run(entries)) } as SpanRuntime,
    clock: { monotonicMs: () => nowMs } as Clock,
    logger: { ...silentLogger, error: (_message, _context, error) => errors.push((error as Error).message) } satisfies Logger,
    onTurn,
    onFailed: (error) => {
      failures.push(error)
      onFailed?.()
    }
  })
  const submit = async (caches: readonly string[]): Promise<void> => {
    for (const cache of caches) {
      scheduler.submit(entry(cache), (output) => {
        answers.push(`${cache} ${output.ok ? 'ok' : output.code}`)
        if (cache === throws) fail(`${cache} threw`)
      })
    }
    await settle()
    nowMs += 7
    assert.equal(scheduler.turnMs, 0)
  }
  return { submit, answers, failures, runs: () => runs, errors }
}
