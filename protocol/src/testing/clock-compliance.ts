import assert from 'node:assert/strict'
import { AbortError, TimeoutError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'

export interface ClockComplianceSetup {
  readonly clock: Clock
  /** Lets the time pass: real clocks wait, virtual ones are advanced. */
  pass(ms: number): Promise<void>
}

/** What every implementation of the {@link Clock} port must do. Call it inside a `describe`. */
export function clockCompliance(setup: () => ClockComplianceSetup): void {
  describe('clock compliance', () => {
    let clock: Clock
    let pass: (ms: number) => Promise<void>

    beforeEach(() => {
      ;({ clock, pass } = setup())
    })

    it('moves both of its times forward', async () => {
      const monotonicMs = clock.monotonicMs()
      const wallMs = clock.wallMs()
      await pass(20)
      assert.ok(clock.monotonicMs() >= monotonicMs + 19)
      assert.ok(clock.wallMs() >= wallMs + 10)
    })

    it('fires timers in the order of their times, and equal ones as they were set', async () => {
      const fired: string[] = []
      clock.setTimer(30, () => fired.push('late'))
      clock.setTimer(10, () => fired.push('early'))
      clock.setTimer(10, () => fired.push('early too'))
      clock.setTimer(0, () => fired.push('at once'))
      assert.deepEqual(fired, [])
      await pass(60)
      assert.deepEqual(fired, ['at once', 'early', 'early too', 'late'])
    })

    it('does not fire before its time, and not after a cancel', async () => {
      const startMs = clock.monotonicMs()
      let firedMs: number | undefined
      let cancelled = true
      clock.setTimer(15, () => (firedMs = clock.monotonicMs()))
      const cancel = clock.setTimer(10, () => (cancelled = false))
      cancel()
      cancel()
      await pass(50)
      assert.ok(firedMs !== undefined && firedMs - startMs >= 14.999)
      assert.ok(cancelled)
    })

    it('takes a negative delay as none, refuses NaN, never fires at infinity', async () => {
      let fired = 0
      clock.setTimer(-5, () => fired++)
      const cancel = clock.setTimer(Infinity, () => fired++)
      assert.throws(() => clock.setTimer(NaN, () => {}), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
      await pass(10)
      cancel()
      assert.equal(fired, 1)
    })

    it('does not fire at once a timer that is longer than 32 bits of milliseconds', async () => {
      let fired = false
      const cancel = clock.setTimer(2 ** 31 + 5000, () => (fired = true))
      await pass(10)
      cancel()
      assert.equal(fired, false)
    })

    it('sleeps, and stops sleeping when its signal fires', async () => {
      const slept = clock.sleep(10)
      const controller = new AbortController()
      const aborted = assert.rejects(clock.sleep(1e6, { signal: controller.signal }), AbortError)
      controller.abort()
      await aborted
      await assert.rejects(clock.sleep(0, { signal: controller.signal }), AbortError)
      await pass(40)
      await slept
    })

    it('gives deadlines that say what took too long', async () => {
      const deadline = clock.deadline(10, 'the answer')
      assert.equal(deadline.signal.aborted, false)
      await pass(40)
      assert.ok(deadline.signal.reason instanceof TimeoutError)
      assert.match(deadline.signal.reason.message, /the answer/)
      assert.equal(deadline.signal.reason.detail.timeoutMs, 10)
    })

    it('clears deadlines, and hands on the reason of their parent', async () => {
      const cleared = clock.deadline(10, 'nothing')
      cleared.clear()
      const parent = new AbortController()
      const child = clock.deadline(1e6, 'nothing', parent.signal)
      const reason = new AbortError('given up')
      parent.abort(reason)
      assert.equal(child.signal.reason, reason)
      assert.equal(clock.deadline(1e6, 'nothing', parent.signal).signal.reason, reason)
      await pass(40)
      assert.equal(cleared.signal.aborted, false)
    })
  })
}
