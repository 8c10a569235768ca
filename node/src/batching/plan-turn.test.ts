import assert from 'node:assert/strict'
import fc from 'fast-check'
import { planTurn, planTurnDefaults, type WaitingEntry } from './plan-turn.ts'

const waiting = fc.array(fc.record({ cache: fc.constantFrom('a', 'b', 'c', 'd', 'e'), rows: fc.constantFrom(1, 2, 8, 9, 512) }), {
  maxLength: 30
})

describe('planTurn', () => {
  it('takes the decode steps of all sessions and one chunk', () => {
    const queue = [
      { cache: 'chunk', rows: 128 },
      { cache: 'a', rows: 1 },
      { cache: 'other-chunk', rows: 128 },
      { cache: 'b', rows: 1 },
      { cache: 'a', rows: 1 }
    ]
    assert.deepEqual(planTurn(queue), [0, 1, 3])
  })

  it('never lets a step of a session overtake an earlier one of the same session', () => {
    const queue = [
      { cache: 'x', rows: 128 },
      { cache: 'a', rows: 128 },
      { cache: 'a', rows: 1 }
    ]
    assert.deepEqual(planTurn(queue), [0])
  })

  it('always makes progress with the oldest entry, takes a session once, and stays within its bounds', () => {
    fc.assert(
      fc.property(waiting, (queue: WaitingEntry[]) => {
        const options = { ...planTurnDefaults, maxSmallEntries: 3 }
        const chosen = planTurn(queue, options)
        assert.equal(chosen[0], queue.length === 0 ? undefined : 0)
        const caches = chosen.map((index) => queue[index]?.cache)
        assert.equal(new Set(caches).size, chosen.length)
        for (const index of chosen)
          assert.equal(
            queue.findIndex((entry) => entry.cache === queue[index]?.cache),
            index
          )
        assert.ok(chosen.filter((index) => (queue[index]?.rows ?? 0) <= options.smallRows).length <= 3)
        assert.ok(chosen.filter((index) => (queue[index]?.rows ?? 0) > options.smallRows).length <= 1)
      })
    )
  })
})
