import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { onAbort } from './abort.ts'

describe('onAbort', () => {
  it('calls all who wait, by one listener', () => {
    const { signal, abort } = withAbort()
    const called: number[] = []
    const ends = Array.from({ length: 40 }, (_, index) => onAbort(signal, () => called.push(index)))
    assert.equal(getEventListeners(signal, 'abort').length, 1)
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
    assert.equal(getEventListeners(signal, 'abort').length, 0)
    let called = 0
    onAbort(signal, () => called++)
    abort()
    assert.equal(called, 1)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('calls at once when the signal has fired', () => {
    let called = 0
    const end = onAbort(AbortSignal.abort(), () => called++)
    end()
    assert.equal(called, 1)
  })
})

function withAbort(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}
