import type { CostedNode } from './cost.ts'

/** Kinds with the same first block that are told apart, so that made-up ones cost no more than the search. The rest all lead. */
const maxKinds = 64

/** Leaders of a kind to which others are compared; beyond them all lead, for the same reason. An honest kind has a few. */
const maxCompared = 64

/** The leading ones of the nodes that have the same entry points. */
interface Kind {
  readonly entryPoints: readonly number[]
  reluctance: number
  /** Their places among all. */
  leading: number[]
}

/**
 * The nodes of which the cheapest chain is made when each stage counts as a hop: the chain found among them is the one that is
 * found among all, ties included. A swarm has many nodes with the same entry points, and few of them lead.
 *
 * Of two stages whose nodes have the same entry points, the node with the smaller reluctance could do both and all that lies
 * between: with fewer hops, so the cheapest chain has no such two. There is one of a kind in it at most, then, and in its
 * place any other of that kind would do: one with less reluctance would be cheaper whatever its time, and one that comes before
 * it in `nodes` and takes no longer for anything would have been preferred.
 *
 * One that comes after it and is faster does not rule it out, lest the rounding of sums makes a tie of what was none.
 *
 * @param nodes - sorted by peer id, each with a hop of 1
 */
export function leadingNodes(nodes: readonly CostedNode[]): CostedNode[] {
  const kinds = new Map<number, Kind[]>()
  const leading: number[] = []
  for (const [index, costed] of nodes.entries()) {
    const { reluctance } = costed
    const kind = kindOf(costed, kinds)
    if (kind === undefined) {
      leading.push(index)
      continue
    }
    if (reluctance > kind.reluctance) continue
    if (reluctance < kind.reluctance) {
      kind.reluctance = reluctance
      kind.leading = []
    }
    const isBehind = (leader: number): boolean => isNeverSlower(nodes[leader] as CostedNode, costed)
    if (kind.leading.length >= maxCompared || !kind.leading.some(isBehind)) kind.leading.push(index)
  }
  for (const kind of [...kinds.values()].flat()) leading.push(...kind.leading)
  return leading.sort((a, b) => a - b).map((index) => nodes[index] as CostedNode)
}

function kindOf({ node: { entryPoints, span } }: CostedNode, kinds: Map<number, Kind[]>): Kind | undefined {
  let sameStart = kinds.get(span.start)
  if (sameStart === undefined) kinds.set(span.start, (sameStart = []))
  const known = sameStart.find((one) => areEqual(one.entryPoints, entryPoints))
  if (known !== undefined || sameStart.length === maxKinds) return known
  const kind: Kind = { entryPoints, reluctance: Infinity, leading: [] }
  sameStart.push(kind)
  return kind
}

function areEqual(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}

/** Each term by itself: then rounded sums of them compare the same way. */
function isNeverSlower(a: CostedNode, b: CostedNode): boolean {
  return a.arriveMs <= b.arriveMs && a.fixedMs <= b.fixedMs && a.departMs <= b.departMs && a.msPerBlock <= b.msPerBlock
}
