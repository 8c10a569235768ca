import assert from 'node:assert/strict'
import { isSkeinError, SkeinError } from '@skein/protocol'
import { checkFailure } from '../oracles/checks.ts'
import type { ClientGroup, Distribution, ScenarioFault } from '../scenario/scenario.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'
import type { World } from './world.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })
const exponential = (mean: number): Distribution => ({ kind: 'exponential', mean })

/** Caches that nodes hold for a client. */
function held(world: World, client = 0): number {
  return world.nodes.reduce((sum, node) => sum + node.cachesOf(world.client(client).peer).length, 0)
}

/** A long answer is under way when the fault comes. */
async function struck(fault: ScenarioFault, partial: PartialScenario = {}) {
  const world = simulate({ scenario: defineScenario({ durationMs: 300_000, ...partial }) })
  await world.runFor(5_000)
  const asked = world.client(0).generate({ outputTokens: 400 })
  await world.runFor(3_000)
  assert.equal(held(world), 3)
  world.inject(fault)
  return { world, asked }
}

const target = { client: 0 } as const

describe('a client that crashes', () => {
  for (const how of ['process', 'host'] as const) {
    it(`ends what it is being answered, and nodes free what they hold for it (${how})`, async () => {
      const { world, asked } = await struck({ kind: 'crash', atMs: 0, target, how })
      const beganMs = world.nowMs
      const answer = await world.runUntil(asked)
      assert.deepEqual([answer.outcome, world.nowMs, world.client(0).isUp], ['unfinished', beganMs, false])
      assert.ok(answer.tokens.length > 0)
      assert.deepEqual(answer.tokens, answer.expected.slice(0, answer.tokens.length))
      await world.runFor(1_000)
      // Of a process that is killed its host says so; of a host that is gone nobody.
      assert.equal(held(world), how === 'process' ? 0 : 3)
      await world.runFor(20_000)
      assert.equal(held(world), 0)
      assert.equal((await world.runUntil(world.client(0).generate())).outcome, 'unfinished')
      assert.deepEqual((await world.run()).violations, [])
    })
  }

  it('comes back as another process of the same peer, which is answered', async () => {
    const { world, asked } = await struck({ kind: 'crash', atMs: 0, target, how: 'host', restartAfterMs: 2_000 })
    assert.equal((await world.runUntil(asked)).outcome, 'unfinished')
    await world.runFor(2_500)
    assert.deepEqual([world.client(0).isUp, world.client(0).life], [true, 2])
    const answer = await world.runUntil(world.client(0).generate({ outputTokens: 50 }))
    assert.deepEqual([answer.outcome, answer.tokens], ['completed', answer.expected])
    const { log, violations } = await world.run()
    assert.deepEqual(log.flatMap(({ kind, text }) => (kind === 'fault' || kind === 'heal' ? [text] : [])).slice(0, 2), [
      'client 0 loses its power',
      'client 0 starts again'
    ])
    assert.deepEqual(violations, [])
  })

  const clients = (workload: Partial<ClientGroup['workload']>): PartialScenario['clients'] => [
    {
      count: 2,
      workload: {
        ...{ kind: 'closed', startMs: constant(3_000), thinkMs: exponential(500), maxRequests: 1_000 },
        ...{ promptTokens: exponential(60), outputTokens: exponential(60) },
        ...workload
      } as ClientGroup['workload']
    }
  ]
  const conversation = { turns: exponential(6), thinkMs: exponential(500), stopShare: 0.2 }
  const crashes: ScenarioFault[] = [
    { kind: 'crash', atMs: 10_000, target, restartAfterMs: 3_000 },
    { kind: 'crash', atMs: 25_000, target: { group: 'clients 0' }, how: 'host', restartAfterMs: 1_000 },
    { kind: 'crash', atMs: 40_000, target: { client: 1 }, how: 'host' }
  ]
  const open = { kind: 'open', interArrivalMs: exponential(2_000) } as const
  for (const [name, workload] of Object.entries({
    requests: {},
    conversations: { conversation },
    'requests that wait for nothing': open
  })) {
    it(`goes on with its workload: ${name}`, async () => {
      for (const seed of [1, 2, 3]) {
        const world = simulate({ scenario: defineScenario({ clients: clients(workload), faults: crashes }), seed })
        const { generations, violations, eventLogHash } = await world.run()
        assert.deepEqual(violations, [], `seed ${seed}`)
        const startsOf = (client: number): number[] => generations.filter((each) => each.client === client).map(({ startMs }) => startMs)
        const between = (starts: number[], fromMs: number, toMs: number): number => starts.filter((ms) => ms >= fromMs && ms < toMs).length
        assert.equal(between(startsOf(0), 10_000, 13_000), 0)
        assert.ok(between(startsOf(0), 13_000, 25_000) > 1)
        assert.ok(between(startsOf(0), 26_000, 60_000) > 1)
        assert.equal(between(startsOf(1), 40_000, Infinity), 0)
        assert.ok(generations.some(({ outcome }) => outcome === 'unfinished'))
        assert.ok(generations.every(({ endMs }) => endMs !== undefined))
        const again = simulate({ scenario: defineScenario({ clients: clients(workload), faults: crashes }), seed })
        assert.equal((await again.run()).eventLogHash, eventLogHash)
      }
    }).timeout(60_000)
  }
})

describe('a client that stands still', () => {
  for (const forMs of [2_000, 12_000, 40_000, 400_000]) {
    it(`for ${forMs} ms goes on and has its answer`, async () => {
      const { world, asked } = await struck({ kind: 'freeze', atMs: 0, target, forMs }, { durationMs: 1_000_000 })
      const beganMs = world.nowMs
      await world.runFor(forMs - 100)
      assert.equal(world.client(0).isFrozen, true)
      // Whom nobody hears for so long, is gone for the nodes.
      if (forMs > 20_000) assert.equal(held(world), 0)
      const answer = await world.runUntil(asked)
      assert.ok(world.nowMs > beganMs + forMs)
      assert.deepEqual([answer.outcome, answer.tokens], ['completed', answer.expected])
      assert.deepEqual((await world.run()).violations, [])
    })
  }

  it('while its chain opens may be told that this took too long, and its next request is answered', async () => {
    const codes = new Set<unknown>()
    for (const waitMs of [20, 100, 140, 200, 1_000]) {
      const world = simulate({ scenario: defineScenario({ durationMs: 300_000 }) })
      await world.runFor(5_000)
      assert.equal((await world.runUntil(world.client(0).generate())).outcome, 'completed')
      const asked = world.client(0).generate()
      await world.runFor(waitMs)
      world.inject({ kind: 'freeze', atMs: 0, target, forMs: 40_000 })
      const { outcome, error } = await world.runUntil(asked)
      codes.add(outcome === 'failed' && isSkeinError(error) ? error.code : outcome)
      assert.equal((await world.runUntil(world.client(0).generate())).outcome, 'completed')
      assert.deepEqual((await world.run()).violations, [], `frozen after ${waitMs} ms`)
    }
    assert.deepEqual([...codes].map(String).toSorted(), ['ERR_SKEIN_TIMEOUT', 'completed'])
  }).timeout(20_000)

  it('is no reason for other errors, nor for one long after it went on', () => {
    const text = 'the chain was not open within 30000 ms'
    const failed = (thawedMsAgo?: number): string | undefined =>
      checkFailure({
        ...{ error: new SkeinError('ERR_SKEIN_TIMEOUT', text), excuse: undefined, waitedMs: 90_000, patienceMs: 30_000 },
        ...(thawedMsAgo === undefined ? {} : { thawedMsAgo })
      })
    assert.equal(failed(29_000), undefined)
    for (const ms of [31_000, undefined]) assert.match(failed(ms) ?? '', /though nodes of every block served/)
    const lost = new SkeinError('ERR_SKEIN_NO_COVERAGE', 'nobody')
    assert.match(checkFailure({ error: lost, excuse: undefined, patienceMs: 30_000, thawedMsAgo: 1 }) ?? '', /ERR_SKEIN_NO_COVERAGE/)
  })

  it('before it has joined, joins when it goes on', async () => {
    const world = simulate({ scenario: defineScenario({ faults: [{ kind: 'freeze', atMs: 1_000, target, forMs: 10_000 }] }) })
    await world.runFor(5_000)
    const answer = await world.runUntil(world.client(0).generate())
    assert.deepEqual([answer.outcome, answer.tokens], ['completed', answer.expected])
    assert.ok(world.nowMs > 11_000)
  })

  it('and is killed then, takes its freeze along', async () => {
    const { world, asked } = await struck({ kind: 'freeze', atMs: 0, target, forMs: 20_000 })
    world.inject({ kind: 'crash', atMs: 0, target, restartAfterMs: 1_000 })
    assert.equal((await world.runUntil(asked)).outcome, 'unfinished')
    await world.runFor(2_000)
    assert.deepEqual([world.client(0).isUp, world.client(0).isFrozen], [true, false])
    assert.equal((await world.runUntil(world.client(0).generate())).outcome, 'completed')
    assert.deepEqual(world.violations, [])
  })
})
