import type { FuzzResult } from '../world/fuzz.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { writeScenario } from '../scenario/write-scenario.ts'
import { formatDuration } from '../scenario/units.ts'
import type { FuzzOutcome, SimEngine } from './engine.ts'
import { petalsTableStudy } from './petals-table.ts'

/** The simulator behind the commands. Loaded when it is needed: all of skein takes longer to load than `--help` may take. */
export const realEngine: SimEngine = {
  simulate: async ({ scenario, seed, tracedGeneration, signal, onProgress }) => {
    const { simulate } = await import('../world/simulate.ts')
    return simulate({ scenario, seed, tracedGeneration, signal, onProgress }).run()
  },
  fuzz: async (init) => {
    const { fuzz, sizeOf } = await import('../world/fuzz.ts')
    return toOutcome(await fuzz(init), sizeOf)
  },
  studies: { 'petals-table': petalsTableStudy }
}

/** What a search found, for people and programs. */
function toOutcome({ worlds, events, generations, failure }: FuzzResult, sizeOf: (scenario: Scenario) => string): FuzzOutcome {
  const counts = { worlds, events, generations }
  const summary = `${worlds} worlds, ${generations} generations, ${events} events`
  if (failure === undefined) return { json: { ...counts, failure: null }, lines: [`${summary}: nothing was broken`], failed: false }
  const { seed, violation, smallest, smallestViolation } = failure
  const scenario = writeScenario(smallest)
  const replay = `skein-sim fuzz --from ${seed} --seeds 1`
  return {
    json: { ...counts, failure: { seed, violation, smallest: scenario, smallestViolation, replay } },
    lines: [
      `${summary}: seed ${seed} breaks ${violation.oracle}`,
      `  as drawn, at ${formatDuration(violation.atMs)}: ${violation.text}`,
      `  smallest (${sizeOf(smallest)}), at ${formatDuration(smallestViolation.atMs)}: ${smallestViolation.text}`,
      ...smallestViolation.lastEvents.map((event) => `    ${event}`),
      `find it again: ${replay}`
    ],
    failed: true,
    scenario
  }
}
