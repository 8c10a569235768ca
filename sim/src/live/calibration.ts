import { connectDefaults, createEnds } from '@skein/coordinator'
import type { Clock } from '@skein/protocol'
import { modelPresets } from '../compute/model-presets.ts'
import type { Scenario, ScenarioDevice } from '../scenario/scenario.ts'

/** What this machine takes, as it was measured a moment ago. */
export interface Calibration {
  /** Computing one token on one stage: so much for a turn, and so much for each block. */
  readonly turnMs: number
  readonly blockMs: number
  /** Rows that one node computes in a second through all blocks, in a chunk. */
  readonly rowsPerSecond: number
  /** Embedding and head together, for one token, in the client. */
  readonly endsMs: number
  /** What a hop costs beside the network: sockets, encryption, codecs, two processes that wake up. */
  readonly hopMs: number
}

/** What was measured of a live run with nothing between its peers. */
export interface Measured {
  readonly stages: number
  readonly tokenMs: number
  readonly computeMsPerToken: number
  /** From the request to the first token, for a prompt of so many tokens. */
  readonly firstTokenMs: number
  readonly promptTokens: number
}

/**
 * The cost of a token through one stage and through several gives what a turn and what a block take; the hop's cost is
 * what is left of the token's time through one stage. The rate of chunks is what is left of the time to the first token
 * through one stage, whose chunks follow each other. (What nodes measure when they start is of a machine that is starting
 * nodes, and of a small chunk.)
 */
export function calibrate(one: Measured, several: Measured, endsMs: number, blocks: number): Calibration {
  const turnMs = Math.max(0, (several.computeMsPerToken - one.computeMsPerToken) / (several.stages - one.stages))
  const blocksMs = Math.max(0, one.computeMsPerToken - one.stages * turnMs)
  const hopMs = Math.max(0, (one.tokenMs - one.computeMsPerToken - endsMs) / (one.stages + 1))
  const chunks = Math.ceil(one.promptTokens / connectDefaults.prefillChunkTokens)
  const chunksMs = one.firstTokenMs - endsMs - (one.stages + 1) * hopMs - chunks * (turnMs + blocksMs)
  // A single row is computed at the same rate, and only the rest of its time is that of the blocks. What they do not take of
  // each chunk then, its rows do.
  const rowMs = Math.max(0, chunksMs) / Math.max(1, one.promptTokens - chunks)
  const blockMs = Math.max(0, blocksMs - rowMs) / blocks
  return { turnMs, blockMs, rowsPerSecond: rowMs === 0 ? 1e9 : 1000 / rowMs, endsMs, hopMs }
}

/**
 * The same with another rate of chunks: what the simulator was too slow or too fast by to the first token of the calibration's
 * own setting, the rows take less or more. That takes in what opening a session costs, which {@link calibrate} counts as chunks.
 */
export function refined(found: Calibration, one: Measured, simulatedFirstTokenMs: number, blocks: number): Calibration {
  const rowMs = Math.max(1e-3, 1000 / found.rowsPerSecond + (one.firstTokenMs - simulatedFirstTokenMs) / one.promptTokens)
  const blockMs = Math.max(0, found.blockMs + (1000 / found.rowsPerSecond - rowMs) / blocks)
  return { ...found, blockMs, rowsPerSecond: 1000 / rowMs }
}

/** Times the model's ends in this process, one token at a time. */
export async function measureEndsMs(modelFolder: string, cacheDir: string, clock: Clock): Promise<number> {
  const ends = await createEnds({ modelFolder, threads: 1, cacheDir })
  try {
    const times: number[] = []
    for (let index = 0; index < 40; index++) {
      const startMs = clock.monotonicMs()
      await ends.embed([index + 1])
      await ends.logits(new Float32Array(ends.config.hiddenSize).fill(0.1), 1)
      times.push(clock.monotonicMs() - startMs)
    }
    return median(times.slice(10))!
  } finally {
    await ends.stop()
  }
}

/** A scenario on the machine that was measured. Every hop's own cost is put on its way. */
export function onThisMachine(scenario: Scenario, found: Calibration): Scenario {
  const { model, network } = scenario
  const noise = { kind: 'constant', value: 1 } as const
  const free = { memoryBandwidthBytesPerSecond: 1e15, flopsPerSecond: 1e18, efficiency: 1, noise }
  const device: ScenarioDevice = {
    ...free,
    name: 'this machine',
    flopsPerSecond: found.rowsPerSecond * model.blocks * model.flopsPerTokenPerBlock,
    overheadUsPerTurn: found.turnMs * 1000,
    overheadUsPerBlock: found.blockMs * 1000
  }
  const client: ScenarioDevice = {
    ...free,
    name: "this machine's client",
    overheadUsPerTurn: (found.endsMs * 1000) / 2,
    overheadUsPerBlock: 0
  }
  if (network.latency.kind !== 'constant') throw new TypeError('settings of reality have a constant latency')
  return {
    ...scenario,
    network: { ...network, latency: { kind: 'constant', oneWayMs: network.latency.oneWayMs + found.hopMs } },
    nodes: scenario.nodes.map((group) => ({ ...group, device })),
    clients: scenario.clients.map((group) => ({ ...group, device: client }))
  }
}

export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The model that live settings run. */
export const liveModel = modelPresets['skein-tiny']!
