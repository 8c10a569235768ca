import type { NodeView } from './swarm-view.ts'

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

/**
 * What a node costs as a stage, none below zero. The way from one stage to the next takes `departMs` of the one and `arriveMs`
 * of the other: that a way is the sum of two parts is what makes the search linear in the nodes.
 */
export interface CostedNode {
  readonly node: NodeView
  readonly reluctance: number
  readonly hops: number
  /** However few blocks it computes. */
  readonly fixedMs: number
  readonly msPerBlock: number
  readonly arriveMs: number
  readonly departMs: number
}

/** Negative when `a` is cheaper. */
export function compareCosts(a: Cost, b: Cost): number {
  return a.reluctance - b.reluctance || a.hops - b.hops || a.ms - b.ms
}
