import assert from 'node:assert/strict'
import { chainDefaults } from './chain-options.ts'
import { Checkup } from './checkup.ts'
import { Roster } from './roster.ts'

/** A row of the step under way is worth so much patience. */
const patienceMs = 300

/** After how long a silence a chain is looked after whose results took so long, in order. */
function checkedAfterMs(tookMs: readonly number[], stepPatienceMs = patienceMs): number {
  const checkup = new Checkup({
    roster: new Roster(false),
    options: chainDefaults,
    patienceMs: () => stepPatienceMs,
    sentSeq: () => 0,
    receivedSeq: () => 0
  })
  let nowMs = 0
  for (const ms of tookMs) {
    checkup.schedule(nowMs, true)
    nowMs += ms
    checkup.progressed(nowMs, false)
    assert.equal(checkup.wakeAtMs, undefined, 'nobody waits')
    // What the caller does meanwhile is not the chain's time.
    nowMs += 60_000
  }
  checkup.schedule(nowMs, true)
  return checkup.wakeAtMs! - nowMs
}

describe('Checkup', () => {
  const { checkAfterMs, leastCheckMs } = chainDefaults

  it('is due after a silence that is long for this chain', () => {
    const answer = (ms: number): number[] => Array.from({ length: 30 }, () => ms)
    assert.equal(checkedAfterMs(answer(20)), leastCheckMs)
    assert.ok(Math.abs(checkedAfterMs(answer(300)) - (5 * 300 + patienceMs)) < 1)
    assert.equal(checkedAfterMs(answer(2_000)), checkAfterMs)
  })

  it('waits longer before the first result, and for large steps', () => {
    assert.equal(checkedAfterMs([]), checkAfterMs)
    assert.equal(checkedAfterMs([20, 20, 20], 40_000), checkAfterMs)
  })

  it('learns from results that follow each other while others are under way', () => {
    const checkup = new Checkup({
      roster: new Roster(false),
      options: chainDefaults,
      patienceMs: () => 0,
      sentSeq: () => 0,
      receivedSeq: () => 0
    })
    checkup.schedule(0, true)
    for (let nowMs = 100; nowMs <= 4_000; nowMs += 100) checkup.progressed(nowMs, true)
    assert.equal(checkup.wakeAtMs, 4_000 + leastCheckMs)
  })
})
