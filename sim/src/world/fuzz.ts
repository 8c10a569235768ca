import type { Violation } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { checkScenario } from '../scenario/check-scenario.ts'
import { drawWorld } from './draw-world.ts'
import { knownNames } from './known-names.ts'
import { shrink } from './shrink.ts'
import { World, type WorldInit } from './world.ts'

export interface FuzzOptions {
  /** Worlds to draw: seeds `firstSeed` and on. */
  readonly seeds: number
  readonly firstSeed?: number
  readonly signal?: AbortSignal
  /** One line per world, and per step of shrinking. */
  readonly onProgress?: (text: string) => void
  /** Runs of scenarios while a failing one is made smaller. @default 150 */
  readonly maxShrinkRuns?: number
  /** As for any world; how tests plant bugs. */
  readonly wrapRuntime?: WorldInit['wrapRuntime']
}

export interface FuzzFailure {
  readonly seed: number
  /** As it was drawn, with what broke there. */
  readonly drawn: Scenario
  readonly violation: Violation
  /** The smallest that still breaks the same oracle, with what breaks there. */
  readonly smallest: Scenario
  readonly smallestViolation: Violation
}

export interface FuzzResult {
  /** Worlds that were run, the failing one included. */
  readonly worlds: number
  readonly events: number
  readonly generations: number
  /** Undefined when nothing broke. */
  readonly failure: FuzzFailure | undefined
}

/** Draws worlds from seeds and runs them until one breaks an oracle; makes that one as small as it gets. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { seeds, firstSeed = 1, signal, onProgress, maxShrinkRuns = 150, wrapRuntime } = options
  const run = async (
    scenario: Scenario,
    replayCommand: string
  ): Promise<{ violation: Violation | undefined; events: number; generations: number }> => {
    const world = new World({
      scenario,
      replayCommand,
      ...(signal === undefined ? {} : { signal }),
      ...(wrapRuntime === undefined ? {} : { wrapRuntime })
    })
    const { violations, events, generations } = await world.run()
    return { violation: violations[0], events, generations: generations.length }
  }
  let events = 0
  let generations = 0
  let worlds = 0
  for (let seed = firstSeed; seed < firstSeed + seeds && signal?.aborted !== true; seed++) {
    const drawn = drawWorld(seed)
    const replayCommand = `skein-sim fuzz --from ${seed} --seeds 1`
    const outcome = await run(drawn, replayCommand)
    worlds++
    events += outcome.events
    generations += outcome.generations
    const { violation } = outcome
    onProgress?.(
      `seed ${seed}: ${outcome.generations} generations, ${outcome.events} events, ${violation === undefined ? 'good' : `${violation.oracle}: ${violation.text}`}`
    )
    if (violation === undefined) continue
    let smallestViolation = violation
    const fails = async (scenario: Scenario): Promise<boolean> => {
      // What is found is to be run again, so it must be a scenario that can be.
      if (checkScenario(scenario, knownNames).length > 0) return false
      const { violation: again } = await run(scenario, replayCommand)
      if (again?.oracle !== violation.oracle) return false
      smallestViolation = again
      onProgress?.(`smaller: ${sizeOf(scenario)}`)
      return true
    }
    const smallest = await shrink(drawn, fails, maxShrinkRuns)
    return { worlds, events, generations, failure: { seed, drawn, violation, smallest, smallestViolation } }
  }
  return { worlds, events, generations, failure: undefined }
}

/** One line that says how large a world is. */
export function sizeOf({ nodes, clients, faults, durationMs }: Scenario): string {
  const count = (groups: ReadonlyArray<{ readonly count: number }>): number => groups.reduce((sum, group) => sum + group.count, 0)
  return `${count(nodes)} nodes, ${count(clients)} clients, ${faults.length} faults, ${durationMs / 1000} s`
}
