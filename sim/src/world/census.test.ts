import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import { Census } from './census.ts'

const blocks = 6

describe('the census of a world', () => {
  it('says what a look at every node would', () => {
    const span = fc
      .tuple(fc.nat(blocks - 1), fc.integer({ min: 1, max: 3 }))
      .map(([start, length]) => ({ start, end: Math.min(blocks, start + length) }))
    const change = fc.record({ node: fc.nat(4), isServing: fc.boolean(), passesMs: fc.nat(20) })
    fc.assert(
      fc.property(fc.array(span, { minLength: 5, maxLength: 5 }), fc.array(change, { maxLength: 40 }), (spans, changes) => {
        const census = new Census(blocks)
        const since = new Map<number, number>()
        let nowMs = 0
        for (const { node, isServing, passesMs } of changes) {
          nowMs += passesMs
          // Some had come a while before they serve.
          const cameMs = nowMs - (node % 2) * 7
          census.set(node, spans[node]!, isServing, cameMs)
          if (!isServing) since.delete(node)
          else if (!since.has(node)) since.set(node, cameMs)
          const least = (nodes: number[]): number =>
            Math.min(
              ...Array.from({ length: blocks }, (_, block) => nodes.filter((n) => spans[n]!.start <= block && block < spans[n]!.end).length)
            )
          assert.equal(census.serving, since.size)
          assert.equal(census.leastCoverage(), least([...since.keys()]))
          const settledMs = nowMs - 30
          assert.equal(census.leastSettledCoverage(settledMs), least([...since].filter(([, ms]) => ms <= settledMs).map(([n]) => n)))
        }
      })
    )
  })
})
