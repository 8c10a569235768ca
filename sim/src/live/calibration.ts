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
  /** What a message costs beside the network: sockets, encryption, codecs, two processes that wake up. */
  readonly hopMs: number
  /** What it costs besides to open a session on a stage, at each end of its control channel. */
  readonly sessionMs: number
  /** What it costs besides to open a channel for activations, at each of its ends. */
  readonly linkMs: number
  /** What it costs besides to do anything after a pause of the machine: cores are asleep, caches cold. */
  readonly pauseMs: number
  /** Of this machine, which all processes share. */
  readonly cores: number
}

/** What was measured of a live run. */
export interface Measured {
  readonly stages: number
  readonly tokenMs: number
  readonly computeMsPerToken: number
  /** What all stages together computed for a prompt. */
  readonly promptComputeMs: number
  /** From the request to an open chain. */
  readonly openMs: number
  /** From the request to the first token, for a prompt of so many tokens. */
  readonly firstTokenMs: number
  readonly promptTokens: number
}

/** What is measured of the machine by itself. */
export interface MachineFacts {
  readonly endsMs: number
  readonly blocks: number
  readonly cores: number
}

/**
 * The cost of a token through one stage and through several gives what a turn and a block take; a message's cost is what is left
 * of the token's time through one stage. The rate of chunks is from what one stage counted for prompts. (What nodes measure when they
 * start is of a machine that is starting nodes, and of a small chunk.) What sessions, their links and a pause cost is not in these:
 * see {@link refined}.
 */
export function calibrate(one: Measured, several: Measured, { endsMs, blocks, cores }: MachineFacts): Calibration {
  const turnMs = Math.max(0, (several.computeMsPerToken - one.computeMsPerToken) / (several.stages - one.stages))
  const blocksMs = Math.max(0, one.computeMsPerToken - one.stages * turnMs)
  const hopMs = Math.max(0, (one.tokenMs - one.computeMsPerToken - endsMs) / (one.stages + 1))
  const chunks = Math.ceil(one.promptTokens / connectDefaults.prefillChunkTokens)
  const chunksMs = one.promptComputeMs - chunks * (turnMs + blocksMs)
  // A single row is computed at the same rate, and only the rest of its time is that of the blocks. What they do not take of
  // each chunk then, its rows do.
  const rowMs = Math.max(0, chunksMs) / Math.max(1, one.promptTokens - chunks)
  const blockMs = Math.max(0, blocksMs - rowMs) / blocks
  return { turnMs, blockMs, rowsPerSecond: rowMs === 0 ? 1e9 : 1000 / rowMs, endsMs, hopMs, sessionMs: 0, linkMs: 0, pauseMs: 0, cores }
}

/** What the simulator makes of a calibration's own setting, in milliseconds. */
export type Predicted = Pick<Measured, 'tokenMs' | 'openMs' | 'firstTokenMs'>
export type Predict = (found: Calibration) => Promise<Predicted>

/**
 * The same, until the simulator meets the calibration's own settings: what it is too fast or too slow by, messages take more or
 * less (a token's time), sessions do (the time until a chain is open), links do (the time from then on to the first token), and
 * pauses (a token's time where the network makes each message wait).
 *
 * @param one measured through one stage without a network
 * @param distant through one stage with a network
 */
export async function refined(
  found: Calibration,
  { one, distant }: { readonly one: Measured; readonly distant: Measured },
  predict: { readonly one: Predict; readonly distant: Predict }
): Promise<Calibration> {
  let best = found
  for (let round = 0; round < refinements; round++) {
    const [near, far] = [await predict.one(best), await predict.distant(best)]
    const perMessage = (measured: Measured, simulated: Predicted): number => (measured.tokenMs - simulated.tokenMs) / (measured.stages + 1)
    const changeMs = perMessage(one, near)
    best = {
      ...best,
      hopMs: Math.max(0, best.hopMs + changeMs),
      pauseMs: Math.max(0, best.pauseMs + perMessage(distant, far) - changeMs),
      sessionMs: Math.max(0, best.sessionMs + (one.openMs - near.openMs) / sessionEnds),
      linkMs: Math.max(0, best.linkMs + (promptMs(one) - promptMs(near)) / linkEnds)
    }
  }
  return best
}

/** Each figure moves the others by little: the last round is right to some microseconds, as far as one can be. */
const refinements = 6

/** What a chain of one stage waits for until it is open: the two ends of its control channel. */
const sessionEnds = 2

/** What its first token waits for besides: the ends of two channels, some of which are opened beside each other. */
const linkEnds = 3

/** From an open chain to the first token. */
function promptMs({ firstTokenMs, openMs }: Predicted): number {
  return firstTokenMs - openMs
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

/** A scenario on the machine that was measured, which all its peers share. */
export function onThisMachine(scenario: Scenario, found: Calibration): Scenario {
  const { model } = scenario
  const noise = { kind: 'constant', value: 1 } as const
  const free = {
    ...{ memoryBandwidthBytesPerSecond: 1e15, flopsPerSecond: 1e18, efficiency: 1, noise },
    ...{
      overheadUsPerMessage: found.hopMs * 1000,
      overheadUsPerSession: found.sessionMs * 1000,
      overheadUsPerLink: found.linkMs * 1000,
      overheadUsAfterPause: found.pauseMs * 1000
    }
  }
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
  const machine = 'this machine'
  return {
    ...scenario,
    machines: [{ name: machine, cores: found.cores }],
    nodes: scenario.nodes.map((group) => ({ ...group, device, machine })),
    clients: scenario.clients.map((group) => ({ ...group, device: client, machine }))
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
