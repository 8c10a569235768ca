import type { ScenarioFault } from '../scenario/scenario.ts'

/** How long after a fault it may still be the cause of a failure: the wait for coverage, twice, and a lease. As in the simulator. */
const excuseMs = 120_000

/** What was wrong with a swarm, and so may be why a generation failed. */
export class Excuses {
  readonly #faults: ReadonlyArray<readonly [fromMs: number, toMs: number]>
  #uncoveredMs = -Infinity

  constructor(faults: readonly ScenarioFault[]) {
    this.#faults = faults.map((fault) => {
      const forMs = 'forMs' in fault ? fault.forMs : fault.kind === 'crash' ? fault.restartAfterMs : undefined
      return [fault.atMs, fault.atMs + (forMs ?? 0)] as const
    })
  }

  /** Some blocks had nobody. */
  uncovered(atMs: number): void {
    this.#uncoveredMs = atMs
  }

  fault(nowMs: number): string | undefined {
    return this.#faults.some(([fromMs, toMs]) => fromMs <= nowMs && nowMs < toMs + excuseMs) ? 'there was a fault' : undefined
  }

  excuse(nowMs: number): string | undefined {
    return this.fault(nowMs) ?? (nowMs - this.#uncoveredMs < excuseMs ? 'blocks were not covered' : undefined)
  }
}
