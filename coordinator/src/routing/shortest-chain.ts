import type { BlockRange, PeerId } from '@skein/protocol'
import { compareCosts, type Cost, type CostedNode } from './cost.ts'
import type { NodeView } from './swarm-view.ts'

/** A stage to be: a node and the part of its span that is used. */
export interface ChainedStage {
  readonly node: NodeView
  readonly span: BlockRange
}

export interface ShortestChain {
  readonly stages: readonly ChainedStage[]
  readonly cost: Cost
}

/** What lies outside the wanted blocks: the coordinator, or the stages before and after. */
export interface ChainEnds {
  readonly departMs: number
  readonly arriveMs: number
}

/** A node may start a stage only at blocks in `[from, before)`. */
interface StartLimit {
  readonly from: number
  readonly before: number
}

type StartLimits = ReadonlyMap<PeerId, StartLimit>

/** A way to have covered the blocks up to `end`, the last stage being this one. `ms` has the departure from it in it. */
interface Label extends Cost {
  readonly by: CostedNode
  readonly start: number
  readonly end: number
  readonly before: Label | undefined
}

/** The cheapest way to a block, and the cheapest one that ends with another node: no more can be of use there. */
interface Ways {
  best: Label
  second: Label | undefined
}

/** More branches than any real swarm has needed by far; each is one pass over the swarm. */
const maxBranches = 64

/**
 * The cheapest chain that covers `wanted` once and uses no node twice, or undefined when there is none.
 *
 * A shortest path over the entry points, each of which has its two cheapest {@link Ways}. A path may come back to a node that
 * it has left, which a chain must not (a session has one stage per node). Then the search branches: in any valid chain that
 * node's stage starts either before the place of the second use, or there and later; each branch forbids one of the two. The
 * branch with the cheapest path is looked at first, so the first path without a repetition is the cheapest chain of all.
 * After {@link maxBranches} the stages between the two uses are replaced by the node itself, which hosts them.
 *
 * Ties fall to the node that comes first in `nodes`.
 *
 * @param nodes - all usable, sorted by peer id, each peer once
 */
export function shortestChain(nodes: readonly CostedNode[], wanted: BlockRange, ends: ChainEnds): ShortestChain | undefined {
  const startingAt = byEntryPoint(nodes, wanted)
  const first = shortestPath(startingAt, wanted, ends, new Map())
  if (first === undefined) return undefined
  const open: Array<{ path: Label; limits: StartLimits }> = [{ path: first, limits: new Map() }]
  for (let branches = 0; ; branches++) {
    const best = takeCheapest(open)
    if (best === undefined) return undefined
    const stages = stagesOf(best.path)
    const again = firstRepetition(stages)
    if (again === undefined) return { stages, cost: costOf(best.path, ends) }
    if (branches === maxBranches) {
      // The cost is that of the path, which the merged chain can only better.
      return { stages: mergeRepetitions(stages), cost: costOf(best.path, ends) }
    }
    const limit = best.limits.get(again.node.peer) ?? { from: 0, before: Infinity }
    for (const next of [
      { ...limit, before: Math.min(limit.before, again.span.start) },
      { ...limit, from: Math.max(limit.from, again.span.start) }
    ]) {
      const limits = new Map(best.limits).set(again.node.peer, next)
      const path = shortestPath(startingAt, wanted, ends, limits)
      if (path !== undefined) open.push({ path, limits })
    }
  }
}

function costOf({ reluctance, hops, ms }: Label, { arriveMs }: ChainEnds): Cost {
  return { reluctance, hops, ms: ms + arriveMs }
}

/** The nodes that may start a stage at each of the wanted blocks, in their order. */
function byEntryPoint(nodes: readonly CostedNode[], { start, end }: BlockRange): readonly CostedNode[][] {
  const startingAt = Array.from({ length: end - start }, (): CostedNode[] => [])
  for (const costed of nodes) {
    for (const point of costed.node.entryPoints) if (point >= start && point < end) startingAt[point - start]?.push(costed)
  }
  return startingAt
}

function shortestPath(startingAt: readonly CostedNode[][], wanted: BlockRange, ends: ChainEnds, limits: StartLimits): Label | undefined {
  const ways: Array<Ways | undefined> = []
  for (let block = wanted.start; block < wanted.end; block++) {
    const reached = ways[block]
    if (block > wanted.start && reached === undefined) continue
    for (const costed of startingAt[block - wanted.start] ?? []) {
      const limit = limits.size === 0 ? undefined : limits.get(costed.node.peer)
      if (limit !== undefined && (block < limit.from || block >= limit.before)) continue
      // Another stage of the same node is no way to stand before it.
      const before = reached?.best.by === costed ? reached.second : reached?.best
      if (block === wanted.start || before !== undefined) extend(ways, before, costed, block, wanted.end, ends)
    }
  }
  return ways[wanted.end]?.best
}

/** Takes the ways that a stage of this node opens, to each block at which it may end. */
function extend(
  ways: Array<Ways | undefined>,
  before: Label | undefined,
  by: CostedNode,
  start: number,
  lastEnd: number,
  ends: ChainEnds
): void {
  const reluctance = (before?.reluctance ?? 0) + by.reluctance
  const hops = (before?.hops ?? 0) + by.hops
  const fixedMs = (before?.ms ?? ends.departMs) + by.arriveMs + by.fixedMs + by.departMs
  for (const end of by.node.entryPoints) {
    if (end <= start || end > lastEnd) continue
    const ms = fixedMs + by.msPerBlock * (end - start)
    const known = ways[end]
    const isBest = known === undefined || isCheaper(reluctance, hops, ms, known.best)
    if (!isBest && (known.best.by === by || (known.second !== undefined && !isCheaper(reluctance, hops, ms, known.second)))) continue
    const label: Label = { by, start, end, reluctance, hops, ms, before }
    if (known === undefined) ways[end] = { best: label, second: undefined }
    else if (!isBest) known.second = label
    else {
      if (known.best.by !== by) known.second = known.best
      known.best = label
    }
  }
}

function isCheaper(reluctance: number, hops: number, ms: number, than: Cost): boolean {
  if (reluctance !== than.reluctance) return reluctance < than.reluctance
  if (hops !== than.hops) return hops < than.hops
  return ms < than.ms
}

function takeCheapest(open: Array<{ path: Label; limits: StartLimits }>): { path: Label; limits: StartLimits } | undefined {
  let best = open[0]
  for (const entry of open) if (best !== undefined && compareCosts(entry.path, best.path) < 0) best = entry
  if (best !== undefined) open.splice(open.indexOf(best), 1)
  return best
}

function stagesOf(path: Label): ChainedStage[] {
  const stages: ChainedStage[] = []
  for (let label: Label | undefined = path; label !== undefined; label = label.before)
    stages.unshift({ node: label.by.node, span: { start: label.start, end: label.end } })
  return stages
}

/** The first stage whose node has had one before. */
function firstRepetition(stages: readonly ChainedStage[]): ChainedStage | undefined {
  const used = new Set<PeerId>()
  return stages.find(({ node }) => {
    if (used.has(node.peer)) return true
    used.add(node.peer)
    return false
  })
}

function mergeRepetitions(stages: readonly ChainedStage[]): ChainedStage[] {
  const merged: ChainedStage[] = []
  for (const stage of stages) {
    const index = merged.findIndex(({ node }) => node.peer === stage.node.peer)
    if (index < 0) {
      merged.push(stage)
      continue
    }
    const start = merged[index]?.span.start ?? stage.span.start
    merged.splice(index, merged.length - index, { node: stage.node, span: { start, end: stage.span.end } })
  }
  return merged
}
