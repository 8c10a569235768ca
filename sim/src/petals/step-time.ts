import { InvalidArgumentError } from '@skein/protocol'
import type { Scenario } from '../scenario/scenario.ts'
import { simulate } from '../world/simulate.ts'

/** What one simulated session says. */
export interface StepTime {
  readonly msPerStep: number
  readonly stages: number
  readonly eventLogHash: string
}

/** An answer takes half a minute. */
const limitMs = 300_000
const pieceMs = 2_000

/**
 * Runs a scenario of one generation and times its steps after the first token.
 *
 * @throws InvalidArgumentError when the generation failed or an oracle was violated
 */
export async function simulatedStepTime(scenario: Scenario, signal?: AbortSignal): Promise<StepTime> {
  const world = simulate({ scenario, ...(signal === undefined ? {} : { signal }) })
  // What comes after the answer is of no interest here: nobody waits for the world's end.
  let record = world.record()
  while (record.generations[0]?.endMs === undefined && record.violations.length === 0 && world.nowMs < limitMs) {
    await world.runFor(pieceMs)
    signal?.throwIfAborted()
    record = world.record()
  }
  const [generation] = record.generations
  const [violation] = record.violations
  if (violation !== undefined) throw new InvalidArgumentError(`${scenario.name}: ${violation.oracle}: ${violation.text}`)
  if (generation?.outcome !== 'completed' || generation.firstTokenMs === undefined || generation.lastTokenMs === undefined) {
    throw new InvalidArgumentError(`${scenario.name}: the generation has not been completed, but ${generation?.outcome ?? 'not begun'}`)
  }
  return {
    msPerStep: (generation.lastTokenMs - generation.firstTokenMs) / (generation.outputTokens - 1),
    stages: generation.chain.length,
    eventLogHash: record.eventLogHash
  }
}
