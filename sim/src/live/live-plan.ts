import { InvalidArgumentError, type PeerId, type Random } from '@skein/protocol'
import { LatencyTable } from '../net/latency.ts'
import { checkScenario } from '../scenario/check-scenario.ts'
import { ScenarioError } from '../scenario/problems.ts'
import type { Distribution, FaultTarget, Scenario } from '../scenario/scenario.ts'
import { unlimitedMbps } from '../scenario/units.ts'
import { draw, drawMs } from '../workload/draw.ts'
import { autoSpans } from '../world/auto-spans.ts'
import { type ChurnSchedule, nodeSchedule } from '../world/churn.ts'
import { knownNames } from '../world/known-names.ts'
import { cutsBetween, faultsNotMade, type LiveFaults, type LivePartition, planFaults } from './live-faults.ts'
import type { LiveClientPlan, LiveNodePlan, PlaceName } from './live-peers.ts'

export interface LivePlan {
  readonly nodes: readonly LiveNodePlan[]
  readonly clients: readonly LiveClientPlan[]
  readonly faults: LiveFaults
}

/** More processes than that measure the machine and not the swarm. */
const maxLiveNodes = 16
const maxLiveClients = 8

/**
 * What of a scenario runs on real sockets: its peers with their bandwidths, their coming and going and what faults do to
 * them, drawn as the simulator draws it.
 *
 * @param random of the world
 * @throws ScenarioError for one that cannot be simulated either; InvalidArgumentError that names everything in the scenario
 * that cannot be done live
 */
export function planLive(scenario: Scenario, random: Random): LivePlan {
  const problems = checkScenario(scenario, knownNames)
  if (problems.length > 0) throw new ScenarioError(scenario.name, problems)
  refuse(scenario, problemsOf(scenario))
  const spans = autoSpans(scenario.nodes, scenario.model.blocks)
  const nodes = spread(scenario.nodes, 'node').map(({ index, ...peer }): LiveNodePlan => {
    const own = random.fork(peer.place)
    const bandwidth = drawMbps(peer.group, own)
    const schedule = nodeSchedule(scenario, { ...peer, index }, own)
    return { ...peer, ...bandwidth, span: spans[peer.number]!, schedule }
  })
  const clients = spread(scenario.clients, 'client').map(({ index: _index, ...peer }): LiveClientPlan => ({
    ...peer,
    ...drawMbps(peer.group, random.fork(peer.place))
  }))
  refuse(scenario, uncoveredAtFirst(scenario, nodes))
  return { nodes, clients, faults: planFaults(scenario, { nodes, clients }, random) }
}

function refuse({ name }: Scenario, problems: readonly string[]): void {
  if (problems.length > 0) throw new InvalidArgumentError(`${name} cannot run live: ${problems.join('; ')}`)
}

/** The peers of all groups, numbered through. */
function spread<Group extends { readonly count: number; readonly regions: readonly string[] }>(groups: readonly Group[], kind: string) {
  return groups
    .flatMap((group) =>
      Array.from({ length: group.count }, (_, index) => ({ group, index, region: group.regions[index % group.regions.length]! }))
    )
    .map((peer, number) => ({ ...peer, number, place: `${kind} ${number}` }))
}

function drawMbps(group: { readonly upMbps: Distribution; readonly downMbps: Distribution }, random: Random) {
  return { upMbps: draw(group.upMbps, random), downMbps: draw(group.downMbps, random) }
}

function problemsOf({ network, nodes, clients, faults }: Scenario): string[] {
  const count = (groups: ReadonlyArray<{ readonly count: number }>): number => groups.reduce((sum, group) => sum + group.count, 0)
  const problems: string[] = []
  if (count(nodes) > maxLiveNodes) problems.push(`it has ${count(nodes)} nodes, and at most ${maxLiveNodes} processes are started`)
  if (count(clients) > maxLiveClients) problems.push(`it has ${count(clients)} clients, and at most ${maxLiveClients} are run`)
  if (network.latency.kind === 'matrix' && network.latency.oneWayMs.flat().some((cell) => typeof cell !== 'number')) {
    problems.push('live delays are the same for all peers of two regions')
  }
  if ([...nodes, ...clients].some(({ nat }) => nat !== 'open')) problems.push('nobody is behind a NAT on loopback')
  if (clients.some(({ workload }) => workload.conversation !== undefined)) problems.push('live clients hold no conversations')
  for (const kind of new Set(faults.map((fault) => fault.kind))) {
    if (faultsNotMade[kind] !== undefined) problems.push(`the fault ${kind} is not made live (${faultsNotMade[kind]})`)
  }
  const isOfClients = (target: FaultTarget): boolean =>
    'client' in target || ('group' in target && clients.some(({ name }) => name === target.group))
  if (faults.some((fault) => (fault.kind === 'crash' || fault.kind === 'freeze') && isOfClients(fault.target)))
    problems.push('live clients do not crash or freeze: they are in the process of the run itself')
  if (faults.some((fault) => fault.kind === 'crash' && fault.how === 'host'))
    problems.push('a live crash kills a process: the power of a host does not go')
  return problems
}

/** A live run begins when its clients have a whole chain. */
function uncoveredAtFirst({ model }: Scenario, nodes: readonly LiveNodePlan[]): string[] {
  const there = nodes.filter(({ schedule }) => isThereFirst(schedule))
  const covers = (block: number): boolean => there.some(({ span }) => span.start <= block && block < span.end)
  const missing = Array.from({ length: model.blocks }, (_, block) => block).filter((block) => !covers(block))
  if (missing.length === 0) return []
  return [`a live run begins with nodes for all blocks, and of those that are there at the start nobody has ${missing.join(', ')}`]
}

/** Whether a node is there when the run begins. */
export function isThereFirst(schedule: ChurnSchedule | undefined): boolean {
  return schedule === undefined || schedule.firstMs === 0
}

/** A peer with its place, for {@link linkProfile}. */
export interface PlacedPeer {
  readonly peer: PeerId
  readonly place: PlaceName
  readonly region: string
}

export interface LinkInit {
  readonly scenario: Scenario
  /** Of the world. */
  readonly random: Random
  readonly partitions: readonly LivePartition[]
  /** When the run begins, by the wall clock; undefined while that is not known, and so no cut can be told. */
  readonly startWallMs: number | undefined
}

/** Values of a jitter that a link profile cannot describe otherwise. */
const jitterValues = 1_000

/** The link profile (JSON) of one peer: its lines, and its delay to every other one with the cuts between them. */
export function linkProfile(
  { scenario, random, partitions, startWallMs }: LinkInit,
  self: { readonly place: PlaceName; readonly region: string; readonly upMbps: number; readonly downMbps: number },
  others: readonly PlacedPeer[]
): string {
  const table = new LatencyTable(scenario.network.latency, scenario.regions)
  const { leastMs, jitterMs } = linkJitter(scenario.network.jitterMs, random.fork('live jitter'))
  const from = table.indexOf(self.region)
  const path = ({ region, place }: PlacedPeer) => {
    const cuts = { cutsMs: cutsBetween(partitions, self.place, place), cutsBackMs: cutsBetween(partitions, place, self.place) }
    const isCut = startWallMs !== undefined && cuts.cutsMs.length + cuts.cutsBackMs.length > 0
    return { oneWayMs: table.oneWayUs(from, table.indexOf(region)) / 1000 + leastMs, ...(isCut && cuts) }
  }
  return JSON.stringify({
    connectRoundTrips: scenario.network.connectRoundTrips,
    jitterMs,
    lossShare: scenario.network.lossShare,
    ...(startWallMs !== undefined && { startWallMs }),
    ...(self.upMbps < unlimitedMbps && { upMbps: self.upMbps }),
    ...(self.downMbps < unlimitedMbps && { downMbps: self.downMbps }),
    peers: Object.fromEntries(others.map((other) => [other.peer, path(other)]))
  })
}

/** A jitter as a constant part, and one that a link profile can say: uniform from 0, or one of many values. */
function linkJitter(jitter: Distribution, random: Random): { readonly leastMs: number; readonly jitterMs: number | number[] } {
  switch (jitter.kind) {
    case 'constant':
      return { leastMs: jitter.value, jitterMs: 0 }
    case 'uniform':
      return { leastMs: jitter.min, jitterMs: jitter.max - jitter.min }
    default:
      return { leastMs: 0, jitterMs: Array.from({ length: jitterValues }, () => drawMs(jitter, random)) }
  }
}
