import { type Random, seededRandom } from '@skein/protocol'
import { modelPresets } from '../compute/model-presets.ts'
import { devicePresets } from '../compute/device-presets.ts'
import { checkFaults } from '../scenario/check-faults.ts'
import type {
  Churn,
  ClientGroup,
  Distribution,
  FaultTarget,
  LatencyModel,
  NodeGroup,
  Scenario,
  ScenarioFault,
  ScenarioModel,
  ScenarioNetwork,
  Workload
} from '../scenario/scenario.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })
const exponential = (mean: number): Distribution => ({ kind: 'exponential', mean })

function between(random: Random, min: number, max: number): number {
  return min + random.below(max - min + 1)
}

/** Even over orders of magnitude: as likely from 1 to 2 as from 32 to 64. */
function magnitude(random: Random, min: number, max: number): number {
  let value = min
  while (value * 2 <= max && random.below(2) === 0) value *= 2
  return Math.min(max, Math.round(value * (1 + random.float())))
}

function oneOf<T>(random: Random, values: readonly T[]): T {
  return values[random.below(values.length)] as T
}

/** Places of the measured table. */
const regions = [
  { name: 'frankfurt', latitude: 50.1, longitude: 8.7 },
  { name: 'washington', latitude: 38.9, longitude: -77 },
  { name: 'tokyo', latitude: 35.7, longitude: 139.7 }
]

/**
 * A world drawn from a seed: its size, machines, network, churn, faults and requests, each over the range in which swarms may
 * really be and somewhat beyond, so that every seed is another world (as TigerBeetle's VOPR draws its clusters).
 */
export function drawWorld(seed: number): Scenario {
  const random = seededRandom(seed).fork('a world')
  const model: ScenarioModel = {
    ...(modelPresets[oneOf(random, ['skein-tiny', 'llama-3.2-1b', 'llama-3-8b'])] as ScenarioModel),
    blocks: between(random, 2, 16),
    contextTokens: 1024
  }
  const durationMs = between(random, 20, 90) * 1_000
  const places = regions.slice(0, between(random, 1, 3))
  const names = places.map(({ name }) => name)
  const allowLies = random.fork('lies').below(8) === 0
  const nodes = drawNodes(random.fork('nodes'), model, names, durationMs)
  const historyRows = Math.floor(nodes.reduce((least, { historyBytes }) => Math.min(least, historyBytes), Infinity) / model.rowBytes)
  const world: Scenario = {
    name: 'fuzz',
    question: 'Does anything break?',
    seed,
    durationMs,
    startHour: random.fork('hour').below(24),
    settleMs: 240_000,
    model,
    network: drawNetwork(random.fork('network'), places.length),
    regions: places,
    ...onMachines(random.fork('machines'), nodes, drawClients(random.fork('clients'), names, historyRows)),
    faults: [],
    allowLies,
    expect: []
  }
  const faults = [
    ...drawFaults(random.fork('faults'), { durationMs, places: names, allowLies }),
    ...drawClientFaults(random.fork('faults of clients'), world)
  ]
  // What could hit nobody in this world is left out.
  return { ...world, faults: faults.filter((fault) => checkFaults({ ...world, faults: [fault] }).length === 0) }
}

function drawNetwork(random: Random, places: number): ScenarioNetwork {
  return {
    latency: drawLatency(random, places),
    jitterMs: random.below(2) === 0 ? constant(0) : exponential(magnitude(random, 1, 50)),
    lossShare: random.below(3) === 0 ? random.float() * 0.03 : 0,
    connectRoundTrips: between(random, 1, 5),
    holePunching: random.fork('hole punching').below(2) === 0
  }
}

function drawLatency(random: Random, places: number): LatencyModel {
  const kind = random.below(6)
  if (kind < 2) return { kind: 'constant', oneWayMs: magnitude(random, 1, 150) }
  if (kind < 4) return { kind: 'geographic', detour: 1.5, accessMs: 5 }
  if (kind === 4) return { kind: 'measured', dataSet: 'ibm-cloud-2024' }
  // There and back are different ways.
  const row = (): number[] => Array.from({ length: places }, () => magnitude(random, 1, 150))
  return { kind: 'matrix', oneWayMs: Array.from({ length: places }, row) }
}

/** Of some worlds the first nodes share a machine, of some the clients do as well; and messages cost their processes time. */
function onMachines(
  random: Random,
  nodes: readonly NodeGroup[],
  clients: readonly ClientGroup[]
): Pick<Scenario, 'machines' | 'nodes' | 'clients'> {
  if (random.below(4) > 0) return { nodes, clients }
  const machine = 'shared'
  const costs = {
    overheadUsPerMessage: magnitude(random, 10, 2_000),
    overheadUsPerSession: magnitude(random, 10, 2_000),
    overheadUsPerLink: magnitude(random, 10, 2_000),
    overheadUsAfterPause: magnitude(random, 10, 2_000)
  }
  const on = <Group extends NodeGroup | ClientGroup>(group: Group): Group => ({
    ...{ ...group, machine },
    regions: group.regions.slice(0, 1),
    device: { ...group.device, ...costs }
  })
  return {
    machines: [{ name: machine, cores: magnitude(random, 1, 16) }],
    nodes: nodes.map((group, index) => (index === 0 ? on(group) : group)),
    clients: random.below(2) === 0 ? clients : clients.map(on)
  }
}

/** The first group is open to the world, and relays for the others. */
function drawNodes(random: Random, model: ScenarioModel, places: readonly string[], durationMs: number): NodeGroup[] {
  return Array.from({ length: between(random, 1, 2) }, (_, index): NodeGroup => {
    const blocksPerNode = between(random, Math.max(1, Math.ceil(model.blocks / 4)), model.blocks)
    const enough = Math.ceil(model.blocks / blocksPerNode)
    const churns = random.below(2) === 0
    const count = enough * between(random, 1, 3)
    return {
      name: `nodes ${index}`,
      count,
      regions: places,
      device: oneOf(random, Object.values(devicePresets)),
      upMbps: { kind: 'lognormal', median: magnitude(random, 5, 500), sigma: 0.5 },
      downMbps: { kind: 'lognormal', median: magnitude(random, 20, 500), sigma: 0.5 },
      nat: index === 0 ? 'open' : oneOf(random, ['open', 'cone', 'symmetric'] as const),
      ...(index === 0 ? { relay: true } : {}),
      span: 'auto',
      blocksPerNode,
      kvTokens: magnitude(random, 1_100, 16_000),
      historyBytes: magnitude(random, 64, 4_096) * model.rowBytes,
      maxSessions: between(random, 2, 32),
      ...(churns ? { churn: drawChurn(random.fork(`churn ${index}`), count, durationMs) } : {})
    }
  })
}

function drawChurn(random: Random, count: number, durationMs: number): Churn {
  const kind = random.below(4)
  const graceful = random.below(2) === 0
  const stayMs = (): number => between(random, 10, 120) * 1_000
  if (kind < 2) return { kind: 'renewal', upMs: exponential(stayMs()), downMs: exponential(between(random, 1, 20) * 1_000), graceful }
  if (kind === 2) {
    const leastShare = between(random, 20, 90) / 100
    const dayMs = between(random, 30, 180) * 1_000
    return {
      kind: 'diurnal',
      leastShare,
      mostShare: Math.max(leastShare, 0.95),
      peakHour: random.below(24),
      upMs: stayMs(),
      dayMs,
      graceful
    }
  }
  const sessions = Array.from({ length: count }, () => {
    const found: Array<[number, number]> = []
    // Half of them are there from the start.
    let atMs = random.below(2) === 0 ? 0 : random.below(20_000)
    while (atMs < durationMs) {
      const endMs = atMs + stayMs()
      found.push([atMs, endMs])
      atMs = endMs + between(random, 1, 20) * 1_000
    }
    return found
  })
  return { kind: 'trace', sessions, graceful }
}

/**
 * Half of the workloads are conversations, with answers long enough to have thoughts in them: these are cut back. Most ask for
 * no more room than every node has history for; the others find out what happens.
 */
function drawConversation(random: Random, historyRows: number): Partial<Pick<Workload, 'outputTokens' | 'conversation'>> {
  if (random.below(2) === 0) return {}
  const turns = exponential(between(random, 3, 10))
  const thinkMs = exponential(magnitude(random, 50, 8_000))
  const stopShare = random.below(2) === 0 ? 0 : random.float()
  const outputTokens = exponential(between(random, 10, 60))
  const roomTokens = magnitude(random, 48, 1024)
  const room = [{}, { roomTokens }][random.below(6)] ?? { roomTokens: Math.min(roomTokens * 4, 1024, historyRows >> random.below(3)) }
  return { outputTokens, conversation: { turns, thinkMs, stopShare, ...room } }
}

function drawClients(random: Random, places: readonly string[], historyRows: number): ClientGroup[] {
  const conversation = drawConversation(random.fork('conversation'), historyRows)
  const tokens = { promptTokens: exponential(magnitude(random, 4, 300)), outputTokens: exponential(magnitude(random, 2, 80)) }
  const maxRequests = magnitude(random, 4, 64)
  return [
    {
      name: 'clients',
      count: between(random, 1, 4),
      regions: places,
      device: oneOf(random, Object.values(devicePresets)),
      upMbps: constant(magnitude(random, 5, 500)),
      downMbps: constant(magnitude(random, 20, 500)),
      nat: oneOf(random, ['open', 'open', 'cone', 'symmetric'] as const),
      transport: random.below(4) === 0 ? 'star' : 'ring',
      workload:
        random.below(2) === 0
          ? { kind: 'closed', startMs: exponential(3_000), thinkMs: exponential(1_000), ...tokens, maxRequests, ...conversation }
          : { kind: 'open', interArrivalMs: exponential(between(random, 1, 10) * 1_000), ...tokens, maxRequests, ...conversation }
    }
  ]
}

interface FaultBounds {
  readonly durationMs: number
  readonly places: readonly string[]
  readonly allowLies: boolean
}

function drawFaults(random: Random, bounds: FaultBounds): ScenarioFault[] {
  return Array.from({ length: random.below(7) }, () => drawFault(random, bounds))
}

/** Of one world in six, clients crash or stand still: some of them come back, and their nodes may have given them up then. */
function drawClientFaults(random: Random, { durationMs, clients }: Scenario): ScenarioFault[] {
  if (random.below(6) > 0) return []
  const all = clients.reduce((sum, { count }) => sum + count, 0)
  return Array.from({ length: between(random, 1, 2) }, (): ScenarioFault => {
    const atMs = random.below(durationMs)
    const times = random.below(3) > 0 ? { atMs } : { atMs, repeat: { everyMs: exponential(between(random, 5, 30) * 1_000) } }
    const target: FaultTarget = random.below(4) === 0 ? { group: 'clients' } : { client: random.below(all) }
    const forMs = magnitude(random, 200, 60_000)
    if (random.below(5) < 2) return { kind: 'freeze', ...times, target, forMs }
    const how = random.below(2) === 0 ? 'process' : 'host'
    return { kind: 'crash', ...times, target, how, ...(random.below(4) === 0 ? {} : { restartAfterMs: forMs }) }
  })
}

function drawFault(random: Random, { durationMs, places, allowLies }: FaultBounds): ScenarioFault {
  const region = (): FaultTarget => ({ region: oneOf(random, places) })
  const atMs = random.below(durationMs)
  const forMs = magnitude(random, 200, 40_000)
  const times = random.below(5) > 0 ? { atMs } : { atMs, repeat: { everyMs: exponential(between(random, 5, 30) * 1_000) } }
  const whom = random.below(8)
  const target: FaultTarget = whom < 2 ? { group: 'nodes 0' } : whom === 2 ? region() : { random: between(random, 1, 3) }
  const kind = random.below(allowLies ? 14 : 12)
  if (kind < 4) {
    return { kind: 'crash', ...times, target, restartAfterMs: forMs, ...(random.below(3) === 0 ? { how: 'host' as const } : {}) }
  }
  if (kind < 6) return { kind: 'freeze', ...times, target, forMs }
  if (kind === 6) return { kind: 'slow', ...times, target, forMs, factor: magnitude(random, 2, 100) }
  if (kind < 9) {
    const other = random.below(4) === 0 ? { group: 'clients' } : region()
    const one = random.below(3) === 0 ? region() : target
    return { kind: 'partition', ...times, forMs, between: [one, other], oneWay: random.below(2) === 0 }
  }
  if (kind === 9) return { kind: 'corrupt', ...times, target, forMs, share: random.float() * 0.2 }
  if (kind === 10)
    return { kind: 'clock-jump', ...times, target, byMs: (random.below(2) === 0 ? 1 : -1) * magnitude(random, 1_000, 86_400_000) }
  if (kind === 11) return { kind: 'full-disk', ...times, target, forMs }
  return { kind: 'lie', ...times, target, share: random.float() * 0.2 }
}
