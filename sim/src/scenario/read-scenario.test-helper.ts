import assert from 'node:assert/strict'
import { devicePresets } from '../compute/device-presets.ts'
import { modelPresets } from '../compute/model-presets.ts'
import { workloadPresets } from '../workload/workload-presets.ts'
import { ScenarioError } from './problems.ts'
import { readScenario, type ReadScenarioOptions } from './read-scenario.ts'
import { regionPresets } from './region-presets.ts'
import type { Scenario } from './scenario.ts'

/** A scenario that is right, for tests to change. */
export const base = `
name: base
question: Does it read?
duration: 10m
model: llama-3-8b
regions: [frankfurt, virginia]
nodes:
  - name: homes
    count: 8
    device: rtx-3090
    blocksPerNode: 8
    churn: { up: { kind: exponential, median: 10m }, down: 30s }
clients:
  - name: users
    count: 2
    device: laptop-cpu
    workload: { kind: open, interArrival: { kind: exponential, mean: 30s } }
`

/** Reads it with the presets, a figure `completedShare` and a data set `lab`; no file can be read. */
export function read(text: string, options: Partial<ReadScenarioOptions> = {}): Scenario {
  return readScenario(text, {
    file: 'x.yaml',
    presets: { devices: devicePresets, models: modelPresets, regions: regionPresets, workloads: workloadPresets },
    readFile: () => assert.fail('no file was named'),
    figures: ['completedShare'],
    dataSets: { lab: ['frankfurt'] },
    ...options
  })
}

/** The lines of the error that the text makes. */
export function problemsOf(text: string, options: Partial<ReadScenarioOptions> = {}): string[] {
  try {
    read(text, options)
  } catch (error) {
    assert.ok(error instanceof ScenarioError, String(error))
    assert.equal(error.code, 'ERR_SKEIN_INVALID_ARGUMENT')
    return error.message.split('\n')
  }
  return assert.fail('it was taken for right')
}
