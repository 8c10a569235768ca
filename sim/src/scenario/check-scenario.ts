import { conversationTokens } from '@skein/coordinator'
import { didYouMean } from '@skein/protocol'
import { maxOneWayMs } from '../net/latency.ts'
import { meanOf } from '../workload/draw.ts'
import { checkFaults } from './check-faults.ts'
import { checkNumbers } from './check-numbers.ts'
import { checkReach } from './check-reach.ts'
import type { FieldPath, Problem } from './problems.ts'
import type { ClientGroup, Distribution, NodeGroup, Scenario } from './scenario.ts'
import { scenarioLimits } from './number-ranges.ts'
import { oneTokenMs, slowestTurnMs } from './turn-time.ts'
import { formatDuration } from './units.ts'

/** What a scenario may refer to beyond itself. */
export interface CheckOptions {
  /** Names of the figures that can be expected. */
  readonly figures: readonly string[]
  /** Names of the measured latency tables, and the regions that each has. */
  readonly dataSets: Readonly<Record<string, readonly string[]>>
}

/** What cannot be simulated, or would never mean anything, although every field alone is right. */
export function checkScenario(scenario: Scenario, options: CheckOptions): Problem[] {
  const problems = checkNumbers(scenario)
  // The others compute with them.
  if (problems.length > 0) return problems
  return [
    ...checkSize(scenario),
    ...checkPlaces(scenario),
    ...checkHosting(scenario),
    ...checkSpeed(scenario),
    ...checkMachines(scenario),
    ...checkEvents(scenario),
    ...checkSessions(scenario),
    ...checkNetwork(scenario, options),
    ...checkReach(scenario),
    ...checkFaults(scenario),
    ...checkExpectations(scenario, options.figures)
  ]
}

function checkSize({ durationMs, settleMs, nodes, clients, regions }: Scenario): Problem[] {
  const problems: Problem[] = []
  if (durationMs <= 0) problems.push({ path: ['duration'], message: 'expected more than 0' })
  if (durationMs > scenarioLimits.durationMs) problems.push({ path: ['duration'], message: 'expected at most 30d' })
  // In no time, nothing that is under way can end: every such run would be said to have broken the promise.
  if (settleMs <= 0) problems.push({ path: ['settle'], message: 'expected more than 0: what is under way needs time to end' })
  for (const [field, groups, limit] of [
    ['nodes', nodes, scenarioLimits.nodes],
    ['clients', clients, scenarioLimits.clients]
  ] as const) {
    const total = groups.reduce((sum, { count }) => sum + count, 0)
    if (total === 0) problems.push({ path: [field], message: `there are none: all groups of ${field} have a count of 0` })
    if (total > limit) problems.push({ path: [field], message: `${total} in all; at most ${limit} can be simulated` })
    problems.push(
      ...duplicates(groups.map(({ name }) => name)).map((index) => ({
        path: [field, index, 'name'],
        message: 'another group has this name'
      }))
    )
  }
  problems.push(
    ...duplicates(regions.map(({ name }) => name)).map((index) => ({ path: ['regions', index], message: 'it is listed twice' }))
  )
  return problems
}

/** Groups are in regions of the scenario. */
function checkPlaces({ nodes, clients, regions }: Scenario): Problem[] {
  const names = regions.map(({ name }) => name)
  const check = (field: string, groups: ReadonlyArray<NodeGroup | ClientGroup>): Problem[] =>
    groups.flatMap((group, at) => {
      const path = [field, at, 'regions']
      if (group.regions.length === 0) return [{ path, message: 'expected at least one region' }]
      return group.regions.flatMap((region, index) => {
        if (names.includes(region)) return []
        const hint = didYouMean(region, names)
        const message = `'${region}' is not one of the scenario's regions${hint === '' ? `: ${names.join(', ')}` : hint}`
        return [{ path: [...path, index], message }]
      })
    })
  return [...check('nodes', nodes), ...check('clients', clients)]
}

function duplicates(names: readonly string[]): number[] {
  return names.flatMap((name, index) => (names.indexOf(name) < index ? [index] : []))
}

/** Whether all nodes together can host every block; where a block is nobody's, no generation could ever begin. */
function checkHosting({ model, nodes }: Scenario): Problem[] {
  const problems = nodes.flatMap((group, index) => checkSpan(group, model.blocks, ['nodes', index]))
  if (problems.length > 0) return problems
  const fixed = new Set<number>()
  let room = 0
  for (const { span, count, blocksPerNode } of nodes) {
    if (span === 'auto') room += count * blocksPerNode
    else if (count > 0) for (let block = span.start; block < span.end; block++) fixed.add(block)
  }
  const left = model.blocks - fixed.size
  if (left <= room) return []
  const missing = Array.from({ length: model.blocks }, (_, block) => block).filter((block) => !fixed.has(block))
  const which = room === 0 ? `nobody hosts block ${missing[0]}` : `${left} blocks are left for nodes that can host ${room}`
  const message = `the model has ${model.blocks} blocks, and the nodes cannot host them all: ${which}. Add nodes, or blocksPerNode`
  return [{ path: ['nodes'], message }]
}

function checkSpan({ span, blocksPerNode }: NodeGroup, blocks: number, path: FieldPath): Problem[] {
  if (span === 'auto') {
    if (blocksPerNode <= blocks) return []
    return [{ path: [...path, 'blocksPerNode'], message: `expected at most the model's ${blocks} blocks` }]
  }
  if (span.start < span.end && span.end <= blocks) return []
  return [{ path: [...path, 'span'], message: `expected START below END, and END at most the model's ${blocks} blocks` }]
}

/** Whether every device computes at all: bytes where gigabytes were meant make a turn take days. */
function checkSpeed({ model, nodes }: Scenario): Problem[] {
  return nodes.flatMap((group, index): Problem[] => {
    const ms = oneTokenMs(group, model)
    if (group.count === 0 || ms <= slowestTurnMs) return []
    const message = `one token would take a node ${formatDuration(ms)}; at most ${formatDuration(slowestTurnMs)} are simulated: expected a faster device or fewer blocks`
    return [{ path: ['nodes', index, 'device'], message }]
  })
}

/** Machines have names of their own, and are each in one place. */
function checkMachines({ machines = [], nodes, clients }: Scenario): Problem[] {
  const names = machines.map(({ name }) => name)
  const problems: Problem[] = duplicates(names).map((index) => ({
    path: ['machines', index, 'name'],
    message: 'another machine has this name'
  }))
  const places = new Map<string, string>()
  for (const [field, groups] of [
    ['nodes', nodes],
    ['clients', clients]
  ] as const) {
    groups.forEach(({ machine, regions }, index) => {
      if (machine === undefined) return
      const path = [field, index, 'machine']
      if (!names.includes(machine)) {
        const known = names.length === 0 ? '; the scenario lists no machines' : `; known: ${names.join(', ')}`
        problems.push({ path, message: `no machine is called '${machine}'${didYouMean(machine, names) || known}` })
        return
      }
      const place = places.get(machine) ?? regions[0]!
      places.set(machine, place)
      const other = regions.find((region) => region !== place)
      if (other !== undefined) {
        problems.push({ path, message: `the machine ${machine} is in ${place} and ${other}; expected peers of one region on it` })
      }
    })
  }
  return problems
}

/** So many of one kind are a slip of the pen: a unit that is wrong, or a mean of nothing. */
const maxEvents = 1_000_000

/** What would go on for ever, or as good as: departures and requests without end. */
function checkEvents({ durationMs, nodes, clients }: Scenario): Problem[] {
  const problems: Problem[] = []
  nodes.forEach(({ churn, count }, index) => {
    const path = ['nodes', index, 'churn']
    if (churn?.kind === 'renewal') {
      const departures = (count * durationMs) / (meanOf(churn.upMs) + meanOf(churn.downMs))
      if (departures >= maxEvents) {
        problems.push({
          path,
          message: `its nodes would leave ${many(departures)} times; fewer than ${maxEvents} departures are simulated: expected longer stays`
        })
      }
    }
    if (churn?.kind === 'diurnal' && churn.upMs < churn.dayMs / 1440) {
      problems.push({ path: [...path, 'up'], message: 'expected a mean stay of at least 1/1440 of the day, which is a minute of it' })
    }
  })
  clients.forEach(({ workload, count }, index) => {
    if (workload.kind !== 'open') return
    const turns = workload.conversation === undefined ? 1 : meanOf(workload.conversation.turns)
    const requests = count * turns * Math.min(workload.maxRequests, durationMs / meanOf(workload.interArrivalMs))
    if (requests >= maxEvents) {
      const message = `its clients would make ${many(requests)} requests; fewer than ${maxEvents} are simulated: expected longer gaps, or maxRequests`
      problems.push({ path: ['clients', index, 'workload', 'interArrival'], message })
    }
  })
  return problems
}

function many(count: number): string {
  return Number.isFinite(count) ? String(Math.round(count)) : 'endlessly many'
}

/** The least value that can be drawn. */
function least(distribution: Distribution): number {
  switch (distribution.kind) {
    case 'constant':
      return distribution.value
    case 'uniform':
      return distribution.min
    case 'empirical':
      return distribution.values.reduce((lowest, value) => Math.min(lowest, value), Infinity)
    case 'exponential':
    case 'gamma':
    case 'weibull':
    case 'lognormal':
      return 1
  }
}

function checkSessions({ model, nodes, clients }: Scenario): Problem[] {
  return clients.flatMap(({ workload }, index) => {
    if (workload.maxRequests === 0) return []
    const { conversation } = workload
    const turns = conversation === undefined ? 1 : least(conversation.turns)
    const needed = turns * (least(workload.promptTokens) + least(workload.outputTokens))
    const what = turns > 1 ? 'conversation' : 'request'
    const path = ['clients', index, 'workload', ...(turns > 1 ? ['conversation', 'turns'] : [])]
    if (needed > model.contextTokens) {
      return [{ path, message: `the shortest ${what} has ${needed} tokens; the model's context has ${model.contextTokens}` }]
    }
    const room = conversation === undefined ? Infinity : (conversation.roomTokens ?? conversationTokens)
    if (needed > room) return [{ path, message: `the shortest ${what} has ${needed} tokens; its session has room for ${room}` }]
    const roomiest = nodes.reduce((most, { kvTokens }) => Math.max(most, kvTokens), 0)
    if (needed <= roomiest) return []
    return [{ path, message: `the shortest ${what} has ${needed} tokens; no node has room for more than ${roomiest} (kvTokens)` }]
  })
}

function farthestOf(cells: ReadonlyArray<number | Distribution>): number {
  return cells.reduce<number>((most, cell) => Math.max(most, typeof cell === 'number' ? cell : meanOf(cell)), 0)
}

function checkNetwork({ network: { latency }, regions }: Scenario, { dataSets }: CheckOptions): Problem[] {
  const path = ['network', 'latency']
  const problems: Problem[] = []
  const farthest = latency.kind === 'constant' ? latency.oneWayMs : latency.kind === 'matrix' ? farthestOf(latency.oneWayMs.flat()) : 0
  if (farthest > maxOneWayMs) problems.push({ path, message: 'expected at most 1m: no packet lives longer' })
  if (latency.kind === 'matrix') {
    const rows = latency.oneWayMs
    const size = regions.length
    if (rows.length !== size || rows.some((row) => row.length !== size)) {
      problems.push({ path: [...path, 'oneWay'], message: `expected ${size} rows of ${size} values, in the order of the regions` })
    }
  }
  if (latency.kind === 'measured') {
    const known = Object.hasOwn(dataSets, latency.dataSet) ? dataSets[latency.dataSet] : undefined
    if (known === undefined) {
      const names = Object.keys(dataSets)
      const hint = didYouMean(latency.dataSet, names)
      const message = `no data set is called '${latency.dataSet}'${hint === '' ? `; known: ${names.join(', ')}` : hint}`
      problems.push({ path: [...path, 'dataSet'], message })
    } else {
      regions.forEach(({ name }, index) => {
        if (known.includes(name)) return
        const message = `the data set ${latency.dataSet} has no region '${name}'; it has ${known.join(', ')}`
        problems.push({ path: ['regions', index], message })
      })
    }
  }
  return problems
}

function checkExpectations({ expect }: Scenario, figures: readonly string[]): Problem[] {
  return expect
    .filter(({ figure }) => !figures.includes(figure))
    .map(({ figure }) => ({
      path: ['expect', figure],
      message: `no figure is called '${figure}'${didYouMean(figure, figures) || '; skein-sim explain figures lists them'}`
    }))
}
