import assert from 'node:assert/strict'
import { loadScenario, shippedScenarios } from '../cli/scenario-files.ts'
import { figureNames } from '../report/figures.ts'
import { workloadPresets } from '../workload/workload-presets.ts'
import { drawWorld } from '../world/draw-world.ts'
import { readScenario } from './read-scenario.ts'
import { writeScenario } from './write-scenario.ts'

describe('writeScenario', () => {
  it('writes what reads back to the same, of every shipped scenario and of worlds that are drawn', () => {
    const shipped = shippedScenarios().flatMap((name) => [loadScenario(name), loadScenario(name, { ci: true })])
    const drawn = Array.from({ length: 40 }, (_, seed) => drawWorld(seed))
    const diurnal = { kind: 'diurnal', leastShare: 0.2, mostShare: 0.9, peakHour: 21, upMs: 1_000, dayMs: 60_000, graceful: true } as const
    const trace = {
      kind: 'trace',
      sessions: [
        [
          [0, 1_500],
          [2_000, 9_000]
        ]
      ],
      graceful: false
    } as const
    const [world] = drawn
    const blocksPerNode = world!.model.blocks
    drawn.push(
      ...[diurnal, trace].map((churn) => ({ ...world!, startHour: 7.5, nodes: [{ ...world!.nodes[0]!, count: 1, blocksPerNode, churn }] }))
    )
    const interArrivalMs = { kind: 'gamma', mean: 1_500, cv: 2.5 } as const
    const { promptTokens, outputTokens } = workloadPresets['azure-code-2023']!
    const workload = { kind: 'open', interArrivalMs, promptTokens, outputTokens, maxRequests: 9 } as const
    drawn.push({ ...world!, clients: [{ ...world!.clients[0]!, workload }] })
    const conversation = { turns: interArrivalMs, thinkMs: interArrivalMs, stopShare: 0.25, roomTokens: 77 } as const
    drawn.push({ ...world!, clients: [{ ...world!.clients[0]!, workload: { ...workload, promptTokens: interArrivalMs, conversation } }] })
    const cells = world!.regions.map(() => world!.regions.map((_, index) => (index === 0 ? 3.5 : interArrivalMs)))
    drawn.push({ ...world!, network: { ...world!.network, latency: { kind: 'matrix', oneWayMs: cells } } })
    const shared = { regions: [world!.regions[0]!.name], machine: 'desk' }
    drawn.push({
      ...{ ...world!, machines: [{ name: 'desk', cores: 4 }] },
      nodes: world!.nodes.map((group) => ({
        ...{ ...group, ...shared },
        device: {
          ...group.device,
          ...{
            overheadUsPerMessage: 300,
            overheadNsPerMessageByte: 0.5,
            overheadUsPerSession: 700,
            overheadUsPerLink: 90,
            overheadUsAfterPause: 1.5
          }
        }
      })),
      clients: world!.clients.map((group) => ({ ...group, ...shared }))
    })
    for (const scenario of [...shipped, ...drawn]) {
      const again = readScenario(writeScenario(scenario), {
        file: scenario.name,
        presets: { devices: {}, models: {}, regions: {}, workloads: {} },
        readFile: () => assert.fail('no file is named'),
        figures: figureNames,
        dataSets: { 'ibm-cloud-2024': scenario.regions.map(({ name }) => name) }
      })
      assert.deepEqual(again, scenario)
    }
  })
})
