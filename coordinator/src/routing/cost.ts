/**
 * What a chain costs, compared from the first field to the last.
 *
 * `reluctance`: nodes in it that should not be used if there are others. `hops`: its stages (0 throughout when only latency
 * counts). `ms`: the expected time of one decode step.
 */
export interface Cost {
  readonly reluctance: number
  readonly hops: number
  readonly ms: number
}

export const noCost: Cost = { reluctance: 0, hops: 0, ms: 0 }

export function addCosts(a: Cost, b: Cost): Cost {
  return { reluctance: a.reluctance + b.reluctance, hops: a.hops + b.hops, ms: a.ms + b.ms }
}

export function addMs(cost: Cost, ms: number): Cost {
  return { reluctance: cost.reluctance, hops: cost.hops, ms: cost.ms + ms }
}

/** Negative when `a` is cheaper. */
export function compareCosts(a: Cost, b: Cost): number {
  return a.reluctance - b.reluctance || a.hops - b.hops || a.ms - b.ms
}
