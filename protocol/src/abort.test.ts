import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { onAbort, raceAbort } from './abort.ts'
import { AbortError, TimeoutError } from './errors.ts'
import { drainMicrotasks } from './testing/manual-clock.ts'

describe('onAbort', () => {
  it('calls all who wait, by one listener', () => {
    const { signal, abort } = withAbort()
    const called: number[] = []
    const ends = Array.from({ length: 40 }, (_, index) => onAbort(signal, () => called.push(index)))
    assert.equal(listeners(signal), 1)
    ends.forEach((end, index) => {
      if (index >= 3) end()
    })
    abort()
    assert.deepEqual(called, [0, 1, 2])
    for (const end of ends) end()
  })

  it('leaves no listener behind, and listens again for who comes later', () => {
    const { signal, abort } = withAbort()
    onAbort(signal, () => assert.fail('it had left'))()
    assert.equal(listeners(signal), 0)
    let called = 0
    onAbort(signal, () => called++)
    abort()
    assert.equal(called, 1)
    assert.equal(listeners(signal), 0)
  })

  it('calls at once when the signal has fired', () => {
    let called = 0
    const end = onAbort(AbortSignal.abort(), () => called++)
    end()
    assert.equal(called, 1)
  })
})

describe('raceAbort', () => {
  it('waits for many by one listener, and leaves none when they have settled', async () => {
    const { signal } = withAbort()
    const { settle, waits } = manyWaits(signal)
    assert.equal(listeners(signal), 1)
    settle()
    const outcomes = await Promise.allSettled(waits)
    assert.deepEqual(outcomes[0], { status: 'fulfilled', value: 0 })
    assert.deepEqual(outcomes[1], { status: 'rejected', reason: 1 })
    assert.equal(listeners(signal), 0)
  })

  it('gives up all waits when the signal fires, and leaves no listener', async () => {
    const { signal, abort } = withAbort()
    const { waits } = manyWaits(signal)
    abort()
    for (const wait of waits) await assert.rejects(wait, AbortError)
    assert.equal(listeners(signal), 0)
  })

  it('throws the reason of a signal that has fired, and not what is there already', async () => {
    const foreign = new Error('the window was closed')
    await assert.rejects(raceAbort(Promise.resolve(1), AbortSignal.abort(foreign)), (error: unknown) => {
      return error instanceof AbortError && error.cause === foreign
    })
    const own = new TimeoutError('it took too long')
    await assert.rejects(raceAbort(Promise.resolve(1), AbortSignal.abort(own)), (error: unknown) => error === own)
  })

  it('takes care of a promise that is rejected after the signal has fired', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', note)
    const { signal, abort } = withAbort()
    const { settle, waits } = manyWaits(signal)
    abort()
    waits.push(raceAbort(Promise.reject(new Error('late')), signal))
    settle()
    await Promise.allSettled(waits)
    await drainMicrotasks()
    process.off('unhandledRejection', note)
    assert.deepEqual(unhandled, [])
  })

  it('is the promise itself where there is no signal', () => {
    const promise = Promise.resolve(1)
    assert.equal(raceAbort(promise, undefined), promise)
  })
})

function withAbort(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length
}

/** Promises that wait for the signal; `settle` resolves every second one with its index, and rejects the others with theirs. */
function manyWaits(signal: AbortSignal): { waits: Promise<number>[]; settle: () => void } {
  const ends: (() => void)[] = []
  const waits = Array.from({ length: 40 }, (_, index) => {
    const promise = new Promise<number>((resolve, reject) => ends.push(() => (index % 2 === 0 ? resolve : reject)(index)))
    return raceAbort(promise, signal)
  })
  return { waits, settle: () => ends.forEach((end) => end()) }
}
