import { didYouMean } from '@skein/protocol'
import { meanOf } from '../workload/draw.ts'
import type { FieldPath, Problem } from './problems.ts'
import type { FaultTarget, FaultTimes, NodeGroup, Scenario, ScenarioFault } from './scenario.ts'
import { scenarioLimits } from './number-ranges.ts'
import { oneTokenMs, slowestTurnMs } from './turn-time.ts'
import { formatDuration } from './units.ts'

/** Which clients a target means, beside nodes: none, those by their number or group, or those of a region as well. */
type ClientsMeant = 'none' | 'named' | 'all'

/** What happens on the way happens to all clients, what ends a process to those that are named; all else is done to nodes. */
const clientsOf: Partial<Record<ScenarioFault['kind'], ClientsMeant>> = {
  crash: 'named',
  freeze: 'named',
  partition: 'all',
  corrupt: 'all'
}

/** Faults that could never happen, would hit nobody, or hit who cannot suffer them. */
export function checkFaults(scenario: Scenario): Problem[] {
  if (scenario.faults.length === 0) return []
  const peers = new Population(scenario)
  return scenario.faults.flatMap((fault, index) => checkFault(scenario, peers, fault, ['faults', index]))
}

function checkFault(scenario: Scenario, peers: Population, fault: ScenarioFault, path: FieldPath): Problem[] {
  const problems = checkTimes(scenario, fault, path)
  if (fault.kind === 'lie' && !scenario.allowLies) {
    problems.push({ path, message: 'a liar makes wrong answers, which are violations unless the scenario has allowLies: true' })
  }
  if (fault.kind === 'slow') problems.push(...checkSlow(scenario, fault, path))
  if (fault.kind !== 'partition') {
    return [...problems, ...checkTarget(scenario, peers, fault.target, clientsOf[fault.kind] ?? 'none', [...path, 'target'])]
  }
  const sides = fault.between.flatMap((target, index) => checkTarget(scenario, peers, target, 'all', [...path, 'between', index]))
  if (sides.length > 0) return [...problems, ...sides]
  const [from, to] = fault.between.map((target) => peers.of(target, 'all'))
  // Who is on both sides is on the first.
  if (from === undefined || to === undefined || [...to].some((peer) => !from.has(peer))) return problems
  return [...problems, { path: [...path, 'between'], message: 'all of the second side are on the first: nobody would be cut off' }]
}

/** What would not be slow but as good as frozen: nodes that measure themselves for hours before they serve. */
function checkSlow({ nodes, model }: Scenario, { factor, target }: Extract<ScenarioFault, { kind: 'slow' }>, path: FieldPath): Problem[] {
  const hit = 'group' in target ? nodes.filter(({ name }) => name === target.group) : 'node' in target ? groupOf(nodes, target.node) : nodes
  const turns = hit.filter(({ count }) => count > 0).map((group) => ({ name: group.name, ms: oneTokenMs(group, model) }))
  const slowest = turns.reduce((most, turn) => (turn.ms > most.ms ? turn : most), { name: '', ms: 0 })
  // Who is too slow without it is told by another check.
  if (slowest.ms * factor <= slowestTurnMs || slowest.ms > slowestTurnMs) return []
  const takes = `one token would take a node of ${slowest.name} ${formatDuration(slowest.ms * factor)}`
  const expected = `expected a factor of at most ${Math.floor(slowestTurnMs / slowest.ms)}, or a freeze`
  return [{ path: [...path, 'factor'], message: `${takes}; at most ${formatDuration(slowestTurnMs)} are simulated: ${expected}` }]
}

/** The group that has the node with this number, if any has. */
function groupOf(nodes: readonly NodeGroup[], number: number): NodeGroup[] {
  let first = 0
  for (const group of nodes) {
    if (number < first + group.count) return [group]
    first += group.count
  }
  return []
}

function checkTimes({ durationMs }: Scenario, { atMs, repeat }: FaultTimes, path: FieldPath): Problem[] {
  const problems: Problem[] = []
  if (atMs >= durationMs) {
    const field = repeat === undefined ? 'at' : 'from'
    problems.push({ path: [...path, field], message: "expected a time before the scenario's duration ends" })
  }
  if (repeat === undefined) return problems
  const untilMs = repeat.untilMs ?? durationMs
  if (untilMs <= atMs) problems.push({ path: [...path, 'until'], message: 'expected a time after from' })
  const times = (Math.min(durationMs, untilMs) - atMs) / meanOf(repeat.everyMs)
  if (times > scenarioLimits.faults) {
    const message = `it would happen ${Number.isFinite(times) ? Math.round(times) : 'endlessly many'} times; at most ${scenarioLimits.faults} are simulated: expected longer gaps`
    problems.push({ path: [...path, 'every'], message })
  }
  return problems
}

function checkTarget(scenario: Scenario, peers: Population, target: FaultTarget, meant: ClientsMeant, path: FieldPath): Problem[] {
  const { nodes, clients, regions } = scenario
  if ('node' in target) {
    return target.node < peers.nodes ? [] : [{ path: [...path, 'node'], message: `there are ${peers.nodes} nodes, numbered from 0` }]
  }
  if ('client' in target) {
    const at = [...path, 'client']
    if (target.client >= peers.clients) return [{ path: at, message: `there are ${peers.clients} clients, numbered from 0` }]
    return meant === 'none' ? [{ path: at, message: `it is a client: ${whatHitsClients}` }] : []
  }
  if ('random' in target) return target.random > 0 ? [] : [{ path: [...path, 'random'], message: 'expected at least 1' }]
  const [field, name, names] =
    'group' in target
      ? (['group', target.group, [...nodes, ...clients].map((group) => group.name)] as const)
      : (['region', target.region, regions.map((region) => region.name)] as const)
  const at = [...path, field]
  if (!names.includes(name)) {
    return [{ path: at, message: `no ${field} is called '${name}'${didYouMean(name, names) || `; known: ${names.join(', ')}`}` }]
  }
  if ((peers.of(target, meant)?.size ?? 0) > 0) return []
  const which = field === 'group' ? `the group ${name}` : name
  if ((peers.of(target, 'all')?.size ?? 0) === 0) return [{ path: at, message: `there is nobody in ${which}: such a fault does nothing` }]
  return [{ path: at, message: `there are only clients in ${which}: ${whatHitsClients}` }]
}

const whatHitsClients =
  'they can be cut off (partition) and their bytes flipped (corrupt), and by their number or group crash and freeze; all else is done to nodes'

/** Who there is, for the targets of faults: nodes by their numbers, clients by those after the nodes'. */
class Population {
  readonly nodes: number
  readonly clients: number
  readonly #scenario: Scenario
  readonly #known = new Map<string, ReadonlySet<number>>()

  constructor(scenario: Scenario) {
    this.#scenario = scenario
    this.nodes = scenario.nodes.reduce((sum, { count }) => sum + count, 0)
    this.clients = scenario.clients.reduce((sum, { count }) => sum + count, 0)
  }

  /** Undefined when only the run can tell. */
  of(target: FaultTarget, meant: ClientsMeant): ReadonlySet<number> | undefined {
    if ('node' in target) return new Set([target.node])
    if ('client' in target) return new Set([this.nodes + target.client])
    if ('random' in target) return target.random < this.nodes ? undefined : this.#those(() => true, 'all', false)
    if ('group' in target) return this.#those((group) => group === target.group, `group ${target.group}`, meant !== 'none')
    return this.#those((_group, region) => region === target.region, `region ${target.region}`, meant === 'all')
  }

  #those(isMeant: (group: string, region: string) => boolean, name: string, withClients: boolean): ReadonlySet<number> {
    const key = `${name}${withClients ? ', clients too' : ''}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const { nodes, clients } = this.#scenario
    const found = new Set<number>()
    let number = 0
    for (const group of withClients ? [...nodes, ...clients] : nodes) {
      for (let index = 0; index < group.count; index++, number++) {
        if (isMeant(group.name, group.regions[index % group.regions.length]!)) found.add(number)
      }
    }
    this.#known.set(key, found)
    return found
  }
}
