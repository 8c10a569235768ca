import assert from 'node:assert/strict'
import { clockCompliance, randomCompliance } from '@skein/protocol/testing'
import { seededRandom } from '@skein/protocol'
import fc from 'fast-check'
import { EventQueue } from './event-queue.ts'
import { VirtualClock } from './virtual-clock.ts'

describe('EventQueue', () => {
  it('gives events by time, and by seq within one instant', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10)), (times) => {
        const queue = new EventQueue()
        times.forEach((timeMs, seq) => queue.push({ timeMs, seq, run: () => {} }))
        const expected = times.map((timeMs, seq) => [timeMs, seq]).sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!)
        const popped = times.map(() => queue.pop()!).map(({ timeMs, seq }) => [timeMs, seq])
        assert.deepEqual(popped, expected)
        assert.equal(queue.pop(), undefined)
        assert.equal(queue.size, 0)
      })
    )
  })
})

describe('VirtualClock', () => {
  clockCompliance(() => {
    const clock = new VirtualClock()
    return { clock, pass: (ms) => clock.runUntil(clock.monotonicMs() + ms) }
  })

  it('ends what one event set off before the next one of the same instant', async () => {
    const clock = new VirtualClock()
    const log: string[] = []
    const chain = async (name: string): Promise<void> => {
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
      log.push(`${name} at ${clock.monotonicMs()}`)
    }
    clock.setTimer(10, () => void chain('first').then(() => chain('its follower')))
    clock.setTimer(10, () => void chain('second'))
    await clock.runToEnd()
    assert.deepEqual(log, ['first at 10', 'its follower at 10', 'second at 10'])
  })

  it('repeats a run exactly from its seed', async () => {
    const run = async (seed: number): Promise<string> => {
      const clock = new VirtualClock()
      const log: string[] = []
      const peer = async (name: string): Promise<void> => {
        const random = seededRandom(seed).fork(name)
        for (let turn = 0; turn < 20; turn++) {
          await clock.sleep(random.below(5))
          log.push(`${name} ${clock.monotonicMs()}`)
        }
      }
      const peers = Promise.all(['a', 'b', 'c'].map(peer))
      await clock.runToEnd()
      await peers
      assert.equal(clock.pendingTimers, 0)
      return log.join()
    }
    assert.equal(await run(1), await run(1))
    assert.notEqual(await run(1), await run(2))
  })

  it('hours pass in no time, and never backwards', async () => {
    const clock = new VirtualClock(0)
    await clock.runUntil(3_600_000)
    assert.equal(clock.wallMs(), 3_600_000)
    await assert.rejects(clock.runUntil(1), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(clock.runUntil(Infinity), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })
})

describe('the random numbers of a world', () => {
  randomCompliance(() => seededRandom('world').fork('peer 1'))
})
