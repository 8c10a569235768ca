import type { Random } from '@skein/protocol'
import type { ScenarioFault } from '../scenario/scenario.ts'
import { drawMs } from '../workload/draw.ts'

/** When a fault comes, and what its targets are drawn by. */
export interface Occurrence {
  readonly atMs: number
  readonly random: Random
}

/**
 * The times of a fault, in order: one, or drawn gaps after each other.
 *
 * @param durationMs until when it comes again if it says no end of its own
 * @param random of this fault
 */
export function* occurrencesOf({ atMs: firstMs, repeat }: ScenarioFault, durationMs: number, random: Random): Generator<Occurrence> {
  if (repeat === undefined) {
    yield { atMs: firstMs, random }
    return
  }
  const { everyMs, untilMs = durationMs } = repeat
  const gaps = random.fork('gaps')
  let atMs = firstMs + drawMs(everyMs, gaps)
  for (let times = 0; atMs < untilMs; times++) {
    yield { atMs, random: random.fork(`time ${times}`) }
    atMs += drawMs(everyMs, gaps)
  }
}
