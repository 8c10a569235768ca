import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isMet } from './bench.ts'
import { pipelineFloor } from './chain-limits.ts'
import { median, medianRatio, quantile, summarize, timeRounds } from './stats.ts'
import { formatFigure, formatTable } from './table.ts'

describe('bench statistics', () => {
  it('interpolates as numpy does', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
    assert.equal(quantile([10, 20, 30, 40, 50], 0.95), 48)
    assert.equal(quantile([7], 0.3), 7)
    assert.throws(() => quantile([], 0.5), RangeError)
    assert.throws(() => quantile([1], 1.5), RangeError)
  })

  it('keeps its quantiles in order and within the values, whatever their order', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
        const { min, median, p95, max } = summarize('x', 'ms', values)
        // Not assert.equal, which tells 0 from -0.
        assert.ok(min === Math.min(...values) && max === Math.max(...values))
        assert.ok(min <= median && median <= p95 && p95 <= max)
        assert.ok(summarize('x', 'ms', [...values].reverse()).p95 === p95)
      })
    )
  })

  it('takes ratios round by round', () => {
    // The machine was three times slower in the second half: the ratio of the medians would be off, this is not.
    assert.equal(medianRatio([2, 2, 6, 6], [1, 1, 3, 3]), 2)
    assert.throws(() => medianRatio([1], []), RangeError)
  })

  it('measures every round and no warm-up', async () => {
    let calls = 0
    const times = await timeRounds(3, 2, () => {
      calls++
    })
    assert.equal(calls, 5)
    assert.equal(times.length, 3)
  })

  it('knows what a pipeline can do', () => {
    for (const [stages, chunks, cores, times] of [
      [4, 8, 1, 32],
      [4, 8, 2, 17],
      [4, 8, 4, 11],
      [4, 8, 64, 11],
      [4, 1, 2, 4],
      [1, 8, 2, 8]
    ] as const)
      assert.equal(pipelineFloor(stages, chunks, cores), times / (stages * chunks))
  })

  it('knows when a target is met', () => {
    assert.equal(isMet({ name: 'x', value: 1.1, limit: 1.1, kind: 'at-most' }), true)
    assert.equal(isMet({ name: 'x', value: 1.2, limit: 1.1, kind: 'at-most' }), false)
    assert.equal(isMet({ name: 'x', value: 0.9, limit: 1, kind: 'at-least' }), false)
    assert.equal(isMet({ name: 'x', value: NaN, limit: 1, kind: 'at-most' }), false)
  })

  it('prints tables in columns', () => {
    assert.deepEqual(
      formatTable(
        ['name', 'ms'],
        [
          ['a', '1.00'],
          ['long', '12.3']
        ]
      ),
      ['name    ms', '----  ----', 'a     1.00', 'long  12.3']
    )
    assert.deepEqual([1234.5, 12.345, 1.2345, 0.01234].map(formatFigure), ['1235', '12.3', '1.23', '0.012'])
  })
})
