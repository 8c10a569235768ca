import assert from 'node:assert/strict'
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
    assert.match(recoveryFailure(undefined, 5_000)[1], /within 5 s; generate again$/)
  })
})
