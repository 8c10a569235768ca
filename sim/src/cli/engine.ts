import type { RunRecord } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'

export interface RunProgress {
  readonly virtualMs: number
  readonly events: number
}

/** What a thread of its own can be told. */
export interface SimulateJob {
  readonly scenario: Scenario
  readonly seed: number
  /** The generation whose way through the swarm is kept piece by piece. */
  readonly tracedGeneration: number
  /** What the user types to run this again. */
  readonly replayCommand: string
}

export interface RunInit extends SimulateJob {
  /** The folder of a real model, which computes instead of checksums. */
  readonly realModel?: string
  readonly signal: AbortSignal
  readonly onProgress: (progress: RunProgress) => void
}

/** What a command hands back: lines for people, one object for programs. */
export interface Outcome {
  readonly json: unknown
  readonly lines: readonly string[]
  /** Whether something was broken or missed: the exit code is 1. */
  readonly failed: boolean
}

export interface FuzzOutcome extends Outcome {
  /** The smallest scenario that breaks a promise, as YAML. */
  readonly scenario?: string
  /** The seed that it was drawn from. */
  readonly seed?: number
}

export interface CalibrateInit {
  /** What the device is called. */
  readonly name: string
  readonly threads: number
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

export interface CalibrateOutcome extends Outcome {
  /** The device as a file for scenarios. */
  readonly file: string
}

export interface FuzzInit {
  readonly seeds: number
  readonly firstSeed: number
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

/** A question that is answered by several runs and a comparison of its own; `run` knows it by its name. */
export interface Study {
  readonly question: string
  run(options: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void }): Promise<Outcome>
}

/** What the commands run; the program hands over the simulator, tests what they like. Loaded when it is needed. */
export interface SimEngine {
  simulate(init: RunInit): Promise<RunRecord>
  /** The command is there when this is. */
  readonly fuzz?: (init: FuzzInit) => Promise<FuzzOutcome>
  /** Measures this machine. The command is there when this is. */
  readonly calibrate?: (init: CalibrateInit) => Promise<CalibrateOutcome>
  readonly studies: Readonly<Record<string, Study>>
}
