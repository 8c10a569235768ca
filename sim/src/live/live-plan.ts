import { type BlockRange, InvalidArgumentError, type PeerId, type Random } from '@skein/protocol'
import { LatencyTable } from '../net/latency.ts'
import type { ClientGroup, Distribution, NodeGroup, Scenario } from '../scenario/scenario.ts'
import { unlimitedMbps } from '../scenario/units.ts'
import { draw } from '../workload/draw.ts'
import { autoSpans } from '../world/auto-spans.ts'

/** A node to be started as a process. */
export interface LiveNodePlan {
  readonly number: number
  readonly group: NodeGroup
  readonly region: string
  readonly span: BlockRange
  readonly upMbps: number
  readonly downMbps: number
}

/** A client to be run in this process. */
export interface LiveClientPlan {
  readonly number: number
  readonly group: ClientGroup
  readonly region: string
  readonly upMbps: number
  readonly downMbps: number
}

export interface LivePlan {
  readonly nodes: readonly LiveNodePlan[]
  readonly clients: readonly LiveClientPlan[]
}

/** More processes than that measure the machine and not the swarm. */
const maxLiveNodes = 16
const maxLiveClients = 8

/**
 * What of a scenario runs on real sockets: its peers with their bandwidths, drawn as the simulator draws them.
 *
 * @throws InvalidArgumentError that names everything in the scenario that cannot be done live
 */
export function planLive(scenario: Scenario, random: Random): LivePlan {
  const problems = problemsOf(scenario)
  if (problems.length > 0) throw new InvalidArgumentError(`${scenario.name} cannot run live: ${problems.join('; ')}`)
  const spans = autoSpans(scenario.nodes, scenario.model.blocks)
  const mbps = (group: { readonly upMbps: Distribution; readonly downMbps: Distribution }, name: string) => {
    const own = random.fork(name)
    return { upMbps: draw(group.upMbps, own), downMbps: draw(group.downMbps, own) }
  }
  const spread = <Group extends { readonly count: number; readonly regions: readonly string[] }>(groups: readonly Group[]) =>
    groups
      .flatMap((group) =>
        Array.from({ length: group.count }, (_, index) => ({ group, region: group.regions[index % group.regions.length]! }))
      )
      .map((peer, number) => ({ ...peer, number }))
  return {
    nodes: spread(scenario.nodes).map((peer) => ({ ...peer, span: spans[peer.number]!, ...mbps(peer.group, `node ${peer.number}`) })),
    clients: spread(scenario.clients).map((peer) => ({ ...peer, ...mbps(peer.group, `client ${peer.number}`) }))
  }
}

function problemsOf(scenario: Scenario): string[] {
  const { network, nodes, clients, faults } = scenario
  const count = (groups: ReadonlyArray<{ readonly count: number }>): number => groups.reduce((sum, group) => sum + group.count, 0)
  const problems: string[] = []
  if (count(nodes) > maxLiveNodes) problems.push(`it has ${count(nodes)} nodes, and at most ${maxLiveNodes} processes are started`)
  if (count(clients) > maxLiveClients) problems.push(`it has ${count(clients)} clients, and at most ${maxLiveClients} are run`)
  if (network.lossShare > 0) problems.push('loss of packets is not made by live links')
  if (!['constant', 'uniform'].includes(network.jitterMs.kind)) problems.push('live jitter is constant or uniform')
  if (network.latency.kind === 'matrix' && network.latency.oneWayMs.flat().some((cell) => typeof cell !== 'number')) {
    problems.push('live delays are the same for all peers of two regions')
  }
  if ([...nodes, ...clients].some(({ nat }) => nat !== 'open')) problems.push('nobody is behind a NAT on loopback')
  if (nodes.some(({ churn }) => churn !== undefined)) problems.push('churn is not made by live processes: name crashes as faults')
  for (const fault of faults) {
    if (fault.kind !== 'crash' && fault.kind !== 'freeze') problems.push(`the fault ${fault.kind} is not made by live processes`)
    else if (!('node' in fault.target)) problems.push(`a live ${fault.kind} hits a node by its number`)
    else if (fault.target.node >= count(nodes)) problems.push(`there is no node ${fault.target.node}`)
    else if (fault.repeat !== undefined) problems.push(`a live ${fault.kind} happens once, at its time`)
    else if (fault.kind === 'crash' && fault.how === 'host') problems.push('a live crash kills a process: the power of a host does not go')
  }
  return problems
}

/** A peer with its place, for {@link linkProfile}. */
export interface PlacedPeer {
  readonly peer: PeerId
  readonly region: string
}

/** The link profile (JSON) of one peer: its lines, and its delay to every other one. */
export function linkProfile(
  scenario: Scenario,
  self: { readonly region: string; readonly upMbps: number; readonly downMbps: number },
  others: readonly PlacedPeer[]
): string {
  const table = new LatencyTable(scenario.network.latency, scenario.regions)
  const jitter = scenario.network.jitterMs
  const [least, most] =
    jitter.kind === 'uniform' ? [jitter.min, jitter.max] : jitter.kind === 'constant' ? [jitter.value, jitter.value] : [0, 0]
  const from = table.indexOf(self.region)
  const path = (region: string) => ({ oneWayMs: table.oneWayUs(from, table.indexOf(region)) / 1000 + least, jitterMs: most - least })
  return JSON.stringify({
    connectRoundTrips: scenario.network.connectRoundTrips,
    ...(self.upMbps < unlimitedMbps && { upMbps: self.upMbps }),
    ...(self.downMbps < unlimitedMbps && { downMbps: self.downMbps }),
    peers: Object.fromEntries(others.map(({ peer, region }) => [peer, path(region)]))
  })
}
