import assert from 'node:assert/strict'
import type { SpanRuntime } from '@skein/node'
import { WireError, WireErrorCode } from '@skein/protocol'
import { devicePresets } from '../compute/device-presets.ts'
import type { Distribution, ScenarioFault } from '../scenario/scenario.ts'
import { autoSpans } from './auto-spans.ts'
import { figures } from '../report/figures.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })
const exponential = (mean: number): Distribution => ({ kind: 'exponential', mean })

function busy(name: string, partial: PartialScenario = {}) {
  return defineScenario({
    name,
    durationMs: 60_000,
    nodes: [{ count: 9, blocksPerNode: 3 }],
    clients: [
      {
        count: 2,
        workload: {
          kind: 'closed',
          startMs: constant(3_000),
          thinkMs: exponential(1_000),
          promptTokens: exponential(40),
          outputTokens: exponential(20),
          maxRequests: 1_000
        }
      }
    ],
    ...partial
  })
}

describe('a simulated world', () => {
  it('answers as one undisturbed machine does', async () => {
    const world = simulate({ scenario: defineScenario() })
    await world.runFor(5_000)
    const answer = await world.runUntil(world.client(0).generate({ promptTokens: 40, outputTokens: 20 }))
    assert.equal(answer.outcome, 'completed')
    assert.deepEqual(answer.tokens, answer.expected)
    assert.equal(answer.text.length, 20)
    assert.deepEqual(world.violations, [])
  })

  it('answers in the time that a shared machine has for its nodes', async () => {
    const device = { ...devicePresets['laptop-cpu']!, noise: constant(1), overheadUsPerTurn: 10_000 }
    const tokenMs = async (cores: number): Promise<number> => {
      const scenario = defineScenario({
        machines: [{ name: 'desk', cores }],
        network: { latency: { kind: 'constant', oneWayMs: 0 } },
        nodes: [{ count: 2, device, machine: 'desk' }],
        clients: [{ count: 2 }]
      })
      const world = simulate({ scenario })
      await world.runFor(5_000)
      const asked = [0, 1].map((client) => world.client(client).generate({ promptTokens: 4, outputTokens: 40 }))
      for (const answer of await world.runUntil(Promise.all(asked))) assert.deepEqual(answer.tokens, answer.expected)
      assert.deepEqual(world.violations, [])
      const { startMs } = world.record().generations[0]!
      return (Math.max(...world.record().generations.map(({ lastTokenMs }) => lastTokenMs!)) - startMs) / 40
    }
    const [one, two] = [await tokenMs(1), await tokenMs(2)]
    // Two answers are in the two stages in turns: on one core these wait for each other.
    assert.ok(two < 30 && one / two > 1.8 && one / two < 2.2, `a token takes ${one} ms on one core, ${two} on two`)
  })

  for (const transport of ['ring', 'star'] as const) {
    it(`goes on when a node is killed in the middle, as a ${transport}`, async () => {
      const scenario = defineScenario({ nodes: [{ count: 6, blocksPerNode: 4 }], clients: [{ transport }] })
      const world = simulate({ scenario })
      await world.runFor(5_000)
      const asked = world.client(0).generate({ promptTokens: 30, outputTokens: 100 })
      await world.runFor(3_000)
      const [first] = world.record().generations[0]?.chain ?? []
      world.node(first?.node ?? -1).crash()
      const answer = await world.runUntil(asked)
      assert.deepEqual(answer.tokens, answer.expected)
      assert.equal(answer.recoveries, 1)
      const { generations, log } = world.record()
      assert.ok((generations[0]?.time.recoveryMs ?? 0) > 0)
      assert.ok(log.some(({ kind }) => kind === 'recovering'))
    })
  }

  it('does not wait long for a node that stands still, and blames none that only waited for it', async () => {
    for (const position of [0, 1, 2]) {
      const world = simulate({ scenario: defineScenario({ nodes: [{ count: 9, blocksPerNode: 3 }] }) })
      await world.runFor(5_000)
      const ask = () => world.runUntil(world.client(0).generate({ promptTokens: 8, outputTokens: 4 }))
      await ask()
      const used = world.record().generations[0]!.chain.map(({ node }) => node)
      world.node(used[position]!).freeze()
      await ask()
      const { chain, openedMs, startMs, outcome } = world.record().generations[1]!
      assert.equal(outcome, 'completed')
      assert.ok(openedMs! - startMs < 5_000, `stage ${position}: ${openedMs! - startMs} ms`)
      const kept = used.filter((node, index) => index !== position && chain[index]?.node === node)
      assert.equal(kept.length, used.length - 1, `stage ${position}: ${used.join('-')} became ${chain.map(({ node }) => node).join('-')}`)
      await ask()
      const again = world.record().generations[2]!
      assert.ok(again.openedMs! - again.startMs < 1_000, `it is not asked again: ${again.openedMs! - again.startMs} ms`)
    }
  })

  it('accounts for the time of a generation, and keeps its way', async () => {
    const record = await simulate({ scenario: busy('calm', { durationMs: 20_000 }) }).run()
    assert.deepEqual(record.violations, [])
    const [first] = record.generations
    const { chainMs, computeMs, transferMs, delayMs, queueMs, recoveryMs } = first?.time ?? assert.fail()
    const wholeMs = (first?.endMs ?? 0) - (first?.startMs ?? 0)
    assert.ok(computeMs > 0 && transferMs > 0 && delayMs > 0 && recoveryMs === 0)
    assert.ok(chainMs > 0)
    assert.ok(chainMs + computeMs + transferMs + delayMs + queueMs <= wholeMs * 1.001)
    assert.ok(record.trace.some(({ name, track }) => name === 'compute' && track.startsWith('node')))
    assert.ok(record.trace.every(({ startMs, endMs }) => startMs < endMs))
    assert.ok(record.nodes.every(({ busyMs, sentBytes }) => busyMs > 0 && sentBytes > 0))
    assert.ok(record.samples.at(-1)?.leastCoverage === 3)
  })

  it('charges the wait for a turn to the queue, and the wait for blocks that nobody serves to the chain', async () => {
    const constant = (value: number) => ({ kind: 'constant', value }) as const
    const trace = { kind: 'trace', sessions: [[[15_000, 1e9]]], graceful: false } as const
    const workload = { kind: 'closed', startMs: constant(5_000), thinkMs: constant(1e6), maxRequests: 1 } as const
    const device = { ...devicePresets['laptop-cpu']!, noise: constant(1), overheadUsPerTurn: 50_000, overheadUsPerBlock: 0 }
    const run = async (count: number) => {
      const scenario = defineScenario({
        durationMs: 40_000,
        network: { latency: { kind: 'constant', oneWayMs: 0 } },
        nodes: [
          { count: 1, device, span: { start: 0, end: 4 } },
          { count: 1, device, span: { start: 4, end: 8 }, churn: trace }
        ],
        clients: [{ count, workload: { ...workload, promptTokens: constant(8), outputTokens: constant(20) } }]
      })
      const { generations, violations } = await simulate({ scenario }).run()
      assert.deepEqual(violations, [])
      assert.equal(generations.length, count)
      return generations
    }
    const [alone] = await run(1)
    assert.ok(alone!.time.chainMs > 9_000 && alone!.time.chainMs < 15_000, `${alone!.time.chainMs} ms`)
    assert.ok(alone!.time.queueMs < 1, `${alone!.time.queueMs} ms`)
    for (const { startMs, lastTokenMs, time } of await run(4)) {
      // Twenty tokens through two stages, at which turns of others of 50 ms each are under way half of the time.
      assert.ok(time.queueMs > 1_000, `${time.queueMs} ms`)
      const { chainMs, computeMs, transferMs, delayMs, queueMs } = time
      const rest = lastTokenMs! - startMs - (chainMs + computeMs + transferMs + delayMs + queueMs)
      assert.ok(Math.abs(rest) < 5, `${rest} ms of ${lastTokenMs! - startMs} are not accounted for`)
    }
  })

  it('lets those wait who come at the same time for room that one of them takes, be it of caches or of history', async () => {
    const context = 60
    const { rowBytes } = defineScenario().model
    // Too little for two on each node; the map of who comes second does not know of the first yet.
    for (const room of [{ kvTokens: 100 }, { historyBytes: 100 * rowBytes }]) {
      const scenario = defineScenario({ nodes: [{ count: 2, blocksPerNode: 4, ...room }], clients: [{ count: 3 }] })
      const world = simulate({ scenario })
      await world.runFor(5_000)
      const asked = world.clients.map((client) => client.generate({ promptTokens: context - 20, outputTokens: 20 }))
      const answers = await world.runUntil(Promise.all(asked))
      assert.deepEqual(
        answers.map(({ outcome, error }) => [outcome, error]),
        answers.map(() => ['completed', undefined]),
        JSON.stringify(room)
      )
      assert.deepEqual(world.violations, [])
    }
  })

  it('fails at once, with the numbers, for want of history that no node has', async () => {
    const { rowBytes } = defineScenario().model
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 2, blocksPerNode: 4, historyBytes: 50 * rowBytes }] }) })
    await world.runFor(5_000)
    const { error } = await world.runUntil(world.client(0).generate({ promptTokens: 40, outputTokens: 20 }), 5_000)
    assert.match(String(error), /bytes of history were asked for/)
  })

  it('does the same again from the same seed, and something else from another', async () => {
    const scenario = busy('churn', {
      durationMs: 40_000,
      nodes: [
        { count: 9, blocksPerNode: 3, churn: { kind: 'renewal', upMs: exponential(20_000), downMs: exponential(5_000), graceful: false } }
      ]
    })
    const run = async (seed: number) => {
      const { wallMs, ...record } = await simulate({ scenario, seed }).run()
      assert.ok(wallMs >= 0)
      return record
    }
    const first = await run(1)
    assert.deepEqual(first.violations, [])
    assert.ok(first.log.some(({ kind }) => kind === 'node-down'))
    assert.deepEqual(await run(1), first)
    assert.notEqual((await run(2)).eventLogHash, first.eventLogHash)
  })

  const during = { atMs: 8_000, forMs: 10_000, target: { random: 2 } } as const
  const faults: Array<[string, ScenarioFault]> = [
    ['a crash', { kind: 'crash', atMs: 8_000, target: { random: 2 }, restartAfterMs: 5_000 }],
    ['a freeze', { kind: 'freeze', ...during }],
    ['a slow node', { kind: 'slow', ...during, factor: 20 }],
    ['a cut', { kind: 'partition', atMs: 8_000, forMs: 10_000, between: [{ random: 2 }, { group: 'nodes 0' }], oneWay: false }],
    ['one-way loss', { kind: 'partition', atMs: 8_000, forMs: 10_000, between: [{ random: 2 }, { group: 'nodes 0' }], oneWay: true }],
    ['corrupt bytes', { kind: 'corrupt', ...during, share: 0.05 }],
    ['a clock that jumps', { kind: 'clock-jump', atMs: 8_000, target: { random: 3 }, byMs: -3_600_000 }],
    ['a full disk', { kind: 'full-disk', ...during }]
  ]
  for (const [name, fault] of faults) {
    it(`comes through ${name} without a wrong token and with nothing left behind`, async () => {
      const { violations, generations, log } = await simulate({ scenario: busy(name, { faults: [fault], durationMs: 30_000 }) }).run()
      assert.deepEqual(violations, [])
      assert.ok(generations.length > 4)
      assert.ok(log.some(({ kind }) => kind === 'fault'))
    })
  }

  it('sees a liar, and lets it pass only where the scenario does', async () => {
    const lie: ScenarioFault = { kind: 'lie', atMs: 5_000, target: { random: 9 }, share: 0.2 }
    const world = simulate({ scenario: busy('liars') })
    for (const { condition } of world.nodes) condition.lieShare = 0.2
    const strict = await world.run()
    assert.equal(strict.violations[0]?.oracle, 'answer')
    assert.equal(strict.violations[0]?.replay, 'simulate({ scenario, seed: 1 }) with the scenario liars')
    assert.ok((strict.violations[0]?.lastEvents.length ?? 0) > 0)
    const lax = await simulate({ scenario: busy('liars', { faults: [lie], allowLies: true, durationMs: 30_000 }) }).run()
    assert.deepEqual(lax.violations, [])
    const { wrong, completed } = figures(lax)
    assert.ok(wrong! > 0 && wrong! <= completed!, `${wrong} of ${completed}`)
    assert.equal(lax.generations.filter(({ isWrong }) => isWrong).length, wrong)
  })

  it('takes a killed node for no reason of an error while others serve its blocks, and a slow one for one', async () => {
    /** Of two nodes for each half of the model two take no session; one of the others is lost in the middle of an answer. */
    const violationsOf = async (fault: ScenarioFault): Promise<string[]> => {
      const wrapRuntime = (runtime: SpanRuntime, node: number): SpanRuntime => {
        const reserve: SpanRuntime['reserve'] = async (cache, tokens, span) => {
          if (node > 1 && cache !== 'measure-speed') throw new WireError(WireErrorCode.Unsupported, 'a bug')
          await runtime.reserve(cache, tokens, span)
        }
        const { info } = runtime
        const methods = { run: runtime.run.bind(runtime), release: runtime.release.bind(runtime), stop: runtime.stop.bind(runtime) }
        return { info, reserve, ...methods, freeKvTokens: () => runtime.freeKvTokens() }
      }
      const world = simulate({ scenario: defineScenario({ nodes: [{ count: 4, blocksPerNode: 4 }], settleMs: 120_000 }), wrapRuntime })
      await world.runFor(20_000)
      const asked = world.client(0).generate({ promptTokens: 40, outputTokens: 400 })
      await world.runFor(1_000)
      world.inject(fault)
      world.node(0).crash()
      assert.equal((await world.runUntil(asked)).outcome, 'failed')
      return world.violations.map(({ oracle }) => oracle)
    }
    assert.deepEqual(await violationsOf({ kind: 'crash', atMs: 0, target: { node: 0 } }), ['failure'])
    assert.deepEqual(await violationsOf({ kind: 'slow', atMs: 0, target: { node: 1 }, forMs: 60_000, factor: 2 }), [])
  })
})

describe('autoSpans', () => {
  it('tiles the model with windows of equal length, again and again', () => {
    const { nodes } = defineScenario({ nodes: [{ count: 6, blocksPerNode: 3 }] })
    const spans = autoSpans(nodes, 8).map(({ start, end }) => `${start}:${end}`)
    assert.deepEqual(spans, ['0:3', '3:6', '5:8', '0:3', '2:5', '5:8'])
  })

  it('lets fixed spans stand and fills what they leave', () => {
    const { nodes } = defineScenario({
      nodes: [
        { count: 1, blocksPerNode: 4 },
        { count: 1, span: { start: 0, end: 4 } }
      ]
    })
    assert.deepEqual(autoSpans(nodes, 8), [
      { start: 4, end: 8 },
      { start: 0, end: 4 }
    ])
  })
})
