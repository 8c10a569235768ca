import assert from 'node:assert/strict'
import type { ScenarioFault } from '../scenario/scenario.ts'
import { defineScenario } from '../world/define-scenario.ts'
import type { SimNode } from '../world/sim-node.ts'
import { simulate } from '../world/simulate.ts'

/** What is seen of node 0 at some times, in seconds. */
async function watch<T>(faults: readonly ScenarioFault[], seconds: readonly number[], see: (node: SimNode) => T): Promise<T[]> {
  const world = simulate({ scenario: defineScenario({ faults }) })
  const seen: T[] = []
  for (const second of seconds) {
    await world.runFor(second * 1_000 - world.nowMs)
    seen.push(see(world.node(0)))
  }
  assert.deepEqual(world.violations, [])
  return seen
}

const target = { node: 0 } as const
const freeze = (atMs: number, forMs: number): ScenarioFault => ({ kind: 'freeze', atMs, target, forMs })
const slow = (atMs: number, forMs: number, factor: number): ScenarioFault => ({ kind: 'slow', atMs, target, forMs, factor })
const crash = (atMs: number, restartAfterMs?: number): ScenarioFault => ({
  ...{ kind: 'crash', atMs, target },
  ...(restartAfterMs === undefined ? {} : { restartAfterMs })
})

describe('faults that overlap', () => {
  it('freeze a node until the last of them is over', async () => {
    const found = await watch([freeze(8_000, 30_000), freeze(9_000, 1_000)], [7, 9.5, 11, 37, 39], (node) => node.isFrozen)
    assert.deepEqual(found, [false, true, true, true, false])
  })

  it('leave a freeze behind with the process that it was of', async () => {
    const faults = [freeze(8_000, 30_000), crash(10_000, 2_000), freeze(15_000, 1_000), freeze(36_000, 10_000)]
    assert.deepEqual(await watch(faults, [9, 13, 15.5, 17, 39, 47], (node) => node.isFrozen), [true, false, true, false, true, false])
  })

  it('slow a node down by their product, each for its time', async () => {
    const faults = [slow(8_000, 30_000, 20), slow(9_000, 2_000, 2), slow(10_000, 40_000, 3)]
    const found = await watch(faults, [7, 8.5, 9.5, 10.5, 12, 39, 51], ({ condition }) => condition.slowFactor)
    assert.deepEqual(found, [1, 20, 40, 120, 60, 3, 1])
  })

  it('keep a disk full until the last of them is over', async () => {
    const full = (atMs: number, forMs: number): ScenarioFault => ({ kind: 'full-disk', atMs, target, forMs })
    assert.deepEqual(await watch([full(8_000, 30_000), full(9_000, 1_000)], [9.5, 11, 39], ({ disk }) => disk.full), [true, true, false])
  })

  it('keep a node down until the last of them would have it back, if each would', async () => {
    const isUp = (node: SimNode): boolean => node.isUp
    assert.deepEqual(await watch([crash(8_000, 30_000), crash(9_000, 1_000)], [9, 11, 39], isUp), [false, false, true])
    assert.deepEqual(await watch([crash(8_000), crash(9_000, 1_000)], [11, 59], isUp), [false, false])
  })

  it('tell of the end of each kind once, when it is over', async () => {
    const faults: ScenarioFault[] = [
      ...[freeze(8_000, 5_000), freeze(9_000, 1_000), slow(8_000, 5_000, 20), slow(9_000, 1_000, 2)],
      { kind: 'full-disk', atMs: 8_000, target, forMs: 5_000 },
      { kind: 'corrupt', atMs: 8_000, target, forMs: 5_000, share: 0.1 }
    ]
    const world = simulate({ scenario: defineScenario({ faults }) })
    await world.runFor(20_000)
    const heals = world.record().log.flatMap(({ kind, atMs, text }) => (kind === 'heal' ? [`${atMs}: ${text}`] : []))
    assert.deepEqual(heals, [
      '10000: node 0 computes 20 times slower',
      '13000: node 0 thaws',
      '13000: node 0 computes as before',
      '13000: the disk of node 0 has room again',
      '13000: bytes of node 0 arrive as they were sent'
    ])
  })
})

describe('faults at clients', () => {
  const during = { atMs: 8_000, forMs: 10_000 } as const

  it('cut them off from nodes by the names of their groups', async () => {
    const between = [{ group: 'clients 0' }, { group: 'nodes 0' }] as const
    const world = simulate({ scenario: defineScenario({ faults: [{ kind: 'partition', ...during, between, oneWay: false }] }) })
    await world.runFor(7_000)
    const before = await world.runUntil(world.client(0).generate())
    assert.equal(before.outcome, 'completed')
    await world.runFor(9_000 - world.nowMs)
    assert.ok(world.record().log.some(({ text }) => text === '1 peers are cut off from 3 others'))
    const answer = await world.runUntil(world.client(0).generate())
    assert.deepEqual(answer.tokens, answer.expected)
    assert.ok(world.nowMs > 18_000, `it had its answer at ${world.nowMs} ms`)
  })

  it('end and stop the processes of those that are named, and of no others in their region', async () => {
    const faults: ScenarioFault[] = [
      { kind: 'freeze', atMs: 8_000, target: { group: 'clients 1' }, forMs: 2_000 },
      { kind: 'crash', atMs: 12_000, target: { client: 1 }, restartAfterMs: 2_000 },
      { kind: 'crash', atMs: 16_000, target: { region: 'here' }, restartAfterMs: 2_000 },
      { kind: 'freeze', atMs: 20_000, target: { random: 3 }, forMs: 2_000 }
    ]
    const world = simulate({ scenario: defineScenario({ faults, clients: [{}, { count: 2 }] }) })
    const seen: string[] = []
    for (const second of [9, 11, 13, 15, 17, 21]) {
      await world.runFor(second * 1_000 - world.nowMs)
      seen.push(world.clients.map(({ isUp, isFrozen }) => (isFrozen ? 'z' : isUp ? '+' : '-')).join(''))
    }
    assert.deepEqual(seen, ['+zz', '+++', '+-+', '+++', '+++', '+++'])
    assert.deepEqual(world.violations, [])
  })

  it('flip bytes of theirs', async () => {
    const world = simulate({
      scenario: defineScenario({ faults: [{ kind: 'corrupt', ...during, target: { group: 'clients 0' }, share: 1 }] })
    })
    await world.runFor(9_000)
    assert.ok(world.record().log.some(({ text }) => text === 'bytes of client 0 are flipped on their way'))
    const answer = await world.runUntil(world.client(0).generate())
    assert.deepEqual(answer.tokens, answer.expected)
    assert.ok(world.nowMs > 18_000, `it had its answer at ${world.nowMs} ms`)
  })

  it('that are injected are refused when they could do nothing', () => {
    const world = simulate({ scenario: defineScenario() })
    assert.throws(
      () => world.inject({ kind: 'full-disk', atMs: 0, forMs: 1_000, target: { group: 'clients 0' } }),
      /only clients in the group/
    )
    assert.throws(() => world.inject({ kind: 'crash', atMs: 0, target: { node: 3 } }), /there are 3 nodes, numbered from 0/)
    assert.throws(() => world.inject({ kind: 'crash', atMs: 0, target: { client: 1 } }), /there are 1 clients, numbered from 0/)
  })
})

describe('faults that come again and again', () => {
  const durationMs = 600_000
  const again = (repeat: ScenarioFault['repeat'], atMs = 0): ScenarioFault => ({
    ...{ kind: 'freeze', atMs, target: { random: 1 }, forMs: 100 },
    ...(repeat && { repeat })
  })

  /** When whom it hit. */
  async function times(fault: ScenarioFault, seed = 1): Promise<Array<readonly [ms: number, node: number | undefined]>> {
    const { log } = await simulate({ scenario: defineScenario({ durationMs, settleMs: 1_000, faults: [fault] }), seed }).run()
    return log.filter(({ kind }) => kind === 'fault').map(({ atMs, node }) => [atMs, node])
  }

  it('come a gap after their beginning and after each other, and not from their end on', async () => {
    const everyMs = { kind: 'constant', value: 100_000 } as const
    const at = async (fault: ScenarioFault): Promise<number[]> => (await times(fault)).map(([ms]) => ms)
    assert.deepEqual(await at(again({ everyMs })), [100_000, 200_000, 300_000, 400_000, 500_000])
    assert.deepEqual(await at(again({ everyMs, untilMs: 350_000 }, 50_000)), [150_000, 250_000])
  })

  it('are drawn from the seed, each time and each target anew', async () => {
    const fault = again({ everyMs: { kind: 'exponential', mean: 10_000 } })
    const found = await times(fault)
    assert.ok(found.length > 30 && found.length < 100, `${found.length} times`)
    assert.equal(new Set(found.map(([, node]) => node)).size, 3)
    assert.ok(new Set(found.map(([ms], index) => ms - (found[index - 1]?.[0] ?? 0))).size > 25)
    assert.deepEqual(await times(fault), found)
    assert.notDeepEqual(await times(fault, 2), found)
  })
})

describe('power that goes', () => {
  it('leaves the others without a word, until they give up; the machine comes back', async () => {
    const ended = async (how: 'process' | 'host'): Promise<number> => {
      const nodes = [{ count: 6, blocksPerNode: 4 }]
      const world = simulate({ scenario: defineScenario({ nodes, durationMs: 300_000 }) })
      await world.runFor(5_000)
      const asked = world.client(0).generate({ outputTokens: 200 })
      await world.runFor(1_000)
      const node = world.record().generations[0]?.chain[0]?.node ?? assert.fail()
      world.inject({ kind: 'crash', how, atMs: 0, target: { node }, restartAfterMs: 60_000 })
      const answer = await world.runUntil(asked)
      assert.deepEqual([answer.tokens, answer.recoveries], [answer.expected, 1])
      const { silenceMs } = world.record().generations[0]!.time
      await world.runFor(70_000)
      assert.ok(world.node(node).isUp)
      assert.deepEqual(world.violations, [])
      return silenceMs
    }
    const [process, host] = [await ended('process'), await ended('host')]
    // A reset comes within a round trip; that nobody answers any more is found by a deadline.
    assert.ok(process < 500 && host > 1_000, `noticed after ${process} ms and ${host} ms`)
  })
})
