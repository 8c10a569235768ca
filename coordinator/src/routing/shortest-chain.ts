import type { BlockRange, PeerId } from '@skein/protocol'
import { addCosts, addMs, compareCosts, noCost, type Cost } from './cost.ts'
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

/** Costs of the parts of a chain, none below zero. */
export interface ChainCosts {
  /** Of a stage by itself. */
  stage(node: NodeView, span: BlockRange): Cost
  /** The way from one stage to the next, in milliseconds; `undefined` is the end of the chain. */
  linkMs(from: NodeView | undefined, to: NodeView | undefined): number
}

/** A node may start a stage only at blocks in `[from, before)`. */
interface StartLimit {
  readonly from: number
  readonly before: number
}

type StartLimits = ReadonlyMap<PeerId, StartLimit>

/** The cheapest way to have covered the blocks up to `span.end`, the last stage being this one. */
interface Label {
  readonly node: NodeView
  readonly span: BlockRange
  readonly cost: Cost
  readonly before: Label | undefined
}

/** More branches than any real swarm has needed by far; each is one pass over the swarm. */
const maxBranches = 64

/**
 * The cheapest chain that covers `wanted` once and uses no node twice, or undefined when there is none.
 *
 * A layered shortest path over (entry point, node). A path may come back to a node that it has left, which a chain must not
 * (a session has one stage per node). Then the search branches: in any valid chain that node's stage starts either before
 * the place of the second use, or there and later; each branch forbids one of the two. The branch with the cheapest path is
 * looked at first, so the first path without a repetition is the cheapest chain of all. After {@link maxBranches} the
 * stages between the two uses are replaced by the node itself, which hosts them.
 *
 * Ties fall to the node that comes first in `nodes`.
 *
 * @param nodes - all usable, sorted by peer id, each peer once
 */
export function shortestChain(nodes: readonly NodeView[], wanted: BlockRange, costs: ChainCosts): ShortestChain | undefined {
  const first = shortestPath(nodes, wanted, costs, new Map())
  if (first === undefined) return undefined
  const open: Array<{ path: Label; limits: StartLimits }> = [{ path: first, limits: new Map() }]
  for (let branches = 0; ; branches++) {
    const best = takeCheapest(open, costs)
    if (best === undefined) return undefined
    const stages = stagesOf(best.path)
    const again = firstRepetition(stages)
    if (again === undefined) return { stages, cost: totalCost(stages, costs) }
    if (branches === maxBranches) {
      const merged = mergeRepetitions(stages)
      return { stages: merged, cost: totalCost(merged, costs) }
    }
    const limit = best.limits.get(again.node.peer) ?? { from: 0, before: Infinity }
    for (const next of [
      { ...limit, before: Math.min(limit.before, again.span.start) },
      { ...limit, from: Math.max(limit.from, again.span.start) }
    ]) {
      const limits = new Map(best.limits).set(again.node.peer, next)
      const path = shortestPath(nodes, wanted, costs, limits)
      if (path !== undefined) open.push({ path, limits })
    }
  }
}

/** What a chain of these stages costs. */
function totalCost(stages: readonly ChainedStage[], costs: ChainCosts): Cost {
  let total = noCost
  let before: NodeView | undefined
  for (const { node, span } of stages) {
    total = addCosts(addMs(total, costs.linkMs(before, node)), costs.stage(node, span))
    before = node
  }
  return addMs(total, costs.linkMs(before, undefined))
}

function shortestPath(nodes: readonly NodeView[], wanted: BlockRange, costs: ChainCosts, limits: StartLimits): Label | undefined {
  /** Labels by the block up to which they cover, then by node. */
  const layers = new Map<number, Map<PeerId, Label>>()
  for (let block = wanted.start; block < wanted.end; block++) {
    const reached = layers.get(block)
    if (block > wanted.start && reached === undefined) continue
    for (const node of nodes) {
      const limit = limits.get(node.peer)
      if (limit !== undefined && (block < limit.from || block >= limit.before)) continue
      if (!node.entryPoints.includes(block)) continue
      const arrival = cheapestArrival(reached, node, costs)
      if (arrival !== undefined) extend(layers, arrival, node, block, wanted.end, costs)
    }
  }
  return cheapest([...(layers.get(wanted.end)?.values() ?? [])], (label) => addMs(label.cost, costs.linkMs(label.node, undefined)))
}

interface Arrival {
  readonly cost: Cost
  readonly before: Label | undefined
}

/** The cheapest way to stand before `node` with all earlier blocks covered. Another stage of the same node is no way. */
function cheapestArrival(reached: ReadonlyMap<PeerId, Label> | undefined, node: NodeView, costs: ChainCosts): Arrival | undefined {
  if (reached === undefined) return { cost: addMs(noCost, costs.linkMs(undefined, node)), before: undefined }
  let best: Label | undefined
  let bestMs = Infinity
  for (const label of reached.values()) {
    if (label.node === node) continue
    const ms = label.cost.ms + costs.linkMs(label.node, node)
    const difference =
      best === undefined ? -1 : label.cost.reluctance - best.cost.reluctance || label.cost.hops - best.cost.hops || ms - bestMs
    if (difference >= 0) continue
    best = label
    bestMs = ms
  }
  return best === undefined ? undefined : { cost: { ...best.cost, ms: bestMs }, before: best }
}

function extend(
  layers: Map<number, Map<PeerId, Label>>,
  arrival: Arrival,
  node: NodeView,
  start: number,
  lastEnd: number,
  costs: ChainCosts
): void {
  for (const end of node.entryPoints) {
    if (end <= start || end > lastEnd) continue
    const span = { start, end }
    const cost = addCosts(arrival.cost, costs.stage(node, span))
    let layer = layers.get(end)
    if (layer === undefined) layers.set(end, (layer = new Map<PeerId, Label>()))
    const known = layer.get(node.peer)
    if (known === undefined || compareCosts(cost, known.cost) < 0) layer.set(node.peer, { node, span, cost, before: arrival.before })
  }
}

function cheapest<T>(items: readonly T[], costOf: (item: T) => Cost): T | undefined {
  let best: { item: T; cost: Cost } | undefined
  for (const item of items) {
    const cost = costOf(item)
    if (best === undefined || compareCosts(cost, best.cost) < 0) best = { item, cost }
  }
  return best?.item
}

function takeCheapest(
  open: Array<{ path: Label; limits: StartLimits }>,
  costs: ChainCosts
): { path: Label; limits: StartLimits } | undefined {
  const best = cheapest(open, ({ path }) => addMs(path.cost, costs.linkMs(path.node, undefined)))
  if (best !== undefined) open.splice(open.indexOf(best), 1)
  return best
}

function stagesOf(path: Label): ChainedStage[] {
  const stages: ChainedStage[] = []
  for (let label: Label | undefined = path; label !== undefined; label = label.before)
    stages.unshift({ node: label.node, span: label.span })
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
