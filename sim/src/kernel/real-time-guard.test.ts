import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, Server } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { BehindThePortsError, guardRealTime } from './real-time-guard.ts'
import { VirtualClock } from './virtual-clock.ts'

describe('the guard of real time', () => {
  const uses: ReadonlyArray<readonly [string, () => unknown]> = [
    ['globalThis.setTimeout', () => clearTimeout(setTimeout(() => {}, 1))],
    ['Date.now', () => Date.now()],
    ['new Date', () => new Date()],
    ['Date', () => Date()],
    ['performance.now', () => performance.now()],
    ['process.hrtime', () => process.hrtime()],
    ['process.hrtime.bigint', () => process.hrtime.bigint()],
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
    const before = [setTimeout, Date, Date.now, Math.random, process.hrtime, process.hrtime.bigint]
    const guard = guardRealTime()
    const clock = new VirtualClock()
    clock.setTimer(5, () => {})
    await clock.runUntil(1000)
    assert.ok(new Date(clock.wallMs()) instanceof Date)
    guard.check()
    guard.release()
    guard.release()
    assert.deepEqual([setTimeout, Date, Date.now, Math.random, process.hrtime, process.hrtime.bigint], before)
  })

  it('may be set several times: each finds what is done while it is set, and the last one puts everything back', () => {
    const before = Date.now
    const first = guardRealTime()
    const second = guardRealTime()
    first.release()
    assert.notEqual(Date.now, before)
    Date.now()
    const third = guardRealTime()
    assert.throws(() => second.release(), /Date\.now was called/)
    third.release()
    assert.equal(Date.now, before)
  })

  it('lets what is exempt do what it likes, and nothing before or after it', () => {
    const guard = guardRealTime()
    let server: Server | undefined
    guard.exempt(() => {
      Date.now()
      server = createServer().listen(0)
    })
    guard.check()
    server?.close()
    guard.exempt(() => guard.check())
    Math.random()
    guard.exempt(() => {})
    assert.throws(() => guard.release(), /Math\.random was called/)
  })

  it('finds a socket that was opened without a function of its list', async () => {
    const guard = guardRealTime()
    const server = new Server().listen(0)
    await once(server, 'listening')
    assert.throws(() => guard.release(), /something real: 1 more TCPServerWrap under way/)
    server.close()
  })
})
