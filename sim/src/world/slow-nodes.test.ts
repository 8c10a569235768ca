import assert from 'node:assert/strict'
import type { RunRecord } from '../record/run-record.ts'
import type { Distribution, ScenarioFault } from '../scenario/scenario.ts'
import { causes } from '../report/figures.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })

/** Six nodes with half of an 8B model each, and one request of so many tokens after half a minute. */
async function run(promptTokens: number, device: string, fault: ScenarioFault, partial: PartialScenario = {}): Promise<RunRecord> {
  const workload = {
    kind: 'closed',
    startMs: constant(30_000),
    thinkMs: constant(1_000),
    promptTokens: constant(promptTokens),
    outputTokens: constant(8),
    maxRequests: 1
  } as const
  const scenario = defineScenario({
    durationMs: 600_000,
    model: 'llama-3-8b',
    nodes: [{ count: 6, blocksPerNode: 16, device }],
    clients: [{ count: 2, device: 'laptop-cpu', workload }],
    faults: [fault],
    ...partial
  })
  return simulate({ scenario }).run()
}

const slow = (factor: number, atMs: number): ScenarioFault => ({ kind: 'slow', atMs, forMs: 540_000, target: { random: 6 }, factor })
const oracles = ({ violations }: RunRecord): string[] => violations.map(({ oracle, text }) => `${oracle}: ${text}`)

describe('nodes that have become very slow', () => {
  it('charge a generation that gives them up for no time twice, and for none that is negative', async () => {
    const record = await run(10, 'rtx-3060', slow(3000, 25_000))
    assert.deepEqual(oracles(record), [])
    for (const { id, startMs, endMs, time, recoveries } of record.generations) {
      assert.ok(recoveries > 3, `${recoveries}`)
      for (const cause of causes) assert.ok(time[cause] >= 0, `${cause} of generation ${id}: ${time[cause]}`)
      const charged = causes.reduce((sum, cause) => sum + time[cause], 0)
      assert.ok(charged <= 1.01 * (endMs! - startMs), `${charged} ms of ${endMs! - startMs}`)
    }
  })

  it('give up, as a node does whose runtime hangs, and that is no violation', async () => {
    const record = await run(128, 'laptop-cpu', slow(1000, 25_000))
    assert.deepEqual(oracles(record), [])
    assert.ok(record.log.some(({ kind, atMs }) => kind === 'node-down' && atMs < 600_000))
  })
})

describe('a swarm that nobody is in', () => {
  it('may be waited for as long as it takes', async () => {
    const churn = { kind: 'trace', sessions: Array.from({ length: 6 }, () => [[550_000, 1e9]] as const), graceful: false } as const
    const nodes = [{ count: 6, blocksPerNode: 16, device: 'rtx-3060', churn }]
    const record = await run(10, 'rtx-3060', { kind: 'clock-jump', atMs: 1_000, target: { node: 0 }, byMs: 1 }, { nodes })
    assert.deepEqual(oracles(record), [])
    assert.deepEqual(
      record.generations.map(({ outcome }) => outcome),
      ['completed', 'completed']
    )
  })
})
