import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { raceAbort } from '../abort.ts'
import { AbortError, TimeoutError } from '../errors.ts'
import { drainMicrotasks } from '../testing/manual-clock.ts'
import { Stopper } from './stopper.ts'

/** A task that runs until it is told to end or its signal fires. */
class Task {
  signal!: AbortSignal
  end!: () => void

  readonly run = async (signal: AbortSignal): Promise<void> => {
    this.signal = signal
    await raceAbort(new Promise<void>((resolve) => (this.end = resolve)), signal)
  }
}

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

describe('Stopper', () => {
  it('gives tasks without a caller one signal and one listener, which is gone when they have ended', async () => {
    const stopper = new Stopper()
    const tasks = Array.from({ length: 40 }, () => new Task())
    const runs = tasks.map(({ run }) => stopper.run(undefined, run))
    const { signal } = tasks[0]!
    for (const task of tasks) assert.equal(task.signal, signal)
    assert.equal(listeners(signal), 1)
    for (const task of tasks) task.end()
    await Promise.all(runs)
    assert.equal(listeners(signal), 0)
  })

  it('ends the one task whose caller gives it up, and no other', async () => {
    const stopper = new Stopper()
    const callers = [new AbortController(), new AbortController(), undefined]
    const tasks = callers.map(() => new Task())
    const runs = callers.map((caller, index) => stopper.run(caller?.signal, tasks[index]!.run))
    const reason = new TimeoutError('the caller has waited long enough')
    callers[0]!.abort(reason)
    await assert.rejects(runs[0]!, (error: unknown) => error === reason)
    assert.deepEqual(
      tasks.map(({ signal }) => signal.aborted),
      [true, false, false]
    )
    for (const task of tasks) task.end()
    await Promise.all(runs.slice(1))
    for (const signal of [callers[0]!.signal, callers[1]!.signal, tasks[2]!.signal]) assert.equal(listeners(signal), 0)
  })

  it('fires every signal when it stops, also those of tasks that begin later', async () => {
    const stopper = new Stopper()
    const callers = [undefined, new AbortController().signal]
    const runs = callers.map((caller) => stopper.run(caller, new Task().run))
    void stopper.stop()
    assert.ok(stopper.stopped)
    runs.push(...callers.map((caller) => stopper.run(caller, new Task().run)))
    for (const run of runs) await assert.rejects(run, (error: unknown) => error instanceof AbortError && /has stopped/.test(error.message))
    for (const caller of callers) assert.ok(await stopper.run(caller, (signal) => Promise.resolve(signal.aborted)))
  })

  it('waits for all tasks when it stops, however they end', async () => {
    const { signal } = new AbortController()
    // Whichever ends last is waited for.
    for (const callers of [
      [undefined, signal],
      [signal, undefined]
    ]) {
      const stopper = new Stopper()
      let ended = 0
      const runs = callers.map((caller, index) =>
        stopper.run(caller, async (stopping) => {
          await new Task().run(stopping).catch(() => {})
          for (let pause = 0; pause <= index; pause++) await drainMicrotasks()
          ended++
          throw new Error('it failed on the way')
        })
      )
      const outcomes = Promise.allSettled(runs)
      await stopper.stop()
      assert.equal(ended, 2)
      await outcomes
    }
  })
})
