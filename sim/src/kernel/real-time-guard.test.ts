import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { BehindThePortsError, guardRealTime } from './real-time-guard.ts'
import { VirtualClock } from './virtual-clock.ts'

describe('the guard of real time', () => {
  const uses: ReadonlyArray<readonly [string, () => unknown]> = [
    ['globalThis.setTimeout', () => clearTimeout(setTimeout(() => {}, 1))],
    ['Date.now', () => Date.now()],
    ['performance.now', () => performance.now()],
    ['Math.random', () => Math.random()],
    ['AbortSignal.timeout', () => AbortSignal.timeout(1)],
    ['node:crypto.randomBytes', () => randomBytes(1)],
    ['node:timers/promises.setTimeout', () => wait(1)],
    ['node:net.createServer', () => createServer()]
  ]
  for (const [name, use] of uses) {
    it(`finds ${name}, and where it was called`, () => {
      const guard = guardRealTime()
      use()
      assert.throws(
        () => guard.release(),
        (error) => {
          assert.ok(error instanceof BehindThePortsError)
          assert.ok(error.message.startsWith(`${name} was called`), error.message)
          assert.match(error.message, /real-time-guard\.test|called/)
          return true
        }
      )
      use()
    })
  }

  it('leaves a world alone that keeps to its ports, and everything as it was', async () => {
    const before = [setTimeout, Date.now, Math.random]
    const guard = guardRealTime()
    assert.throws(() => guardRealTime(), BehindThePortsError)
    const clock = new VirtualClock()
    clock.setTimer(5, () => {})
    await clock.runUntil(1000)
    guard.check()
    guard.release()
    guard.release()
    assert.deepEqual([setTimeout, Date.now, Math.random], before)
  })
})
