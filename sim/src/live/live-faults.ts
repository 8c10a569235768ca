import type { Cut, Random } from '@skein/protocol'
import { occurrencesOf } from '../faults/occurrences.ts'
import { clientsHit, nodesHit } from '../faults/targets.ts'
import type { FaultTarget, Scenario, ScenarioFault } from '../scenario/scenario.ts'
import type { LiveClientPlan, LiveNodePlan, PlaceName } from './live-peers.ts'

/** Something that is done to a node's process. Times count from the start of the run. */
export interface LiveAction {
  readonly atMs: number
  readonly node: number
  readonly kind: 'crash' | 'start' | 'freeze' | 'thaw'
}

/** Some peers are cut off from others. */
export interface LivePartition {
  readonly fromMs: number
  readonly toMs: number
  readonly from: ReadonlySet<PlaceName>
  readonly to: ReadonlySet<PlaceName>
  /** Only what goes from `from` to `to` is lost. */
  readonly oneWay: boolean
}

/** From when to when, in milliseconds since the start of the run. */
export type Interval = readonly [fromMs: number, toMs: number]

export interface LiveFaults {
  /** In the order of their times. */
  readonly actions: readonly LiveAction[]
  readonly partitions: readonly LivePartition[]
  /** When there is a fault; what stays for good, such as a crash that nobody mends, is one at its beginning. */
  readonly inForce: readonly Interval[]
}

interface Peers {
  readonly nodes: readonly LiveNodePlan[]
  readonly clients: readonly LiveClientPlan[]
}

/** Why a live run does not make such faults. Those that are missing here it makes. */
export const faultsNotMade: Partial<Record<ScenarioFault['kind'], string>> = {
  slow: 'a process cannot be slowed down without its network',
  lie: 'nodes that volunteers run do not lie',
  corrupt: "loopback flips no bytes, and noise's answer to one that is flipped is a broken connection: a crash",
  'clock-jump': 'all processes read the clock of this machine',
  'full-disk': 'all processes write to the disk of this machine'
}

/**
 * What the scenario's faults do to which peers. The draws are the simulator's, so that the same seed hits the same nodes; as
 * there, everything heals when the scenario's duration is over.
 *
 * @param random of the world
 */
export function planFaults({ faults, durationMs }: Scenario, peers: Peers, random: Random): LiveFaults {
  const suffered: Suffered[] = []
  const partitions: LivePartition[] = []
  const healedMs = (atMs: number, forMs: number): number => Math.min(atMs + forMs, durationMs)
  for (const [index, fault] of faults.entries()) {
    for (const { atMs, random: own } of occurrencesOf(fault, durationMs, random.fork('faults').fork(`fault ${index}`))) {
      if (fault.kind === 'partition') {
        const [from, to] = [placesOf(fault.between[0], peers, own.fork('from')), placesOf(fault.between[1], peers, own.fork('to'))]
        // A peer is not cut off from its own side.
        for (const place of from) to.delete(place)
        partitions.push({ fromMs: atMs, toMs: healedMs(atMs, fault.forMs), from, to, oneWay: fault.oneWay })
      } else if (fault.kind === 'crash' || fault.kind === 'freeze') {
        const forMs = fault.kind === 'crash' ? fault.restartAfterMs : fault.forMs
        const untilMs = forMs === undefined ? Infinity : healedMs(atMs, forMs)
        for (const { number: node } of nodesHit(fault.target, peers.nodes, own)) suffered.push({ node, kind: fault.kind, atMs, untilMs })
      }
    }
  }
  const inForce = [
    ...suffered.map(({ atMs, untilMs }): Interval => [atMs, untilMs === Infinity ? atMs : untilMs]),
    ...partitions.map(({ fromMs, toMs }): Interval => [fromMs, toMs])
  ]
  return { actions: actionsOf(suffered), partitions, inForce }
}

/** A node is down or frozen. */
interface Suffered {
  readonly node: number
  readonly kind: 'crash' | 'freeze'
  readonly atMs: number
  readonly untilMs: number
}

/** Those of one kind that overlap at a node end together, with the last of them. */
function actionsOf(suffered: readonly Suffered[]): LiveAction[] {
  const actions = suffered.flatMap(({ node, kind, atMs, untilMs }): LiveAction[] => {
    const goesOn = suffered.some((other) => other.node === node && other.kind === kind && other.atMs <= untilMs && untilMs < other.untilMs)
    const begins = { atMs, node, kind }
    return untilMs === Infinity || goesOn ? [begins] : [begins, { atMs: untilMs, node, kind: kind === 'crash' ? 'start' : 'thaw' }]
  })
  return actions.toSorted((a, b) => a.atMs - b.atMs)
}

/** The cuts of what goes from one peer to another, merged where they touch. */
export function cutsBetween(partitions: readonly LivePartition[], from: PlaceName, to: PlaceName): Cut[] {
  const cuts = partitions
    .filter((cut) => (cut.from.has(from) && cut.to.has(to)) || (!cut.oneWay && cut.from.has(to) && cut.to.has(from)))
    .map(({ fromMs, toMs }): [number, number] => [fromMs, toMs])
    .toSorted((a, b) => a[0] - b[0])
  const merged: Array<[number, number]> = []
  for (const [fromMs, toMs] of cuts) {
    const last = merged.at(-1)
    if (last !== undefined && fromMs <= last[1]) last[1] = Math.max(last[1], toMs)
    else if (toMs > fromMs) merged.push([fromMs, toMs])
  }
  return merged
}

/** Clients are in regions as well, and have groups: a region that is cut off takes them with it. */
function placesOf(target: FaultTarget, { nodes, clients }: Peers, random: Random): Set<PlaceName> {
  return new Set([...nodesHit(target, nodes, random), ...clientsHit(target, clients)].map(({ place }) => place))
}
