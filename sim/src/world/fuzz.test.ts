import assert from 'node:assert/strict'
import type { SpanRuntime } from '@skein/node'
import { checkScenario } from '../scenario/check-scenario.ts'
import type { FaultTarget, Scenario, ScenarioFault } from '../scenario/scenario.ts'
import { drawWorld } from './draw-world.ts'
import { fuzz } from './fuzz.ts'
import { knownNames } from './known-names.ts'
import { shrink } from './shrink.ts'
import { StaleRows } from '../oracles/mutants.test-helper.ts'

const regionOf = (target: FaultTarget): string | undefined => ('region' in target ? target.region : undefined)

const isOfClients = (target: FaultTarget): boolean => 'client' in target || ('group' in target && target.group === 'clients')

describe('fuzz', () => {
  it('draws another world from each seed, and the same one from the same seed', () => {
    assert.deepEqual(drawWorld(7), drawWorld(7))
    const worlds = new Set(Array.from({ length: 50 }, (_, seed) => JSON.stringify({ ...drawWorld(seed), seed: 0 })))
    assert.equal(worlds.size, 50)
  })

  it('draws every kind of network, churn and fault, at times and again and again, and only what can be run', () => {
    const worlds = Array.from({ length: 400 }, (_, seed) => drawWorld(seed))
    assert.deepEqual(
      worlds.flatMap((world) => checkScenario(world, knownNames)),
      []
    )
    const kinds = (of: (world: Scenario) => ReadonlyArray<string | undefined>): string[] =>
      [...new Set(worlds.flatMap(of))].map((kind) => kind ?? 'none').sort()
    assert.deepEqual(
      kinds(({ network }) => [network.latency.kind]),
      ['constant', 'geographic', 'matrix', 'measured']
    )
    assert.deepEqual(
      kinds(({ nodes }) => nodes.map(({ churn }) => churn?.kind)),
      ['diurnal', 'none', 'renewal', 'trace']
    )
    assert.deepEqual(
      kinds(({ faults }) => faults.map(({ kind }) => kind)),
      ['clock-jump', 'corrupt', 'crash', 'freeze', 'full-disk', 'lie', 'partition', 'slow']
    )
    const faults = worlds.flatMap((world) => world.faults)
    const crashes = faults.filter((fault) => fault.kind === 'crash')
    assert.ok(crashes.some(({ target }) => 'region' in target))
    assert.ok(crashes.some(({ how }) => how === 'host'))
    assert.ok(faults.some(({ repeat }) => repeat !== undefined))
    const ofClients = worlds.filter(({ faults: drawn }) =>
      drawn.some((fault) => (fault.kind === 'crash' || fault.kind === 'freeze') && isOfClients(fault.target))
    )
    assert.ok(ofClients.length > 30 && ofClients.length < 100, `in ${ofClients.length} of 400 worlds clients crash or freeze`)
    const cutRegions = faults.flatMap((fault) => (fault.kind === 'partition' ? [fault.between.map(regionOf)] : []))
    for (const pair of [
      ['frankfurt', 'tokyo'],
      ['washington', 'frankfurt'],
      ['tokyo', 'washington']
    ] as const) {
      assert.ok(
        cutRegions.some((sides) => pair.every((region) => sides.includes(region))),
        pair.join()
      )
    }
    const conversations = worlds.flatMap(({ clients }) => clients.flatMap(({ workload }) => workload.conversation ?? []))
    assert.ok(conversations.length > 150 && conversations.length < 250, `${conversations.length} of 400 worlds have conversations`)
    assert.ok(conversations.some(({ roomTokens }) => roomTokens === undefined))
    assert.ok(conversations.some(({ stopShare }) => stopShare > 0))
    for (const { faults: drawn, allowLies } of worlds) assert.ok(allowLies || drawn.every(({ kind }) => kind !== 'lie'))
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

describe('fuzz, of a cut-back that keeps a stale row,', () => {
  it('finds it within ten worlds', async () => {
    const { failure } = await fuzz({ seeds: 10, maxShrinkRuns: 0, wrapRuntime: (runtime) => new StaleRows(runtime) })
    assert.equal(failure?.violation.oracle, 'answer')
    assert.ok(failure.drawn.clients.some(({ workload }) => workload.conversation !== undefined))
  }).timeout(60_000)
})

describe('shrink', () => {
  it('makes a fault of clients one of the first, so that it is left alone', async () => {
    const every: ScenarioFault = {
      kind: 'crash',
      target: { group: 'clients' },
      atMs: 1000,
      repeat: { everyMs: { kind: 'constant', value: 100 } }
    }
    const drawn = drawWorld(0)
    const of = (faults: ScenarioFault[]): Scenario => ({
      ...drawn,
      faults,
      clients: drawn.clients.map((group) => ({ ...group, count: 4 }))
    })
    for (const fault of [every, { ...every, target: { client: 3 } }]) {
      const smallest = await shrink(
        of([fault]),
        (scenario) => Promise.resolve(scenario.faults.length > 0 && checkScenario(scenario, knownNames).length === 0),
        500
      )
      assert.deepEqual(smallest.faults, [{ kind: 'crash', target: { client: 0 }, atMs: 1000 }])
      assert.equal(smallest.clients[0]?.count, 1)
    }
  })

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

  it('makes of a fault that comes again and again one that comes once, or less often where the failure needs more', async () => {
    const drawn = drawWorld(0)
    const every: ScenarioFault = {
      kind: 'freeze',
      target: { random: 1 },
      atMs: 1000,
      forMs: 500,
      repeat: { everyMs: { kind: 'constant', value: 100 } }
    }
    const scenario = { ...drawn, durationMs: 60_000, faults: [every] }
    const once = await shrink(scenario, ({ faults }) => Promise.resolve(faults.length > 0), 500)
    assert.deepEqual(once.faults, [{ kind: 'freeze', target: { random: 1 }, atMs: 1000, forMs: 500 }])
    const late = await shrink(scenario, ({ faults }) => Promise.resolve((faults[0]?.repeat?.untilMs ?? 0) > 9_000), 500)
    assert.ok((late.faults[0]?.repeat?.untilMs ?? Infinity) < 18_000)
  })
})
