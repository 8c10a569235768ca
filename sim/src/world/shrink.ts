import type { ClientGroup, Distribution, NodeGroup, Scenario, ScenarioFault } from '../scenario/scenario.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })

/** Scenarios that are a step simpler, the largest steps first. */
function simpler(scenario: Scenario): Scenario[] {
  const { faults, nodes, clients, network, durationMs } = scenario
  const found: Scenario[] = []
  const add = (change: Partial<Scenario>): void => void found.push({ ...scenario, ...change })
  if (faults.length > 1) {
    const half = faults.length >> 1
    add({ faults: faults.slice(0, half) })
    add({ faults: faults.slice(half) })
  }
  faults.forEach((fault, index) => {
    add({ faults: without(faults, index) })
    for (const change of [...rarer(fault, durationMs), ...atFirstClient(fault, clients)]) add({ faults: faults.with(index, change) })
  })
  if (nodes.length > 1) nodes.forEach((_, index) => add({ nodes: without(nodes, index) }))
  if (clients.length > 1) clients.forEach((_, index) => add({ clients: without(clients, index) }))
  nodes.forEach((group, index) => {
    for (const change of simplerNodes(group)) add({ nodes: nodes.with(index, change) })
  })
  clients.forEach((group, index) => {
    for (const change of simplerClients(group)) add({ clients: clients.with(index, change) })
  })
  if (network.lossShare > 0) add({ network: { ...network, lossShare: 0 } })
  if (network.jitterMs.kind !== 'constant') add({ network: { ...network, jitterMs: constant(0) } })
  if (network.latency.kind !== 'constant') add({ network: { ...network, latency: { kind: 'constant', oneWayMs: 20 } } })
  if (durationMs > 5_000) add({ durationMs: Math.max(5_000, durationMs >> 1) })
  return found
}

/** A fault that comes again and again: once, or for half of the time. */
function rarer(fault: ScenarioFault, durationMs: number): ScenarioFault[] {
  const { repeat, ...once } = fault
  if (repeat === undefined) return []
  const leftMs = (repeat.untilMs ?? durationMs) - fault.atMs
  const found: ScenarioFault[] = [once]
  if (leftMs > 1000) found.push({ ...fault, repeat: { ...repeat, untilMs: fault.atMs + Math.ceil(leftMs / 2) } })
  return found
}

/** A fault of one client or a group of them: of the first one, which is the last that is left. */
function atFirstClient(fault: ScenarioFault, clients: readonly ClientGroup[]): ScenarioFault[] {
  if (fault.kind !== 'crash' && fault.kind !== 'freeze') return []
  const { target } = fault
  const isOfGroup = 'group' in target && clients.some(({ name }) => name === target.group)
  return isOfGroup || ('client' in target && target.client > 0) ? [{ ...fault, target: { client: 0 } }] : []
}

function simplerNodes(group: NodeGroup): NodeGroup[] {
  const found: NodeGroup[] = []
  if (group.churn !== undefined) {
    const { churn: _none, ...rest } = group
    found.push(rest)
  }
  for (const count of [group.count >> 1, group.count - 1]) if (count >= 1 && count < group.count) found.push({ ...group, count })
  if (group.upMbps.kind !== 'constant') found.push({ ...group, upMbps: constant(100), downMbps: constant(100) })
  if (group.device.noise.kind !== 'constant') found.push({ ...group, device: { ...group.device, noise: constant(1) } })
  return found
}

function simplerClients(group: ClientGroup): ClientGroup[] {
  const { workload, count } = group
  const found: ClientGroup[] = []
  if (count > 1) found.push({ ...group, count: 1 }, { ...group, count: count - 1 })
  const { maxRequests } = workload
  if (maxRequests > 1) found.push({ ...group, workload: { ...workload, maxRequests: maxRequests >> 1 } })
  const { conversation, ...alone } = workload
  if (conversation !== undefined) {
    found.push({ ...group, workload: alone })
    if (conversation.stopShare > 0) found.push({ ...group, workload: { ...workload, conversation: { ...conversation, stopShare: 0 } } })
    if (conversation.turns.kind !== 'constant')
      found.push({ ...group, workload: { ...workload, conversation: { ...conversation, turns: constant(2) } } })
  }
  if (workload.promptTokens.kind !== 'constant') found.push({ ...group, workload: { ...workload, promptTokens: constant(16) } })
  if (workload.outputTokens.kind !== 'constant') found.push({ ...group, workload: { ...workload, outputTokens: constant(16) } })
  return found
}

function without<T>(list: readonly T[], index: number): T[] {
  return list.filter((_, at) => at !== index)
}

/**
 * Makes a failing scenario smaller for as long as it fails: each simpler one that fails too takes its place.
 *
 * @param fails runs a scenario; whether it fails in the same way
 * @param maxRuns scenarios that are tried at the most
 */
export async function shrink(scenario: Scenario, fails: (scenario: Scenario) => Promise<boolean>, maxRuns: number): Promise<Scenario> {
  let smallest = scenario
  let runs = 0
  for (let found = true; found && runs < maxRuns;) {
    found = false
    for (const candidate of simpler(smallest)) {
      if (runs++ >= maxRuns) break
      if (!(await fails(candidate))) continue
      smallest = candidate
      found = true
      break
    }
  }
  return smallest
}
