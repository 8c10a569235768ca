import assert from 'node:assert/strict'
import { simulate } from '../world/simulate.ts'
import type { RunInit } from './engine.ts'
import { realEngine } from './real-engine.ts'
import { loadScenario } from './scenario-files.ts'

type Init = Omit<RunInit, 'realModel'>

describe('the engine behind the commands', () => {
  const init = (changes: Partial<Init> = {}): Init => ({
    scenario: loadScenario('slow-link', { overrides: [], ci: true }),
    seed: 3,
    tracedGeneration: 0,
    replayCommand: 'skein-sim run slow-link --seed 3 --ci',
    signal: new AbortController().signal,
    onProgress: () => {},
    ...changes
  })

  it('runs a scenario in a thread of its own as it runs here, and says how far it is', async () => {
    const shown: number[] = []
    const { wallMs: _, ...record } = await realEngine.simulate(init({ onProgress: ({ events }) => shown.push(events) }))
    const { wallMs: __, ...here } = await simulate(init()).run()
    assert.deepEqual(record, here)
    assert.ok(shown.length > 10)
    assert.deepEqual(
      shown,
      [...shown].sort((a, b) => a - b)
    )
  })

  it('hands on what is wrong with its code, and ends when it is told to', async () => {
    const scenario = loadScenario('slow-link', { overrides: [], ci: true })
    const none = { ...scenario, nodes: [] }
    await assert.rejects(realEngine.simulate(init({ scenario: none })), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: /nodes/ })
    const controller = new AbortController()
    const long = { ...scenario, durationMs: 1e9 }
    const ended = await realEngine.simulate(init({ scenario: long, signal: controller.signal, onProgress: () => controller.abort() }))
    assert.ok(ended.virtualMs < 1e6)
  })
})
