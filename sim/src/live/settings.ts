import type { Scenario } from '../scenario/scenario.ts'
import { unlimitedMbps } from '../scenario/units.ts'
import { defineScenario } from '../world/define-scenario.ts'
import { liveModel } from './calibration.ts'

/** One of the shipped settings in which live and simulated runs are compared. */
export interface Setting {
  readonly name: string
  readonly stages: number
  readonly hopMs: number
  /** Unlimited when undefined. */
  readonly mbps?: number
  /** A node of the last stage is killed in the middle of an answer; there are two that could serve it. */
  readonly kill?: boolean
}

/** Through chains of 1, 2 and 4 stages; the first setting is the one that the cost of a hop is calibrated on. */
export const settings: readonly Setting[] = [
  { name: '1 stage, 0 ms', stages: 1, hopMs: 0 },
  { name: '2 stages, 0 ms', stages: 2, hopMs: 0 },
  { name: '4 stages, 0 ms', stages: 4, hopMs: 0 },
  { name: '2 stages, 0 ms, 100 Mbit/s', stages: 2, hopMs: 0, mbps: 100 },
  { name: '1 stage, 5 ms', stages: 1, hopMs: 5 },
  { name: '4 stages, 5 ms, 100 Mbit/s', stages: 4, hopMs: 5, mbps: 100 },
  { name: '1 stage, 25 ms, 20 Mbit/s', stages: 1, hopMs: 25, mbps: 20 },
  { name: '2 stages, 25 ms, 100 Mbit/s', stages: 2, hopMs: 25, mbps: 100 },
  { name: '4 stages, 25 ms', stages: 4, hopMs: 25 },
  { name: '1 stage, 50 ms', stages: 1, hopMs: 50 },
  { name: '2 stages, 50 ms, 20 Mbit/s', stages: 2, hopMs: 50, mbps: 20 },
  { name: '2 stages, 25 ms, one kill', stages: 2, hopMs: 25, kill: true }
]

/** Answers of a setting; the first one makes the connections and is not counted. Of so many others one may be odd. */
const answers = 6
const promptTokens = 256
/** After this many milliseconds of requests the second of the long answers of a setting with a kill is under way. */
const killAfterMs = 8_200
/** A busy machine gives more to who has just rested: without pauses an answer's speed depends on how many came before it. */
const pauseMs = 1_500
const pauseBeforeKillMs = 500

/**
 * The scenario of a setting.
 *
 * @param startMs when the first request comes: a simulated swarm must have come together by then
 * @param killed which of the two nodes of the last stage is killed: 0 or 1, if any
 */
export function settingScenario(
  { name, stages, hopMs, mbps = unlimitedMbps, kill = false }: Setting,
  startMs: number,
  killed: number
): Scenario {
  const constant = (value: number) => ({ kind: 'constant', value }) as const
  const lines = { upMbps: constant(mbps), downMbps: constant(mbps) }
  const blocks = liveModel.blocks / stages
  const spans = Array.from({ length: stages }, (_, index) => ({ start: index * blocks, end: (index + 1) * blocks }))
  if (kill) spans.push(spans.at(-1)!)
  return defineScenario({
    name: name.replaceAll(/[ ,/]+/g, '-'),
    question: 'Is the simulated run as the real one?',
    seed: 1,
    durationMs: startMs + 120_000,
    settleMs: 30_000,
    model: liveModel,
    network: { latency: { kind: 'constant', oneWayMs: hopMs } },
    nodes: spans.map((span, index) => ({ name: `node ${index}`, count: 1, span, ...lines })),
    clients: [
      {
        name: 'client',
        ...lines,
        workload: {
          kind: 'closed',
          startMs: constant(startMs),
          thinkMs: constant(kill ? pauseBeforeKillMs : pauseMs),
          promptTokens: constant(promptTokens),
          outputTokens: constant(kill ? 50 : hopMs >= 25 ? 16 : 48),
          maxRequests: kill ? 2 : answers
        }
      }
    ],
    faults: kill ? [{ kind: 'crash', atMs: startMs + killAfterMs, target: { node: stages - 1 + killed } }] : []
  })
}
