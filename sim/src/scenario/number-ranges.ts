/** Bounds on what a scenario may ask for, so that a slip of the pen is told and not simulated. */
export const scenarioLimits = { nodes: 100_000, clients: 100_000, durationMs: 30 * 86_400_000, blocks: 10_000, faults: 10_000 } as const

export interface NumberRange {
  readonly least: number
  readonly most: number
  readonly isWhole?: true
}

const range = (least: number, most: number): NumberRange => ({ least, most })
const whole = (least: number, most: number): NumberRange => ({ least, most, isWhole: true })
const share = range(0, 1)
const hour = range(0, 24)
const any = range(-Infinity, Infinity)

/**
 * What numbers may be, by the names of their fields in a `Scenario`, wherever they are; those that are not here may not be
 * negative. YAML is held to the same, and in places to less: who writes there a number of requests wants some.
 */
export const numberRanges = {
  seed: whole(0, 2 ** 32 - 1),
  ...{ startHour: hour, peakHour: hour },
  blocks: whole(1, scenarioLimits.blocks),
  hiddenSize: whole(1, 1_000_000),
  vocabSize: whole(2, 10_000_000),
  contextTokens: whole(2, 10_000_000),
  ...{ connectRoundTrips: range(0, 20), detour: range(1, 10), latitude: range(-90, 90), longitude: range(-180, 180) },
  cores: whole(1, 1024),
  count: whole(0, scenarioLimits.nodes),
  ...{ start: whole(0, scenarioLimits.blocks), end: whole(0, scenarioLimits.blocks), blocksPerNode: whole(1, scenarioLimits.blocks) },
  kvTokens: whole(1, 10_000_000),
  roomTokens: whole(2, 10_000_000),
  maxSessions: whole(1, 100_000),
  maxRequests: whole(0, 1_000_000),
  ...{ node: whole(0, scenarioLimits.nodes), client: whole(0, scenarioLimits.clients), random: whole(0, 1_000_000), factor: range(1, 1e6) },
  ...{ share, lossShare: share, leastShare: share, mostShare: share, stopShare: share, efficiency: share },
  /** Of distributions. */
  ...{ cv: range(0.05, 20), sigma: range(0, 5) },
  ...{ byMs: any, atLeast: any, atMost: any }
} as const
