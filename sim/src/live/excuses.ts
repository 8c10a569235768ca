import { excuseMs } from '../oracles/checks.ts'
import type { Interval } from './live-faults.ts'

/** What was wrong with a swarm, and so may be why a generation failed. */
export class Excuses {
  readonly #faults: readonly Interval[]
  #uncoveredMs = -Infinity

  /** @param faults when they are in force */
  constructor(faults: readonly Interval[]) {
    this.#faults = faults
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
