import assert from 'node:assert/strict'
import type { SpanRuntime } from '@skein/node'
import type { Distribution } from '../scenario/scenario.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })
/** Longer than a fault that is over is an excuse. */
const durationMs = 140_000

/** One long answer is under way when the duration ends, and from then on no node computes anything. What the oracles say of it. */
async function brokenAfterTheEnd(partial: PartialScenario): Promise<string[]> {
  const scenario = defineScenario({
    name: 'settle',
    durationMs,
    settleMs: 300_000,
    nodes: [{ count: 6, blocksPerNode: 4 }],
    clients: [
      {
        workload: {
          kind: 'closed',
          startMs: constant(130_000),
          thinkMs: constant(0),
          promptTokens: constant(20),
          outputTokens: constant(900),
          maxRequests: 1
        }
      }
    ],
    ...partial
  })
  const world = simulate({
    scenario,
    wrapRuntime: (runtime): SpanRuntime => ({
      info: runtime.info,
      freeKvTokens: () => runtime.freeKvTokens(),
      reserve: (...args) => runtime.reserve(...args),
      run: async (entries) => {
        const result = await runtime.run(entries)
        if (world.nowMs < durationMs) return result
        const refused = { ok: false, code: 'ERR_SKEIN_NOT_FINITE', message: 'planted: a number that is none' } as const
        return { ...result, outputs: entries.map(() => refused) }
      },
      release: (cache) => runtime.release(cache),
      stop: () => runtime.stop()
    })
  })
  return (await world.run()).violations.map(({ oracle, text }) => `${oracle}: ${text}`)
}

describe('the time after the duration', () => {
  const failed = /^failure: .* failed with ERR_SKEIN_NOT_FINITE though nodes of every block served all the time/

  it('excuses no failure where nothing was wrong', async () => {
    assert.match((await brokenAfterTheEnd({})).join(), failed)
  })

  it('excuses none where others came and went', async () => {
    const churn = { kind: 'renewal', upMs: constant(50_000), downMs: constant(20_000), graceful: false } as const
    const nodes = [
      { count: 6, blocksPerNode: 4 },
      { count: 2, blocksPerNode: 4, churn }
    ]
    assert.match((await brokenAfterTheEnd({ nodes })).join(), failed)
  })

  it('tells of an answer that only needs longer when it last showed a sign of life', async () => {
    const text = (await brokenAfterTheEnd({ durationMs: 132_000, settleMs: 1_000 })).join()
    assert.match(
      text,
      /^settle: generation 0 of client 0 has not ended 1000 ms after everything healed; its last sign of life was \d+ ms before: /
    )
    assert.match(text, /needs a longer settle or fewer requests$/)
  })

  it('excuses what a fault may have done that was in force until then', async () => {
    const faults = [{ kind: 'slow', atMs: 1_000, target: { node: 5 }, forMs: 1_000_000, factor: 2 }] as const
    assert.deepEqual(await brokenAfterTheEnd({ faults }), [])
  })
})
