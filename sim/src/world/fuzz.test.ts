import assert from 'node:assert/strict'
import type { SpanRuntime } from '@skein/node'
import { drawWorld } from './draw-world.ts'
import { fuzz } from './fuzz.ts'
import { shrink } from './shrink.ts'

describe('fuzz', () => {
  it('draws another world from each seed, and the same one from the same seed', () => {
    assert.deepEqual(drawWorld(7), drawWorld(7))
    const worlds = new Set(Array.from({ length: 50 }, (_, seed) => JSON.stringify({ ...drawWorld(seed), seed: 0 })))
    assert.equal(worlds.size, 50)
  })

  it('finds nothing in a few worlds', async () => {
    const { worlds, failure } = await fuzz({ seeds: 4 })
    assert.equal(failure, undefined)
    assert.equal(worlds, 4)
  }).timeout(60_000)

  it('finds a planted bug and makes its world small', async () => {
    // Every third release of a cache is forgotten.
    let releases = 0
    const wrapRuntime = (runtime: SpanRuntime): SpanRuntime => ({
      info: runtime.info,
      freeKvTokens: () => runtime.freeKvTokens(),
      reserve: (...args) => runtime.reserve(...args),
      run: (...args) => runtime.run(...args),
      release: (cache) => (++releases % 3 === 0 ? Promise.resolve() : runtime.release(cache)),
      stop: () => runtime.stop()
    })
    const { failure } = await fuzz({ seeds: 3, firstSeed: 20, maxShrinkRuns: 25, wrapRuntime })
    assert.ok(failure !== undefined, 'nothing was found')
    assert.equal(failure.smallestViolation.oracle, failure.violation.oracle)
    assert.equal(failure.violation.replay, `skein-sim fuzz --from ${failure.seed} --seeds 1`)
    assert.equal(failure.smallestViolation.replay, failure.violation.replay)
    assert.ok(JSON.stringify(failure.smallest).length < JSON.stringify(failure.drawn).length)
  }).timeout(60_000)
})

describe('shrink', () => {
  it('leaves what the failure needs and takes away the rest', async () => {
    let drawn = drawWorld(0)
    for (let seed = 1; drawn.faults.length < 4; seed++) drawn = drawWorld(seed)
    const kind = drawn.faults[2]?.kind
    const smallest = await shrink(drawn, (scenario) => Promise.resolve(scenario.faults.some((fault) => fault.kind === kind)), 500)
    assert.deepEqual(
      smallest.faults.map((fault) => fault.kind),
      [kind]
    )
    assert.equal(
      smallest.nodes.reduce((sum, { count }) => sum + count, 0),
      1
    )
    assert.equal(smallest.durationMs, 5_000)
    assert.equal(smallest.network.lossShare, 0)
  })
})
