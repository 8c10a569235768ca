import assert from 'node:assert/strict'
import { clockCompliance } from './clock-compliance.ts'
import { ManualClock } from './manual-clock.ts'

describe('ManualClock', () => {
  clockCompliance(() => {
    const clock = new ManualClock()
    return { clock, pass: (ms) => clock.advanceAsync(ms) }
  })

  it('stands still until it is advanced, and fires at the exact times', () => {
    const clock = new ManualClock(5000)
    const firedMs: number[] = []
    clock.setTimer(7, () => {
      firedMs.push(clock.monotonicMs())
      clock.setTimer(3, () => firedMs.push(clock.monotonicMs()))
    })
    clock.advance(6.5)
    assert.deepEqual(firedMs, [])
    clock.advance(10)
    assert.deepEqual(firedMs, [7, 10])
    assert.equal(clock.monotonicMs(), 16.5)
    assert.equal(clock.wallMs(), 5016.5)
    assert.equal(clock.pendingTimers, 0)
  })

  it('lets promise chains run at the time of the timer that woke them', async () => {
    const clock = new ManualClock()
    const wokenMs: number[] = []
    const run = async (): Promise<void> => {
      for (let turn = 0; turn < 3; turn++) {
        await clock.sleep(10)
        wokenMs.push(clock.monotonicMs())
      }
    }
    const done = run()
    await clock.advanceAsync(100)
    await done
    assert.deepEqual(wokenMs, [10, 20, 30])
  })

  it('jumps its wall clock without moving timers', () => {
    const clock = new ManualClock(1000)
    clock.jumpWall(-500)
    assert.equal(clock.wallMs(), 500)
    assert.equal(clock.monotonicMs(), 0)
    assert.throws(() => clock.advance(-1), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })
})
