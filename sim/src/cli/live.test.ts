import assert from 'node:assert/strict'
import type { RealityRow } from '../live/reality.ts'
import { realityOutcome } from './live.ts'

const row = (changes: Partial<RealityRow>): RealityRow => ({
  setting: '2 stages, 5 ms',
  metric: 'tokensPerSecond',
  live: 10,
  simulated: 10.5,
  relativeError: 0.05,
  dominatedBy: 'network',
  goal: 0.1,
  met: true,
  calibrated: false,
  load: 1,
  ...changes
})

describe('the comparison with real runs', () => {
  const missed = row({ simulated: 14, relativeError: 0.4, met: false })

  it('fails when a prediction misses its goal, unless nobody checks', () => {
    const result = { calibrations: [], rows: [row({}), missed] }
    assert.equal(realityOutcome(result, true).failed, true)
    assert.equal(realityOutcome(result, false).failed, false)
    assert.equal(realityOutcome({ calibrations: [], rows: [row({})] }, true).failed, false)
    const { json, lines } = realityOutcome(result, true)
    assert.deepEqual(json, { ...result, predicted: 2, missed: 1 })
    assert.match(lines.join('\n'), /40\.0 % +10 % +missed[^]*1 of 2 predictions are within their goals$/)
  })

  it('does not hold what was calibrated to a goal, and holds a figure that is missing to it', () => {
    const { failed, json } = realityOutcome({ calibrations: [], rows: [{ ...missed, calibrated: true }] }, true)
    assert.equal(failed, false)
    assert.equal((json as { predicted: number }).predicted, 0)
    const { live: _live, relativeError: _error, ...rest } = missed
    assert.equal(realityOutcome({ calibrations: [], rows: [{ ...rest, live: undefined, relativeError: undefined }] }, true).failed, true)
  })
})
