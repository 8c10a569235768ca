import assert from 'node:assert/strict'
import type { PeerId } from '@skein/protocol'
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

  it('blames the last place at which less comes out than goes in: those before it may be waiting for it', () => {
    /** What is at fault when the two stages of a chain have taken and computed so much of nine steps. */
    const culprit = (first: readonly [number, number], second: readonly [number, number], received: number): string => {
      const roster = new Roster(false)
      const spans = [first, second].map((_, index) => ({ start: 3 * index, end: 3 * index + 3 }))
      roster.slots = [first, second].map(([acceptedSeq, lastSeq], index) => {
        const peer = `stage ${index + 1}` as PeerId
        const record = roster.create({ peer, span: spans[index]!, numerics: { weights: 'f32', kernels: 'k' } }, 0)
        const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
        const rest = { load, turnMs: 0, historyFrom: 0, sentSeq: 0, acknowledgedSeq: 0 }
        record.state = { type: 'state', id: 1, acceptedSeq, held: { rows: 0, lastSeq, tail: [] }, ...rest }
        return record
      })
      roster.relink()
      const checkup = new Checkup({ roster, options: chainDefaults, patienceMs: () => 0, sentSeq: () => 9, receivedSeq: () => received })
      let found: ReturnType<Checkup['answered']>
      for (const nowMs of [0, chainDefaults.stuckAfterMs]) {
        checkup.begin()
        found = checkup.answered(nowMs, true)
      }
      if (found === undefined) return 'nobody'
      return found.kind === 'stage' ? found.stage.peer : `the link from ${found.link.from} to ${found.link.to}`
    }
    assert.equal(culprit([5, 3], [2, 2], 2), 'the link from 1 to 2', 'the stages before are full')
    assert.equal(culprit([5, 3], [3, 1], 1), 'stage 2')
    assert.equal(culprit([5, 3], [3, 3], 3), 'stage 1')
    assert.equal(culprit([3, 3], [3, 3], 3), 'the link from 0 to 1')
    assert.equal(culprit([9, 9], [9, 9], 8), 'the link from 2 to 0')
    assert.equal(culprit([9, 9], [9, 9], 9), 'nobody')
  })
})
