import assert from 'node:assert/strict'
import type { Distribution } from '../scenario/scenario.ts'
import { defineScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })

describe('a node whose speed changes', () => {
  const span = (start: number, end: number) => ({ count: 1, span: { start, end } })
  const workload = { kind: 'closed', startMs: constant(5_000), thinkMs: constant(500), maxRequests: 1e6 } as const
  const scenario = defineScenario({
    name: 'speed change',
    durationMs: 900_000,
    nodes: [span(0, 4), span(4, 8)],
    clients: [{ count: 1, workload: { ...workload, promptTokens: constant(8), outputTokens: constant(30) } }],
    faults: [{ kind: 'slow', atMs: 30_000, target: { node: 0 }, forMs: 500_000, factor: 3 }]
  })

  /** What the nodes announced at the start, when one has long been slow, and when it has long been itself again. */
  async function run() {
    const world = simulate({ scenario })
    const announced = async (): Promise<number[]> => {
      const swarm = await world.client(0).swarm
      const { nodes } = await world.runUntil(swarm.status())
      return nodes.map(({ stepMs }) => stepMs)
    }
    await world.runFor(20_000)
    const atFirst = await announced()
    await world.runFor(180_000)
    const early = await announced()
    await world.runFor(300_000)
    const slow = await announced()
    await world.runFor(380_000)
    const after = await announced()
    const { eventLogHash, violations } = world.record()
    assert.deepEqual(violations, [])
    return { atFirst, early, slow, after, eventLogHash }
  }

  it('tells the swarm, though not at once, and tells it again when it is itself again', async function () {
    this.timeout(60_000)
    const found = await run()
    const { atFirst, early, slow, after } = found
    assert.deepEqual(early, atFirst)
    assert.ok(slow[0]! > 2 * atFirst[0]!, String(slow))
    assert.equal(slow[1], atFirst[1])
    assert.ok(Math.abs(after[0]! - atFirst[0]!) < atFirst[0]! / 3, String(after))
    assert.deepEqual(await run(), found)
  })
})
