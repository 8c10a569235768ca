import {
  blockCount,
  containsRange,
  InvalidArgumentError,
  isBlockRange,
  sameNumerics,
  uncoveredRanges,
  type BlockRange,
  type Numerics,
  type PeerId
} from '@skein/protocol'
import type { CostedNode } from './cost.ts'
import { leadingNodes } from './leading-nodes.ts'
import { shortestChain, type ChainEnds } from './shortest-chain.ts'
import type { NodeView, SwarmView } from './swarm-view.ts'

export interface ChooseChainOptions {
  /** `hops`: fewest stages, and of those the least latency. `latency`: the least expected time of a step. @default 'hops' */
  readonly prefer?: 'hops' | 'latency'
  /** Only nodes with this many free rows of KV cache. @default 0 */
  readonly kvTokens?: number
  /** Only nodes of these numerics: what a replacement in a running session must have. @default any */
  readonly numerics?: Numerics
  /** Peers that are not used, whatever else there is. @default none */
  readonly exclude?: ReadonlySet<PeerId>
  /**
   * The stages before and after the blocks, when a part of a chain is replaced: their links count, and they are not used
   * again.
   * @default the coordinator
   */
  readonly predecessor?: PeerId
  readonly successor?: PeerId
  /** The round trip to a node that was never measured, in milliseconds. @default 50 */
  readonly unknownRoundTripMs?: number
}

export const chooseChainDefaults = {
  prefer: 'hops',
  kvTokens: 0,
  /** Between two homes on one continent. */
  unknownRoundTripMs: 50
} as const satisfies Partial<ChooseChainOptions>

export interface StageChoice {
  readonly peer: PeerId
  readonly span: BlockRange
  readonly numerics: Numerics
}

/**
 * Why no chain can be made. `no-node`: nobody hosts these blocks. `no-room`: their nodes have not enough free KV cache.
 * `no-match`: every block is hosted, but the nodes' entry points do not meet.
 */
export type UncoveredReason = 'no-node' | 'no-room' | 'no-match'

export type ChainDecision =
  | { readonly kind: 'chain'; readonly stages: readonly StageChoice[]; readonly expectedStepMs: number }
  | { readonly kind: 'uncovered'; readonly blocks: readonly BlockRange[]; readonly reason: UncoveredReason }

/**
 * Chooses the stages that compute `wanted`: pure, the same on every machine for the same snapshot, ties broken by peer id.
 *
 * The stages may differ in numerics, since every one hands plain activations on. A node is used once at most.
 * Nodes that fail, drain or are still joining are taken only where there is nothing else; those that are offline, never.
 *
 * @throws InvalidArgumentError when `wanted` is no range of blocks
 */
export function chooseChain(swarm: SwarmView, wanted: BlockRange, options: ChooseChainOptions = {}): ChainDecision {
  if (!isBlockRange(wanted)) throw new InvalidArgumentError(`${JSON.stringify(wanted)} is not a range of blocks`)
  const hosts = usableNodes(swarm, wanted, options)
  const kvTokens = options.kvTokens ?? chooseChainDefaults.kvTokens
  const roomy = hosts.filter((node) => node.freeKvTokens >= kvTokens)
  const hops = (options.prefer ?? chooseChainDefaults.prefer) === 'hops' ? 1 : 0
  const costed = costNodes(roomy, hops, options)
  const chain = shortestChain(hops === 0 ? costed : leadingNodes(costed), wanted, chainEnds(swarm, options))
  if (chain === undefined) return uncovered(hosts, roomy, wanted)
  return {
    kind: 'chain',
    stages: chain.stages.map(({ node, span }) => ({ peer: node.peer, span, numerics: node.numerics })),
    expectedStepMs: chain.cost.ms
  }
}

/** By peer id, each peer once; compared by code units, because a locale's order differs between machines. */
function usableNodes(swarm: SwarmView, wanted: BlockRange, options: ChooseChainOptions): NodeView[] {
  const usable: NodeView[] = []
  // Who keeps a large swarm, keeps it in order.
  let areInOrder = true
  for (const node of swarm.nodes) {
    if (node.state === 'offline' || options.exclude?.has(node.peer) === true) continue
    if (node.peer === options.predecessor || node.peer === options.successor) continue
    if (options.numerics !== undefined && !sameNumerics(node.numerics, options.numerics)) continue
    if (node.span.start >= wanted.end || node.span.end <= wanted.start) continue
    const last = usable.at(-1)
    if (last !== undefined && last.peer >= node.peer) areInOrder = false
    usable.push(node)
  }
  if (areInOrder) return usable
  const byPeer = new Map(usable.map((node) => [node.peer, node]))
  return [...byPeer.values()].sort((a, b) => compareText(a.peer, b.peer))
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** More than any sum of failures: one node that does not serve weighs more than all failures. */
const notServing = 1_000_000

function costNodes(nodes: readonly NodeView[], hops: 0 | 1, options: ChooseChainOptions): CostedNode[] {
  return nodes.map((node) => {
    // The way between two nodes has not been measured: the one by way of the coordinator is an upper bound that orders them.
    const halfWayMs = toCoordinatorMs(node, options)
    return {
      node,
      reluctance: node.failures + (node.state === 'serving' ? 0 : notServing),
      hops,
      fixedMs: queueMs(node),
      msPerBlock: node.stepMs / blockCount(node.span),
      arriveMs: halfWayMs,
      departMs: halfWayMs
    }
  })
}

function chainEnds(swarm: SwarmView, options: ChooseChainOptions): ChainEnds {
  const halfWayMs = (peer: PeerId | undefined): number => {
    const node = peer === undefined ? undefined : swarm.nodes.find((one) => one.peer === peer)
    return node === undefined ? 0 : toCoordinatorMs(node, options)
  }
  return { departMs: halfWayMs(options.predecessor), arriveMs: halfWayMs(options.successor) }
}

function toCoordinatorMs({ roundTripMs }: NodeView, options: ChooseChainOptions): number {
  return (roundTripMs ?? options.unknownRoundTripMs ?? chooseChainDefaults.unknownRoundTripMs) / 2
}

/** How long the rows that wait now will take. */
function queueMs(node: NodeView): number {
  return node.queuedRows > 0 && node.rowsPerSecond > 0 ? (1000 * node.queuedRows) / node.rowsPerSecond : 0
}

function uncovered(hosts: readonly NodeView[], roomy: readonly NodeView[], wanted: BlockRange): ChainDecision {
  const notHosted = gaps(hosts, wanted)
  if (notHosted.length > 0) return { kind: 'uncovered', blocks: notHosted, reason: 'no-node' }
  const noRoom = gaps(roomy, wanted)
  if (noRoom.length > 0) return { kind: 'uncovered', blocks: noRoom, reason: 'no-room' }
  return { kind: 'uncovered', blocks: [unmetRange(roomy, wanted)], reason: 'no-match' }
}

/** What no span covers. */
function gaps(nodes: readonly NodeView[], wanted: BlockRange): BlockRange[] {
  return uncoveredRanges([{ start: 0, end: wanted.start }, ...nodes.map((node) => node.span)].filter(isBlockRange), wanted.end)
}

/** Where the stages that can be strung together from the front and those from the back fail to meet. */
function unmetRange(nodes: readonly NodeView[], wanted: BlockRange): BlockRange {
  const front = furthest(nodes, wanted.start, (node, from) => node.entryPoints.filter((point) => point > from && point <= wanted.end))
  const back = furthest(nodes, wanted.end, (node, from) => node.entryPoints.filter((point) => point < from && point >= wanted.start))
  const [start, end] = [Math.max(...front), Math.min(...back)]
  const range = { start: Math.min(start, end), end: Math.max(start, end) }
  return isBlockRange(range) && containsRange(wanted, range) ? range : wanted
}

function furthest(nodes: readonly NodeView[], origin: number, next: (node: NodeView, from: number) => number[]): Set<number> {
  const reached = new Set([origin])
  // A set hands out what is added while it is walked.
  for (const point of reached) {
    for (const node of nodes) if (node.entryPoints.includes(point)) for (const further of next(node, point)) reached.add(further)
  }
  return reached
}
