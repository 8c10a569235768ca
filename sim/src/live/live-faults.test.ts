import assert from 'node:assert/strict'
import { type Channel, memoryInternet, parseLinkProfile, parseProtocolId, type PeerId, seededRandom, shapeNetwork } from '@skein/protocol'
import { testIdentity } from '@skein/protocol/testing'
import { VirtualClock } from '../kernel/virtual-clock.ts'
import { TestWorld } from '../net/test-world.test-helper.ts'
import type { ScenarioFault } from '../scenario/scenario.ts'
import { defineScenario, type PartialScenario } from '../world/define-scenario.ts'
import { simulate } from '../world/simulate.ts'
import { cutsBetween } from './live-faults.ts'
import { linkProfile, type LivePlan, planLive } from './live-plan.ts'

const seed = 5
const regions = ['here', 'there'].map((name) => ({ name, latitude: 0, longitude: 0 }))
const base: PartialScenario = {
  regions,
  durationMs: 10_000,
  nodes: [
    { name: 'near', count: 4, regions: ['here'] },
    { name: 'far', count: 3, regions: ['there'] }
  ],
  clients: [{ name: 'users', count: 2, regions: ['there'] }]
}

function planned(faults: readonly ScenarioFault[]): LivePlan {
  const scenario = defineScenario({ ...base, faults })
  return planLive(scenario, seededRandom(seed).fork(scenario.name))
}

/** Holds the actions of a plan to what the simulator logs. @returns how many there are */
async function sameAsSimulated(faults: readonly ScenarioFault[]): Promise<number> {
  const { log } = await simulate({ scenario: defineScenario({ ...base, faults }), seed }).run()
  const simulated = log.flatMap(({ kind, text, atMs }) =>
    ['is killed', 'freezes', 'thaws'].some((what) => text.endsWith(what)) && (kind === 'fault' || kind === 'heal')
      ? [`${Math.round(atMs)} ${text}`]
      : []
  )
  const texts = { crash: 'is killed', freeze: 'freezes', thaw: 'thaws', start: '' }
  const live = planned(faults)
    .faults.actions.filter(({ kind }) => kind !== 'start')
    .map(({ atMs, node, kind }) => `${Math.round(atMs)} node ${node} ${texts[kind]}`)
  assert.deepEqual(live.toSorted(), simulated.toSorted())
  return live.length
}

describe('faults of a live run', () => {
  it('hit the nodes that the simulator hits with the same seed, at the same times', async () => {
    const faults: ScenarioFault[] = [
      { kind: 'crash', atMs: 1000, target: { random: 2 }, restartAfterMs: 2000 },
      { kind: 'freeze', atMs: 2000, target: { random: 1 }, forMs: 500 },
      { kind: 'crash', atMs: 4000, target: { region: 'there' } },
      { kind: 'freeze', atMs: 5000, target: { group: 'near' }, forMs: 60_000 }
    ]
    const { actions } = planned(faults).faults
    assert.ok((await sameAsSimulated(faults)) > 10)
    // Everything heals when the duration is over.
    assert.equal(actions.at(-1)?.atMs, 10_000)
    assert.equal(actions.filter(({ kind, atMs }) => kind === 'start' && atMs === 3000).length, 2)
  })

  it('come again and again, and end together where they overlap, as the simulator has it', async () => {
    const freeze = { kind: 'freeze', target: { node: 1 } } as const
    const faults: ScenarioFault[] = [
      { kind: 'freeze', atMs: 0, repeat: { everyMs: { kind: 'exponential', mean: 700 } }, target: { group: 'far' }, forMs: 300 },
      { ...freeze, atMs: 1000, forMs: 4000 },
      { ...freeze, atMs: 2000, forMs: 100 },
      { ...freeze, atMs: 4000, forMs: 2000 }
    ]
    assert.ok((await sameAsSimulated(faults)) > 20)
    const { actions, inForce } = planned(faults).faults
    // Each time is a fault of its own, that may be why something failed.
    assert.ok(inForce.some(([fromMs]) => fromMs > 5000))
    const ends = actions.filter(({ kind, node }) => kind === 'thaw' && node === 1)
    assert.deepEqual(
      ends.map(({ atMs }) => atMs),
      [6000]
    )
  })

  it('cut groups, regions and nodes off, with the clients that are there, one way or both', () => {
    const { partitions } = planned([
      { kind: 'partition', atMs: 1000, forMs: 500, between: [{ region: 'here' }, { region: 'there' }], oneWay: false },
      { kind: 'partition', atMs: 1400, forMs: 99_000, between: [{ node: 4 }, { group: 'users' }], oneWay: true },
      { kind: 'partition', atMs: 3000, forMs: 1, between: [{ node: 0 }, { region: 'here' }], oneWay: false }
    ]).faults
    const between = (from: string, to: string) => cutsBetween(partitions, from, to)
    assert.deepEqual([between('node 0', 'node 6'), between('client 1', 'node 3')], [[[1000, 1500]], [[1000, 1500]]])
    assert.deepEqual(
      [between('node 0', 'node 3'), between('node 1', 'node 3'), between('node 4', 'client 0'), between('client 0', 'node 4')],
      [[[3000, 3001]], [], [[1400, 10_000]], []]
    )
  })

  it('are one cut where they overlap or touch', () => {
    const cut = (atMs: number, forMs: number): ScenarioFault => ({
      ...{ kind: 'partition', atMs, forMs, oneWay: false },
      between: [{ node: 0 }, { node: 1 }]
    })
    const { partitions } = planned([cut(3000, 1000), cut(1000, 1500), cut(2000, 1000), cut(5000, 100)]).faults
    assert.deepEqual(cutsBetween(partitions, 'node 1', 'node 0'), [
      [1000, 4000],
      [5000, 5100]
    ])
  })

  it('are in both link profiles, as each sees them, once the start of the run is known', () => {
    const faults: ScenarioFault[] = [{ kind: 'partition', atMs: 1000, forMs: 500, between: [{ node: 0 }, { node: 1 }], oneWay: true }]
    const scenario = defineScenario({ ...base, network: { jitterMs: { kind: 'exponential', mean: 4 } }, faults })
    const random = seededRandom(seed)
    const plan = planLive(scenario, random)
    const [a, b] = ['a', 'b'].map((name) => testIdentity(name).peerId) as [PeerId, PeerId]
    const profileOf = (number: number, startWallMs: number | undefined) => {
      const other = 1 - number
      const link = { scenario, random, partitions: plan.faults.partitions, startWallMs }
      const others = [{ peer: [a, b][other]!, region: 'here', place: `node ${other}` }]
      return parseLinkProfile(linkProfile(link, plan.nodes[number]!, others))
    }
    const [of0, of1] = [profileOf(0, 1_780_000_000_000), profileOf(1, 1_780_000_000_000)]
    assert.equal(of0.startWallMs, 1_780_000_000_000)
    assert.deepEqual([of0.peers.get(b)?.cutsMs, of0.peers.get(b)?.cutsBackMs], [[[1000, 1500]], []])
    assert.deepEqual([of1.peers.get(a)?.cutsMs, of1.peers.get(a)?.cutsBackMs], [[], [[1000, 1500]]])
    assert.deepEqual(profileOf(0, undefined).peers.get(b)?.cutsMs, [])
    const jitter = of0.peers.get(b)?.jitterMs as readonly number[]
    const mean = jitter.reduce((sum, ms) => sum + ms) / jitter.length
    assert.ok(jitter.length === 1000 && Math.abs(mean - 4) < 0.5, `the mean jitter is ${mean}`)
  })
})

describe('a cut of shaped links', () => {
  const protocol = parseProtocolId('/skein/test/1.0')
  const limits = { maxHeadBytes: 100, maxBodyBytes: 0, sendBufferBytes: 1e6 }
  const oneWayMs = 30

  /** Sends a numbered frame each way every 100 ms. @returns when each arrived, as text */
  async function arrivals(clock: VirtualClock, near: Channel, far: Channel, cutAtMs: number, cut: () => void): Promise<string[]> {
    const found: string[] = []
    const read = async (name: string, channel: Channel): Promise<void> => {
      for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
        found.push(`${name} ${frame.head[0]} at ${Math.round(clock.monotonicMs())}`)
      }
    }
    for (const [name, channel] of Object.entries({ near, far })) void read(name, channel).catch(() => {})
    clock.setTimer(cutAtMs - clock.monotonicMs(), cut)
    for (let number = 0; number < 60; number++) {
      // Off the beat of the cut, so that nothing is at the same instant.
      await clock.runUntil(2013 + 100 * number)
      near.send({ head: Uint8Array.of(number) })
      far.send({ head: Uint8Array.of(number) })
    }
    await clock.runUntil(20_000)
    return found.toSorted()
  }

  for (const oneWay of [false, true]) {
    for (const forMs of [150, 700, 2500]) {
      it(`of ${forMs} ms, ${oneWay ? 'one way' : 'both ways'}, holds what the simulator's network holds, as long`, async () => {
        const cutAtMs = 3000
        const world = new TestWorld({ latency: { kind: 'constant', oneWayMs } })
        const [x, y] = [world.join('x'), world.join('y')]
        const [near, far] = await world.open(x, y)
        const simulated = await arrivals(world.clock, near, far, cutAtMs, () => {
          const heal = world.internet.cut({ from: (peer) => peer === x.peer, to: (peer) => peer === y.peer, oneWay })
          world.clock.setTimer(forMs, heal)
        })

        const clock = new VirtualClock()
        const internet = memoryInternet()
        const [a, b] = ['a', 'b'].map((name) => internet.join(testIdentity(name).peerId)) as [never, never]
        const cut = [[cutAtMs, cutAtMs + forMs]]
        const shaped = [
          { network: a, cutsMs: cut, cutsBackMs: oneWay ? [] : cut },
          { network: b, cutsMs: oneWay ? [] : cut, cutsBackMs: cut }
        ].map(({ network, ...cuts }) =>
          shapeNetwork(network, parseLinkProfile(JSON.stringify({ oneWayMs, ...cuts })), { clock, random: seededRandom(1) })
        )
        const accepted: Channel[] = []
        shaped[1]!.handle(protocol, limits, (channel) => accepted.push(channel))
        shaped[0]!.learn({ peer: shaped[1]!.self, addresses: shaped[1]!.addresses(), source: 'trusted' })
        const opened = await clock.runUntilSettled(shaped[0]!.open(shaped[1]!.self, protocol, { limits }), 'the channel', 2000)
        assert.deepEqual(await arrivals(clock, opened, accepted[0]!, cutAtMs, () => {}), simulated)
        assert.equal(simulated.length, 120)
        await Promise.all(shaped.map((network) => network.stop()))
      })
    }
  }
})
