import assert from 'node:assert/strict'
import type { BlockRange, Numerics, PeerId } from '@skein/protocol'
import fc from 'fast-check'
import { chooseChain, type ChainDecision, type ChooseChainOptions } from './choose-chain.ts'
import type { NodeView } from './swarm-view.ts'

const x64: Numerics = { weights: 'f32', kernels: 'x64' }
const arm: Numerics = { weights: 'f32', kernels: 'arm' }

function nodeView(peer: string, start: number, end: number, more: Partial<NodeView> = {}): NodeView {
  return {
    peer: peer as PeerId,
    span: { start, end },
    entryPoints: Array.from({ length: end - start + 1 }, (_, index) => start + index),
    numerics: x64,
    state: 'serving',
    stepMs: 10,
    rowsPerSecond: 1000,
    queuedRows: 0,
    freeKvTokens: 4096,
    roundTripMs: 2,
    failures: 0,
    ...more
  }
}

const all = (blocks: number): BlockRange => ({ start: 0, end: blocks })

function show(decision: ChainDecision): string {
  if (decision.kind === 'chain') return decision.stages.map(({ peer, span }) => `${peer}[${span.start},${span.end})`).join(' ')
  return `${decision.reason} ${decision.blocks.map(({ start, end }) => `[${start},${end})`).join(' ')}`
}

const choose = (nodes: NodeView[], blocks: number, options?: ChooseChainOptions): string =>
  show(chooseChain({ nodes }, all(blocks), options))

describe('chooseChain', () => {
  it('prefers the fewest stages, and of those the least latency', () => {
    const nodes = [
      nodeView('a', 0, 4),
      nodeView('b', 4, 8),
      nodeView('slow', 0, 8, { stepMs: 500 }),
      nodeView('far', 0, 8, { roundTripMs: 700 })
    ]
    assert.equal(choose(nodes, 8), 'slow[0,8)')
    assert.equal(choose(nodes, 8, { prefer: 'latency' }), 'a[0,4) b[4,8)')
  })

  it('uses a part of a span, between entry points only', () => {
    const nodes = [nodeView('a', 0, 5), nodeView('b', 3, 8, { entryPoints: [3, 4, 8] })]
    assert.match(choose(nodes, 8), /^a\[0,[34]\) b\[[34],8\)$/)
    assert.equal(choose([nodeView('a', 0, 5, { entryPoints: [0, 5] }), nodes[1] as NodeView], 8), 'no-match [3,5)')
  })

  it('takes the faster node for the blocks that two of them host', () => {
    const nodes = [nodeView('a', 0, 6, { stepMs: 60 }), nodeView('b', 2, 8, { stepMs: 6 })]
    assert.equal(choose(nodes, 8), 'a[0,2) b[2,8)')
  })

  it('strings nodes of different numerics together, and keeps to one that is asked for', () => {
    const nodes = [
      nodeView('a', 0, 4),
      nodeView('b', 4, 8, { numerics: arm }),
      nodeView('c', 4, 8),
      nodeView('d', 0, 4, { numerics: arm, stepMs: 90 })
    ]
    assert.equal(choose(nodes.slice(0, 2), 8), 'a[0,4) b[4,8)')
    assert.equal(choose(nodes, 8, { numerics: x64 }), 'a[0,4) c[4,8)')
    assert.equal(choose(nodes, 8, { numerics: arm }), 'd[0,4) b[4,8)')
    assert.equal(choose(nodes.slice(0, 2), 8, { numerics: arm }), 'no-node [0,4)')
  })

  it('leaves out who must not be used, is offline or has no room', () => {
    const nodes = [nodeView('a', 0, 8), nodeView('b', 0, 8, { stepMs: 90, freeKvTokens: 100 })]
    assert.equal(choose(nodes, 8, { exclude: new Set(['a' as PeerId]) }), 'b[0,8)')
    assert.equal(choose(nodes, 8, { exclude: new Set(['a' as PeerId]), kvTokens: 101 }), 'no-room [0,8)')
    assert.equal(choose([nodeView('a', 0, 8, { state: 'offline' })], 8), 'no-node [0,8)')
  })

  it('takes nodes that fail, drain or join only where there is nothing else', () => {
    const nodes = [
      nodeView('a', 0, 8, { state: 'draining' }),
      nodeView('b', 0, 8, { failures: 3 }),
      nodeView('c', 0, 4),
      nodeView('d', 4, 8)
    ]
    assert.equal(choose(nodes, 8), 'c[0,4) d[4,8)')
    assert.equal(choose(nodes.slice(0, 3), 8), 'b[0,8)')
    assert.equal(choose(nodes.slice(0, 1), 8), 'a[0,8)')
  })

  it('takes the first peer of equals, in whatever order they come', () => {
    assert.equal(choose([nodeView('b', 0, 8), nodeView('a', 0, 8), nodeView('c', 0, 8)], 8), 'a[0,8)')
    assert.equal(choose([nodeView('a', 0, 8), nodeView('a', 0, 8, { state: 'draining' }), nodeView('b', 0, 8)], 8), 'b[0,8)')
  })

  it('for latency alone, takes nodes with the same entry points before and after another', () => {
    const nodes = [nodeView('a', 0, 6, { stepMs: 600 }), nodeView('b', 0, 6, { stepMs: 660 }), nodeView('c', 2, 4, { stepMs: 1 })]
    assert.equal(choose(nodes, 6, { prefer: 'latency' }), 'a[0,2) c[2,4) b[4,6)')
    assert.equal(choose(nodes, 6), 'a[0,6)')
  })

  it('says which blocks nobody hosts', () => {
    assert.equal(choose([nodeView('a', 1, 3), nodeView('b', 5, 7)], 8), 'no-node [0,1) [3,5) [7,8)')
    assert.equal(choose([], 8), 'no-node [0,8)')
  })

  it('counts the queue and the way to the neighbours of a part', () => {
    const nodes = [
      nodeView('a', 2, 4, { queuedRows: 500 }),
      nodeView('b', 2, 4, { stepMs: 90 }),
      nodeView('p', 0, 2, { roundTripMs: 30 }),
      nodeView('n', 4, 8)
    ]
    const decision = chooseChain({ nodes }, { start: 2, end: 4 }, { predecessor: 'p' as PeerId, successor: 'n' as PeerId })
    assert.equal(show(decision), 'b[2,4)')
    assert.equal(decision.kind === 'chain' && decision.expectedStepMs, 15 + 1 + 90 + 1 + 1)
    assert.equal(decision.kind === 'chain' && decision.stages[0]?.numerics, x64)
  })

  it('never uses a node twice, though the way back to it were shorter', () => {
    const nodes = [nodeView('a', 0, 6, { stepMs: 600 }), nodeView('b', 2, 4, { stepMs: 1 }), nodeView('c', 4, 6, { stepMs: 150 })]
    assert.equal(choose(nodes, 6, { prefer: 'latency' }), 'a[0,2) b[2,4) c[4,6)')
    assert.equal(choose(nodes.slice(0, 2), 6, { prefer: 'latency' }), 'a[0,6)')
  })

  it('stays valid where more ways come back to a node than it looks at', () => {
    // Three nodes host all and are slow; small ones do every other block at once, so the shortest way goes to and fro.
    const small = Array.from({ length: 12 }, (_, index) => nodeView(`s${index}`, 2 * index, 2 * index + 1, { stepMs: 0, roundTripMs: 0 }))
    const large = ['a', 'b', 'c'].map((peer, third) =>
      nodeView(peer, 0, 24, {
        ...{ stepMs: 2400, roundTripMs: 0 },
        entryPoints: Array.from({ length: 25 }, (_, block) => block).filter((block) => block === 0 || block === 24 || block % 4 !== third)
      })
    )
    const { kind, ...decision } = chooseChain({ nodes: [...small, ...large] }, all(24), { prefer: 'latency' })
    assert.equal(kind, 'chain')
    const stages = 'stages' in decision ? decision.stages : []
    assert.equal(new Set(stages.map(({ peer }) => peer)).size, stages.length)
    assert.equal(stages.at(-1)?.span.end, 24)
    for (const [index, { span }] of stages.entries()) assert.equal(span.start, stages[index - 1]?.span.end ?? 0)
  })

  it('decides a swarm of a thousand nodes over eighty blocks', () => {
    const nodes = Array.from({ length: 1000 }, (_, index) => {
      const start = (index * 7) % 75
      return nodeView(`n${index}`, start, Math.min(80, start + 4 + (index % 9)), {
        roundTripMs: 5 + (index % 90),
        stepMs: 5 + (index % 31)
      })
    })
    for (const prefer of ['hops', 'latency'] as const) {
      const decision = chooseChain({ nodes }, all(80), { prefer })
      assert.equal(decision.kind, 'chain')
    }
  })
})

const blocks = 6
const anyNode = (peer: string): fc.Arbitrary<NodeView> =>
  fc
    .record({
      start: fc.nat(blocks - 1),
      length: fc.integer({ min: 1, max: blocks }),
      holes: fc.array(fc.nat(blocks), { maxLength: 3 }),
      numerics: fc.constantFrom(x64, x64, arm),
      state: fc.constantFrom('serving' as const, 'serving' as const, 'draining' as const, 'offline' as const),
      // Quarters and few values: sums are exact, and ties common.
      stepMs: fc.integer({ min: 0, max: 8 }).map((value) => value * 60),
      roundTripMs: fc.constantFrom(undefined, 0, 4, 100),
      freeKvTokens: fc.constantFrom(0, 10),
      failures: fc.constantFrom(0, 0, 1)
    })
    .map(({ start, length, holes, ...more }) => {
      const end = Math.min(blocks, start + length)
      const view = nodeView(peer, start, end, more)
      return { ...view, entryPoints: view.entryPoints.filter((point) => point === start || point === end || !holes.includes(point)) }
    })
const anySwarm = fc
  .integer({ min: 0, max: 5 })
  .chain((size) => fc.tuple(...Array.from({ length: size }, (_, index) => anyNode('abcde'.charAt(index)))))
const anyOptions = fc.record({ prefer: fc.constantFrom('hops' as const, 'latency' as const), kvTokens: fc.constantFrom(0, 5) })

/** Every chain there is, by trying all, and the cost of the cheapest: reluctance, hops, milliseconds. */
function bruteForce(nodes: readonly NodeView[], options: { prefer: 'hops' | 'latency'; kvTokens: number }): number[] | undefined {
  let best: number[] | undefined
  const half = (node: NodeView): number => (node.roundTripMs ?? 50) / 2
  const walk = (at: number, used: readonly NodeView[], cost: readonly [number, number, number]): void => {
    if (at === blocks) {
      const found = options.prefer === 'hops' ? [...cost] : [cost[0], 0, cost[2]]
      if (best === undefined || found.some((value, i) => value < (best?.[i] ?? 0) && found.slice(0, i).every((v, j) => v === best?.[j])))
        best = found
      return
    }
    for (const node of nodes) {
      if (node.state === 'offline' || node.freeKvTokens < options.kvTokens || used.includes(node) || !node.entryPoints.includes(at))
        continue
      for (const end of node.entryPoints.filter((point) => point > at)) {
        const ms = 2 * half(node) + (node.stepMs * (end - at)) / (node.span.end - node.span.start)
        const reluctance = node.failures + (node.state === 'serving' ? 0 : 1_000_000)
        walk(end, [...used, node], [cost[0] + reluctance, cost[1] + 1, cost[2] + ms])
      }
    }
  }
  walk(0, [], [0, 0, 0])
  return best
}

describe('chooseChain, against trying all', () => {
  it('finds the cheapest valid chain whenever there is one', () => {
    fc.assert(
      fc.property(anySwarm, anyOptions, (nodes, options) => {
        const decision = chooseChain({ nodes }, all(blocks), options)
        const best = bruteForce(nodes, options)
        assert.equal(decision.kind === 'chain', best !== undefined)
        if (decision.kind !== 'chain' || best === undefined) return
        let at = 0
        let reluctance = 0
        for (const { peer, span, numerics } of decision.stages) {
          const node = nodes.find((view) => view.peer === peer) as NodeView
          assert.equal(span.start, at)
          assert.ok(node.entryPoints.includes(span.start) && node.entryPoints.includes(span.end))
          assert.deepEqual(numerics, node.numerics)
          reluctance += node.failures + (node.state === 'serving' ? 0 : 1_000_000)
          at = span.end
        }
        assert.equal(at, blocks)
        assert.equal(new Set(decision.stages.map(({ peer }) => peer)).size, decision.stages.length)
        assert.equal(reluctance, best[0])
        if (options.prefer === 'hops') assert.equal(decision.stages.length, best[1])
        assert.ok(Math.abs(decision.expectedStepMs - (best[2] as number)) < 1e-9)
      }),
      { numRuns: 1500 }
    )
  })

  it('does not depend on the order of the nodes', () => {
    fc.assert(
      fc.property(
        anySwarm.chain((nodes) => fc.tuple(fc.constant(nodes), fc.shuffledSubarray(nodes, { minLength: nodes.length }))),
        anyOptions,
        ([nodes, shuffled], options) => {
          assert.deepEqual(chooseChain({ nodes: shuffled }, all(blocks), options), chooseChain({ nodes }, all(blocks), options))
        }
      ),
      { numRuns: 300 }
    )
  })

  it('names uncovered blocks inside what was wanted, ascending', () => {
    fc.assert(
      fc.property(anySwarm, anyOptions, (nodes, options) => {
        const decision = chooseChain({ nodes }, { start: 1, end: 5 }, options)
        if (decision.kind !== 'uncovered') return
        assert.ok(decision.blocks.length > 0)
        let at = 1
        for (const { start, end } of decision.blocks) {
          assert.ok(start >= at && end > start && end <= 5, show(decision))
          at = end
        }
      }),
      { numRuns: 500 }
    )
  })
})
