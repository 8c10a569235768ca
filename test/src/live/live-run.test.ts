import assert from 'node:assert/strict'
import { defineScenario, openRealModel, runLive, simulate } from '@skein/sim'
import { launchNode } from '../harness/node-process.ts'
import { sharedCache, tinyModel } from '../harness/work-folder.ts'

const constant = (value: number) => ({ kind: 'constant', value }) as const

describe('live runs of scenarios', function () {
  this.timeout(120_000)

  it('recovers on real sockets from a node that the scenario kills', async () => {
    const workload = { kind: 'closed', startMs: constant(0), thinkMs: constant(0), promptTokens: constant(12) } as const
    const scenario = defineScenario({
      name: 'live',
      network: { latency: { kind: 'constant', oneWayMs: 20 } },
      // The first serves all blocks, which saves a hop; the others take its place.
      nodes: [{ span: { start: 0, end: 8 } }, { span: { start: 0, end: 4 } }, { span: { start: 4, end: 8 } }],
      clients: [{ workload: { ...workload, outputTokens: constant(30), maxRequests: 1 } }],
      faults: [{ kind: 'crash', atMs: 900, target: { node: 0 } }]
    })
    const { record, ready } = await runLive({ scenario, model: tinyModel, cacheDir: sharedCache(), signal: new AbortController().signal })
    assert.equal(ready.length, 3)
    const [generation] = record.generations
    assert.deepEqual(record.violations, [])
    assert.equal(generation?.outcome, 'completed')
    assert.equal(generation.outputTokens, 30)
    // It asks what the simulator asks of a real model: a beginning of a story.
    const realModel = await openRealModel({ folder: tinyModel, cacheDir: sharedCache() })
    try {
      const simulated = await simulate({ scenario, realModel }).run()
      assert.match(generation.prompt ?? '', / (sea|goose|village|ball)\.$/)
      assert.equal(generation.prompt, simulated.generations[0]?.prompt)
    } finally {
      realModel.close()
    }
    assert.ok(generation.recoveries >= 1)
    assert.deepEqual(
      generation.chain.map(({ node }) => node),
      [1, 2]
    )
    // Two hops of 20 ms, and three after the kill: no token can be faster.
    assert.ok((generation.lastTokenMs! - generation.firstTokenMs!) / 29 > 38)
    const kinds = record.log.map(({ kind }) => kind).filter((kind) => kind !== 'node-up')
    assert.equal(kinds[0], 'fault')
    // Who hears of the death first, the coordinator by its connection or the run by the process, is a race.
    assert.ok(kinds.includes('node-down') && kinds.includes('recovering'), kinds.join())
    assert.ok(record.nodes[0]!.up[0]![1] < record.virtualMs)
    // The first was asked before it was killed, the others at the end: what one sent on, the other one received.
    for (const { busyMs, rows, sentBytes, receivedBytes } of record.nodes) {
      assert.ok(
        busyMs > 0 && rows > 12 && sentBytes > 1_000 && receivedBytes > 1_000,
        JSON.stringify({ busyMs, rows, sentBytes, receivedBytes })
      )
    }
  })

  it('goes on after a partition, through which nothing passes, and is judged', async () => {
    const workload = { kind: 'closed', startMs: constant(0), thinkMs: constant(0), promptTokens: constant(12) } as const
    const [cutMs, forMs] = [600, 700]
    const scenario = defineScenario({
      name: 'live-cut',
      regions: ['here', 'there'].map((name) => ({ name, latitude: 0, longitude: 0 })),
      network: { latency: { kind: 'constant', oneWayMs: 20 }, jitterMs: { kind: 'exponential', mean: 1 } },
      nodes: [{ name: 'all', count: 1, blocksPerNode: 8, regions: ['here'] }],
      clients: [{ regions: ['there'], workload: { ...workload, outputTokens: constant(60), maxRequests: 1 } }],
      faults: [{ kind: 'partition', atMs: cutMs, forMs, between: [{ region: 'here' }, { region: 'there' }], oneWay: false }]
    })
    const { record } = await runLive({ scenario, model: tinyModel, cacheDir: sharedCache(), signal: new AbortController().signal })
    assert.deepEqual(record.violations, [])
    assert.ok(record.notJudged!.length > 0)
    const [generation] = record.generations
    assert.deepEqual([generation?.outcome, generation?.outputTokens], ['completed', 60])
    // 59 round trips, and the cut, which TCP notices to be over by its retransmission after 1,400 ms. What is under way arrives.
    assert.ok(generation!.lastTokenMs! - generation!.startMs > 59 * 39 + 1_400 - 40, JSON.stringify(generation))
    const kinds = record.log.map(({ kind }) => kind)
    assert.ok(kinds.includes('fault') && kinds.includes('heal'), kinds.join())
  })

  it('refuses a model of another size, and says what to do', async () => {
    const scenario = defineScenario({ model: 'llama-3.2-1b' })
    const run = runLive({ scenario, model: tinyModel, cacheDir: sharedCache(), signal: new AbortController().signal })
    const advice = /has blocks 8.*model llama-3\.2-1b has blocks 16.*such as --set model=skein-tiny, and spans of its 8 blocks$/
    await assert.rejects(run, { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: advice })
  })

  it('is told by a node what is wrong with its link profile, before it serves', async () => {
    const { program } = launchNode({ args: ['--link', '{"oneWayMs": "far"}'] })
    const { code } = await program.exited
    assert.notEqual(code, 0)
    assert.match(program.logs(), /the field 'oneWayMs' of the link profile is "far": expected a number/)
  })
})
