import assert from 'node:assert/strict'
import { seededRandom } from '@skein/protocol/testing'
import type { PeerId } from '@skein/protocol'
import fc from 'fast-check'
import type { CostedNode } from './cost.ts'
import { leadingNodes } from './leading-nodes.ts'
import { shortestChain } from './shortest-chain.ts'

type Terms = Omit<CostedNode, 'node' | 'hops'>

function costed(peer: string, entryPoints: readonly number[], terms: Terms): CostedNode {
  const span = { start: entryPoints[0]!, end: entryPoints.at(-1)! }
  const numerics = { weights: 'f32', kernels: 'x64' } as const
  const load = { stepMs: 0, rowsPerSecond: 0, queuedRows: 0, freeKvTokens: 0 }
  return { node: { peer: peer as PeerId, span, entryPoints, numerics, state: 'serving', ...load, failures: 0 }, hops: 1, ...terms }
}

const free: Terms = { reluctance: 0, fixedMs: 0, msPerBlock: 0, arriveMs: 0, departMs: 0 }
const peersOf = (nodes: readonly CostedNode[]): string => nodes.map(({ node }) => node.peer).join('')

describe('leadingNodes', () => {
  it('keeps of a kind those that may be the cheapest, in their order', () => {
    const kind = (peer: string, terms: Partial<Terms>): CostedNode => costed(peer, [0, 2, 4], { ...free, ...terms })
    const ways = { arriveMs: 5, departMs: 5 }
    const nodes = [
      kind('a', { reluctance: 1 }),
      kind('b', { msPerBlock: 9 }),
      kind('c', { msPerBlock: 9 }),
      kind('d', { ...ways, msPerBlock: 4 }),
      costed('e', [0, 4], { ...free, msPerBlock: 20 }),
      kind('f', { ...ways, msPerBlock: 5 }),
      kind('g', { ...ways, msPerBlock: 3, fixedMs: 1 })
    ]
    assert.equal(peersOf(leadingNodes(nodes)), 'bdeg')
  })

  it('keeps the first of those that only rounding makes alike', () => {
    const exact = costed('a', [0, 1], { ...free, arriveMs: 1e9, msPerBlock: 2e-9 })
    const less = costed('b', [0, 1], { ...free, arriveMs: 1e9, msPerBlock: 1e-9 })
    assert.equal(shortestChain([exact, less], { start: 0, end: 1 }, free)?.stages[0]?.node.peer, 'a')
    assert.equal(peersOf(leadingNodes([exact, less])), 'ab')
  })

  it('leaves few of a swarm of a thousand', () => {
    const random = seededRandom('leading')
    const nodes = Array.from({ length: 1000 }, (_, index) => {
      const start = 16 * (index % 5)
      const halfWayMs = index % 10 === 0 ? random.below(200) : 25
      return costed(
        String(index).padStart(3, '0'),
        Array.from({ length: 17 }, (_, block) => start + block),
        { ...free, msPerBlock: random.below(1e9), arriveMs: halfWayMs, departMs: halfWayMs }
      )
    })
    const leading = leadingNodes(nodes)
    assert.ok(leading.length < 100, `${leading.length} lead`)
    assert.deepEqual(shortestChain(leading, { start: 0, end: 80 }, free), shortestChain(nodes, { start: 0, end: 80 }, free))
  })

  it('compares with no more leaders than any kind has, and keeps every node behind them', () => {
    const names = Array.from({ length: 300 }, (_, index) => String(index).padStart(3, '0'))
    const faster = names.map((name, index) => costed(name, [0, 4], { ...free, msPerBlock: 1_000 - index }))
    const slower = names.map((name) => costed(`x${name}`, [0, 4], { ...free, msPerBlock: 2_000 }))
    assert.equal(leadingNodes([...faster, ...slower]).length, 600)
    assert.equal(leadingNodes([...faster.slice(0, 63), ...slower]).length, 63)
  })

  it('tells no more kinds apart than any swarm has, and keeps every node of the others', () => {
    const madeUp = Array.from({ length: 1000 }, (_, index) =>
      costed(String(index).padStart(3, '0'), [0, ...Array.from({ length: 10 }, (_, bit) => 2 * bit + 1 + ((index >> bit) & 1)), 21], free)
    )
    const again = madeUp.map(({ node, ...terms }) => costed(`x${node.peer}`, node.entryPoints, terms))
    assert.equal(leadingNodes([...madeUp, ...again]).length, 2000 - 64)
  })
})

/** Few values, so that ties are common, and such as that sums of them are rounded to others' sums. */
const anyMs = fc.constantFrom(0, 0, 1, 1, 1 + Number.EPSILON, 0.3, 0.1 + 0.2)
const anyTerms = fc.record({
  reluctance: fc.constantFrom(0, 0, 0, 1, 2, 1_000_000),
  ...{ fixedMs: anyMs, msPerBlock: anyMs, arriveMs: anyMs, departMs: anyMs }
})
/** Of six blocks; the same ones come often. */
const anyEntryPoints = fc.constantFrom(
  [0, 1, 2, 3],
  [0, 3],
  [0, 1, 3],
  [0, 2, 3],
  [2, 3, 4, 5],
  [3, 4, 6],
  [3, 5, 6],
  [0, 1, 2, 3, 4, 5, 6]
)
const anyNodes = fc
  .array(fc.tuple(anyEntryPoints, anyTerms), { maxLength: 14 })
  .map((drawn) => drawn.map(([entryPoints, terms], index) => costed('abcdefghijklmn'.charAt(index), entryPoints, terms)))
const anyWanted = fc.constantFrom({ start: 0, end: 6 }, { start: 0, end: 3 }, { start: 1, end: 5 })

describe('leadingNodes, against the search among all nodes', () => {
  it('makes no difference to the chain, nor to which of equals are in it', () => {
    fc.assert(
      fc.property(anyNodes, anyWanted, fc.record({ departMs: anyMs, arriveMs: anyMs }), (nodes, wanted, ends) => {
        assert.deepEqual(shortestChain(leadingNodes(nodes), wanted, ends), shortestChain(nodes, wanted, ends))
      }),
      { numRuns: 3000 }
    )
  })
})
