import { devicePresets } from '../compute/device-presets.ts'
import { modelPresets } from '../compute/model-presets.ts'
import type { NodeGroup, Scenario, ScenarioDevice, ScenarioModel, ScenarioNetwork, ScenarioRegion } from '../scenario/scenario.ts'
import { regionPresets } from '../scenario/region-presets.ts'
import { defineScenario } from '../world/define-scenario.ts'
import {
  historyPasses,
  historyRowBytes,
  nearRoundTripMs,
  publishedMsPerToken,
  kvPasses,
  serializationMsPerHop,
  type SequenceLength,
  type SetupName
} from './constants.ts'

export type Policy = 'star' | 'ring'

/** What no source gives, and the calibrated row does. */
export interface Unknowns {
  /** The client's end of a step: the LM head on eight cores, and whatever else Petals' client does once a step. */
  readonly clientMsPerStep: number
  /** What a row of the past adds to a step in each block, beyond the traffic of its keys and values; the same on every GPU. */
  readonly pastNsPerRowPerBlock: number
}

/** A server of the swarm. */
export interface PetalsServer {
  readonly device: string
  readonly blocks: number
  readonly region: string
  readonly isFirewalled?: boolean
}

/** A swarm of the table, or one of your own. Servers are in the order of the chain. */
export interface PetalsSetup {
  readonly name: string
  readonly servers: readonly PetalsServer[]
  readonly network: Pick<ScenarioNetwork, 'latency'> & Partial<ScenarioNetwork>
  readonly regions: readonly ScenarioRegion[]
  readonly clientRegion: string
  readonly serverMbps: { readonly min: number; readonly max: number }
  readonly clientMbps: number
}

const bloom = presetOf(modelPresets, 'bloom-176b')
const a100 = presetOf(devicePresets, 'a100-80gb')

/**
 * A GPU that runs BLOOM's blocks by PyTorch and bitsandbytes. Its memory's rate is the data sheet's. The share of it that is
 * reached comes from the published time of bf16 less the preset's time for launching kernels, the overhead of a block of
 * bitsandbytes (quantizing the input, picking outliers, waiting for both) from what int8 takes beyond reading its weights.
 */
function eightBitGpu(name: string, overheadNsPerPastRow: number): ScenarioDevice {
  const readMs = (bytes: number): number => (bytes / a100.memoryBandwidthBytesPerSecond) * 1e3
  const msPerBlock = { int8: publishedMsPerToken.int8 / bloom.blocks, bf16: publishedMsPerToken.bf16 / bloom.blocks }
  const efficiency = readMs(2 * bloom.weightBytesPerBlock) / (msPerBlock.bf16 - a100.overheadUsPerBlock / 1000)
  const overheadMsPerBlock = msPerBlock.int8 - readMs(bloom.weightBytesPerBlock) / efficiency
  return {
    ...presetOf(devicePresets, name),
    efficiency,
    overheadUsPerBlock: overheadMsPerBlock * 1000,
    overheadUsPerTurn: serializationMsPerHop * 1000,
    overheadNsPerPastRow,
    noise: { kind: 'constant', value: 1 }
  }
}

/** The client's machine: its memory is as fast as its time for the LM head says. */
function clientDevice(model: ScenarioModel, clientMsPerStep: number): ScenarioDevice {
  const headBytes = 2 * model.vocabSize * model.hiddenSize
  return {
    ...presetOf(devicePresets, 'server-cpu'),
    name: '8 cores',
    memoryBandwidthBytesPerSecond: headBytes / (clientMsPerStep / 1000),
    efficiency: 1,
    overheadUsPerTurn: 0,
    noise: { kind: 'constant', value: 1 }
  }
}

/** Copying one row of the history, by the rate at which the client reads its LM head, which is in f32. */
function historyNsPerRow(clientMsPerStep: number): number {
  const headBytes = 4 * bloom.vocabSize * bloom.hiddenSize
  return ((historyPasses * historyRowBytes) / headBytes) * clientMsPerStep * 1e6
}

/** Steps that are timed. They take the same time each but for one row of the past, so a few will do. */
const timedSteps = 8

/**
 * A scenario in which one client generates in a swarm of the table. Petals' benchmark (benchmarks/benchmark_inference.py)
 * generates as many tokens as the sequence is long, from nothing, and divides the steps by the time; a step's time is linear
 * in the tokens before it, so that mean is the time of the steps in the middle: the prompt fills half of the sequence.
 */
export function petalsScenario(setup: PetalsSetup, sequenceLength: SequenceLength, policy: Policy, unknowns: Unknowns): Scenario {
  const model: ScenarioModel = {
    ...bloom,
    kvBytesPerTokenPerBlock: bloom.kvBytesPerTokenPerBlock * kvPasses
  }
  let start = 0
  const nodes = setup.servers.map((server, index): NodeGroup => {
    const span = { start, end: start + server.blocks }
    start = span.end
    const mbps = { kind: 'uniform', ...setup.serverMbps } as const
    return {
      name: `${server.device} ${index}`,
      count: 1,
      regions: [server.region],
      // The client copies its history once for each server; in a session alone it delays a step as if the server did.
      device: eightBitGpu(server.device, historyNsPerRow(unknowns.clientMsPerStep) + server.blocks * unknowns.pastNsPerRowPerBlock),
      upMbps: mbps,
      downMbps: mbps,
      // Petals' servers relay for each other; here just until a connection is turned around.
      ...(server.isFirewalled === true ? { nat: 'cone' } : { nat: 'open', relay: true }),
      span,
      blocksPerNode: server.blocks,
      kvTokens: 16_384,
      historyBytes: 1024 ** 3,
      maxSessions: 8
    }
  })
  const once = (value: number) => ({ kind: 'constant', value }) as const
  return defineScenario({
    name: `petals-table: ${setup.name}, ${sequenceLength}, ${policy}`,
    question: 'How many steps a second does one session make?',
    durationMs: 120_000,
    model,
    network: setup.network,
    regions: setup.regions,
    nodes,
    clients: [
      {
        name: 'client',
        regions: [setup.clientRegion],
        device: clientDevice(model, unknowns.clientMsPerStep),
        upMbps: once(setup.clientMbps),
        downMbps: once(setup.clientMbps),
        transport: policy,
        workload: {
          kind: 'closed',
          startMs: once(5_000),
          thinkMs: once(0),
          promptTokens: once(sequenceLength / 2 - timedSteps / 2),
          outputTokens: once(timedSteps + 1),
          maxRequests: 1
        }
      }
    ]
  })
}

const here: ScenarioRegion = { name: 'here', latitude: 50, longitude: 8 }

function local(name: SetupName, blocks: readonly number[], mbps: number, roundTripMs: number): PetalsSetup {
  return {
    name,
    servers: blocks.map((count) => ({ device: 'a100-80gb', blocks: count, region: here.name })),
    network: { latency: { kind: 'constant', oneWayMs: roundTripMs / 2 } },
    regions: [here],
    clientRegion: here.name,
    serverMbps: { min: mbps, max: mbps },
    clientMbps: mbps
  }
}

/** A third of the model on each A100. */
const three = [24, 23, 23]
/** "Partitioning each A100 into several virtual servers (3 large and 1 small)". One session uses one at a time. */
const twelve = [7, 7, 7, 3, 7, 7, 7, 2, 7, 7, 7, 2]

/**
 * How many blocks each of the 14 holds: `_choose_num_blocks` of src/petals/server/server.py, (memory - 2 GiB) / (block + 0.5 GiB),
 * which is 3 for 12 and 11 GB, 4.87 for 16 GB and 7 for 24 GB. Rounded down, as it does, they are 68 blocks and no model:
 * the 16 GB cards hold 5 here. The 70 blocks then need every server.
 */
const defaultHoldings: readonly Holding[] = [
  { device: 'rtx-3060', count: 2, blocks: 3 },
  { device: 'rtx-2080-ti', count: 4, blocks: 3 },
  { device: 'rtx-3090', count: 2, blocks: 7 },
  { device: 'rtx-a4000', count: 2, blocks: 5 },
  { device: 'rtx-a5000', count: 4, blocks: 7 }
]

export interface Holding {
  readonly device: string
  readonly count: number
  readonly blocks: number
}

/** Places where servers stand, in the order of the chain; each has as many as it is named. */
export interface Places {
  readonly client: string
  readonly servers: readonly string[]
}

/**
 * The paper says "across Europe and North America" and no more: half of each kind is in each, in the cities of the table of
 * measured round trips on the two coasts that face each other, and the client is in Europe. The chain crosses the ocean once and back.
 */
const halfAndHalf: Places = {
  client: 'london',
  servers: [...repeat('london', 4), ...repeat('frankfurt', 3), ...repeat('washington', 4), ...repeat('toronto', 3)]
}

/** The 14 real servers, at places of your choice: of each kind every second comes in the first half of the chain. Four are behind firewalls. */
export function realWorld(
  places: Places = halfAndHalf,
  name: string = '14 servers, two continents',
  holdings: readonly Holding[] = defaultHoldings
): PetalsSetup {
  const all = holdings.flatMap(({ device, count, blocks }) => Array.from({ length: count }, () => ({ device, blocks })))
  const ordered = [...all.filter((_, index) => index % 2 === 0), ...all.filter((_, index) => index % 2 === 1)]
  const regionNames = [...new Set([places.client, ...places.servers])]
  return {
    name,
    servers: ordered.map((server, index) => ({
      ...server,
      region: places.servers[index] as string,
      isFirewalled: index % 4 === 1
    })),
    // Servers behind firewalls dial the client back, so that no relay carries their activations.
    network: { latency: { kind: 'measured', dataSet: 'ibm-cloud-2024' }, holePunching: true },
    regions: regionNames.map((region) => presetOf(regionPresets, region)),
    clientRegion: places.client,
    serverMbps: { min: 100, max: 1000 },
    clientMbps: 1000
  }
}

/** The table's swarms, in its order. */
export const setups: ReadonlyArray<PetalsSetup & { readonly name: SetupName }> = [
  ...([three, twelve] as const).flatMap((blocks) => {
    const count = blocks.length as 3 | 12
    return [
      local(`${count} servers, 1 Gbit/s, < 5 ms`, blocks, 1000, nearRoundTripMs),
      local(`${count} servers, 100 Mbit/s, < 5 ms`, blocks, 100, nearRoundTripMs),
      local(`${count} servers, 100 Mbit/s, 100 ms`, blocks, 100, 100)
    ]
  }),
  realWorld()
].map((setup) => ({ ...setup, name: setup.name as SetupName }))

function repeat<T>(value: T, count: number): T[] {
  return Array.from({ length: count }, () => value)
}

function presetOf<T>(presets: Readonly<Record<string, T>>, name: string): T {
  const preset = presets[name]
  if (preset === undefined) throw new RangeError(`there is no preset ${name}`)
  return preset
}
