import assert from 'node:assert/strict'
import { parseLinkProfile, seededRandom } from '@skein/protocol'
import { testIdentity } from '@skein/protocol/testing'
import { defineScenario } from '../world/define-scenario.ts'
import { simulate } from '../world/simulate.ts'
import { type Calibration, calibrate, median, onThisMachine, refined } from './calibration.ts'
import { linkProfile, planLive } from './live-plan.ts'
import { settings, settingScenario } from './settings.ts'

const constant = (value: number) => ({ kind: 'constant', value }) as const

describe('live runs', () => {
  it('name everything in a scenario that cannot be done live', () => {
    const conversation = { turns: constant(2), thinkMs: constant(0), stopShare: 0 }
    const scenario = defineScenario({
      network: { latency: { kind: 'matrix', oneWayMs: [[{ kind: 'exponential', mean: 9 }]] } },
      nodes: [{ count: 19, nat: 'cone' }, { relay: true }],
      clients: [{ count: 9, workload: { ...defineScenario().clients[0]!.workload, conversation } }],
      faults: [
        { kind: 'lie', atMs: 0, target: { node: 0 }, share: 1 },
        { kind: 'slow', atMs: 0, target: { random: 1 }, factor: 2, forMs: 1 },
        { kind: 'slow', atMs: 1, target: { random: 1 }, factor: 2, forMs: 1 },
        { kind: 'crash', atMs: 0, target: { node: 0 }, how: 'host' },
        { kind: 'freeze', atMs: 0, target: { client: 0 }, forMs: 1 }
      ],
      allowLies: true
    })
    assert.throws(() => planLive(scenario, seededRandom(1)), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message:
        /20 nodes.*at most 16.*9 clients, and at most 8 are run; live delays are the same.*behind a NAT.*hold no conversations; the fault lie is not made live \(nodes that volunteers run.*fault slow is not made live \(a process cannot.*\); live clients do not crash or freeze: they are in the process of the run itself; a live crash kills a process: the power of a host does not go$/
    })
  })

  it('need a scenario that could be simulated', () => {
    const scenario = defineScenario({ faults: [{ kind: 'freeze', atMs: 0, target: { node: 99 }, forMs: 1 }] })
    assert.throws(() => planLive(scenario, seededRandom(1)), /faults\[0\]\.target\.node: there are 3 nodes, numbered from 0$/)
  })

  it('need nodes for all blocks at the start', () => {
    const sessions = [[[0, 1e6]], [[5000, 1e6]]] as const
    const churn = { kind: 'trace', graceful: false, sessions } as const
    const scenario = defineScenario({ nodes: [{ count: 2, blocksPerNode: 4, churn }] })
    assert.throws(() => planLive(scenario, seededRandom(1)), /at the start nobody has 4, 5, 6, 7$/)
  })

  it('have nodes that come and go as the simulated ones do', async () => {
    const churn = { kind: 'renewal', upMs: { kind: 'exponential', mean: 9000 }, downMs: { kind: 'exponential', mean: 900 } } as const
    const scenario = defineScenario({ durationMs: 60_000, nodes: [{ count: 3, churn: { ...churn, graceful: false } }] })
    const world = simulate({ scenario, seed: 3 })
    const { nodes } = planLive(scenario, seededRandom(3).fork(scenario.name))
    await world.runFor(50_000)
    const assertNear = (ms: number, expected: number): void => assert.ok(Math.abs(ms - expected) < 0.01, `${ms} and not ${expected} ms`)
    for (const { number, schedule } of nodes) {
      const { up } = world.record().nodes[number]!
      assert.equal(schedule?.firstMs, 0)
      let nowMs = 0
      for (const [index, [, toMs]] of up.slice(0, -1).entries()) {
        nowMs += schedule.stay(nowMs)
        assertNear(nowMs, toMs)
        nowMs += schedule.away(nowMs)
        assertNear(nowMs, up[index + 1]![0])
      }
      assert.ok(up.length > 1)
    }
  })

  it('describe to each peer its lines and its distance from every other', () => {
    const scenario = defineScenario({
      regions: ['here', 'there'].map((name) => ({ name, latitude: 0, longitude: 0 })),
      network: {
        latency: {
          kind: 'matrix',
          oneWayMs: [
            [1, 40],
            [40, 2]
          ]
        },
        jitterMs: { kind: 'uniform', min: 3, max: 5 },
        lossShare: 0.01
      },
      nodes: [{ count: 2, upMbps: constant(20), downMbps: constant(1e6) }]
    })
    const { nodes, clients } = planLive(scenario, seededRandom(1))
    assert.deepEqual(
      nodes.map(({ region, span }) => [region, span.start, span.end]),
      [
        ['here', 0, 4],
        ['there', 4, 8]
      ]
    )
    assert.equal(clients.length, 1)
    const others = ['here', 'there'].map((region, number) => ({ peer: testIdentity(region).peerId, region, place: `node ${number + 1}` }))
    const link = { scenario, random: seededRandom(1), partitions: [], startWallMs: undefined }
    const profile = parseLinkProfile(linkProfile(link, nodes[0]!, others))
    assert.equal(profile.upMbps, 20)
    assert.equal(profile.downMbps, undefined)
    assert.deepEqual(
      others.map(({ peer }) => profile.peers.get(peer)),
      [
        { oneWayMs: 4, jitterMs: 2, lossShare: 0.01, cutsMs: [], cutsBackMs: [] },
        { oneWayMs: 43, jitterMs: 2, lossShare: 0.01, cutsMs: [], cutsBackMs: [] }
      ]
    )
  })

  it('ship settings for every chain length, distance and bandwidth, and one kill', () => {
    const values = <T>(of: (setting: (typeof settings)[number]) => T): Set<T> => new Set(settings.map(of))
    assert.ok(settings.length >= 8)
    assert.deepEqual(
      values(({ stages }) => stages),
      new Set([1, 2, 4])
    )
    assert.deepEqual(
      values(({ hopMs }) => hopMs),
      new Set([0, 5, 25, 50])
    )
    assert.deepEqual(
      values(({ mbps }) => mbps),
      new Set([undefined, 20, 100])
    )
    assert.equal(settings.filter(({ kill }) => kill === true).length, 1)
    for (const setting of settings) planLive(settingScenario(setting, 0, 0), seededRandom(1))
  })
})

describe('the calibration', () => {
  it('parts a turn, a block and a hop', () => {
    // 1 ms a turn, 0.5 ms a block, 0.25 ms a row, 2 ms a hop, 0.3 ms for the ends, 8 blocks, two chunks of 128 rows.
    const oneTokenMs = 1 + 8 * 0.5 + 0.25
    const promptMs = 2 * (1 + 8 * 0.5) + 256 * 0.25
    const one = {
      ...{ stages: 1, computeMsPerToken: oneTokenMs, tokenMs: oneTokenMs + 0.3 + 2 * 2 },
      ...{ promptTokens: 256, promptComputeMs: promptMs, openMs: 5, firstTokenMs: promptMs + 0.3 + 2 * 2 + 5 }
    }
    const four = { ...one, stages: 4, computeMsPerToken: oneTokenMs + 3, tokenMs: 99 }
    const facts = { endsMs: 0.3, blocks: 8, cores: 2 }
    const found = Object.entries(calibrate(one, four, facts)).map(([name, value]) => [name, Math.round(value * 1e6) / 1e6])
    assert.deepEqual(Object.fromEntries(found), {
      ...{ turnMs: 1, blockMs: 0.5, rowsPerSecond: 4000, endsMs: 0.3, hopMs: 2, sessionMs: 0, linkMs: 0, pauseMs: 0, cores: 2 }
    })
    assert.deepEqual([median([]), median([3, 1, 2]), median([4, 1])], [undefined, 2, 2.5])
  })

  it('gives to messages, sessions, links and pauses what a simulator was too fast or too slow by', async () => {
    const truth = {
      ...{ turnMs: 1, blockMs: 0.5, rowsPerSecond: 4000, endsMs: 0.3, hopMs: 2 },
      ...{ sessionMs: 1.5, linkMs: 2.5, pauseMs: 0.7, cores: 2 }
    }
    const blocks = 8
    const promptComputeMs = (found: Calibration): number => 256_000 / found.rowsPerSecond + 2 * (found.turnMs + blocks * found.blockMs)
    // Someone's simulator, in which each of two hops costs a message, and with a network a pause as well. Both ends of a session
    // are opened at nearly the same time, and two of the four ends of links.
    const simulated = (networkMs: number) => (found: Calibration) => {
      const hopMs = found.hopMs + networkMs + (networkMs > 0 ? found.pauseMs : 0)
      const computeMs = found.turnMs + blocks * found.blockMs + 1000 / found.rowsPerSecond
      const promptMs = promptComputeMs(found) + 3 * found.linkMs
      const openMs = 4 * hopMs + 1.5 * found.sessionMs
      const firstTokenMs = openMs + promptMs + found.endsMs + 2 * hopMs
      return Promise.resolve({ tokenMs: computeMs + found.endsMs + 2 * hopMs, openMs, firstTokenMs })
    }
    const measured = async (networkMs: number) => ({
      ...{ stages: 1, promptTokens: 256, computeMsPerToken: 5.25, promptComputeMs: promptComputeMs(truth) },
      ...(await simulated(networkMs)(truth))
    })
    const guess = calibrate(await measured(0), { ...(await measured(0)), stages: 4, computeMsPerToken: 8.25 }, { ...truth, blocks })
    const both = { one: await measured(0), distant: await measured(10) }
    const found = await refined(guess, both, { one: simulated(0), distant: simulated(10) })
    for (const [name, value] of Object.entries(found)) {
      const right = truth[name as keyof Calibration]
      assert.ok(Math.abs(value / right - 1) < 0.02, `${name} is ${value} and not ${right}`)
    }
  })

  it('makes the simulator take the time that was measured', async () => {
    const found = {
      turnMs: 1,
      blockMs: 0.5,
      rowsPerSecond: 100_000,
      endsMs: 0.3,
      hopMs: 2,
      sessionMs: 1,
      linkMs: 1,
      pauseMs: 1,
      cores: 2
    }
    const setting = settings.find(({ name }) => name === '2 stages, 0 ms')!
    const { generations } = await simulate({ scenario: onThisMachine(settingScenario(setting, 60_000, 0), found) }).run()
    const { firstTokenMs, lastTokenMs, outputTokens } = generations.at(-1)!
    const tokenMs = (lastTokenMs! - firstTokenMs!) / (outputTokens - 1)
    // Two turns, eight blocks, the ends and three messages; a row's own arithmetic is 10 us. The machine never pauses.
    assert.ok(Math.abs(tokenMs - (2 * 1 + 8 * 0.5 + 0.3 + 3 * 2)) < 0.2, `a token takes ${tokenMs} ms`)
    const far = settings.find(({ name }) => name === '1 stage, 5 ms')!
    const { generations: others } = await simulate({ scenario: onThisMachine(settingScenario(far, 60_000, 0), found) }).run()
    const last = others.at(-1)!
    const farMs = (last.lastTokenMs! - last.firstTokenMs!) / (last.outputTokens - 1)
    // One turn, eight blocks, the ends, and two hops, each with its way and its pause.
    assert.ok(Math.abs(farMs - (1 + 8 * 0.5 + 0.3 + 2 * (5 + 2 + 1))) < 0.2, `a token takes ${farMs} ms`)
  })
})
