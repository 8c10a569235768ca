import assert from 'node:assert/strict'
import type { PeerId } from '@skein/protocol'
import { openFailure, recoveryFailure } from './chain-failure.ts'
import type { Gap } from './roster.ts'

describe('why a chain ends', () => {
  const gap = (more: Partial<Gap>): Gap => ({ span: { start: 4, end: 8 }, ...more }) as Gap

  it('is said with the blocks and what to do, whatever the last search found', () => {
    const cases: Array<[more: Partial<Gap>, message: string, start: number]> = [
      [{}, 'nobody serves blocks 4:8, waited 5 s; start a node with --blocks 4:8', 4],
      [{ uncovered: [] }, 'nobody serves blocks 4:8, waited 5 s; start a node with --blocks 4:8', 4],
      [{ uncovered: [{ start: 5, end: 6 }] }, 'nobody serves blocks 5:6, waited 5 s; start a node with --blocks 5:6', 5],
      [
        {
          uncovered: [
            { start: 5, end: 6 },
            { start: 7, end: 8 }
          ]
        },
        'nobody serves blocks 5:6, 7:8, waited 5 s; start a node with --blocks 5:6',
        5
      ]
    ]
    for (const [more, message, start] of cases) {
      const [code, said, detail] = recoveryFailure(gap(more), 5_000)
      assert.deepEqual([code, said, detail['start']], ['ERR_SKEIN_NO_COVERAGE', message, start])
    }
    assert.deepEqual(openFailure(gap({}), undefined)[1], 'nobody serves blocks 4:8; start a node with --blocks 4:8')
    const refused = { type: 'refused', id: 1, message: 'two sessions are enough', detail: { sessions: 2 }, peer: 'anna' as PeerId } as const
    assert.deepEqual(recoveryFailure(gap({ uncovered: [] }), 5_000, { ...refused, code: 'ERR_SKEIN_BUSY' }), [
      'ERR_SKEIN_BUSY',
      'no node takes blocks 4:8, waited 5 s; anna refused: two sessions are enough',
      { sessions: 2, start: 4, end: 8, peer: 'anna' }
    ])
    // It was why the stage was lost, and not why nobody took its place.
    assert.equal(recoveryFailure(gap({}), 5_000, { ...refused, code: 'ERR_SKEIN_LEASE_EXPIRED' })[0], 'ERR_SKEIN_NO_COVERAGE')
    assert.match(recoveryFailure(undefined, 5_000)[1], /within 5 s; generate again$/)
  })
})
