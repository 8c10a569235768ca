import { join } from 'node:path'
import { type ModelConfig, ortVersion, type SpanRuntime, startSpanRuntime } from '@skein/node'
import { temporaryFolder, tinyConfig, writeRandomSpan } from '@skein/node/testing'
import { type Clock, throwIfAborted } from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import type { ScenarioDevice } from '../scenario/scenario.ts'
import { exp } from '../workload/series.ts'

export interface CalibrateOptions {
  /** What the device is called. @default 'this machine' */
  readonly name?: string
  /** Threads of the runtime, as `skein-node --threads`. @default 1 */
  readonly threads?: number
  /** Smaller spans and fewer repetitions, for tests: the figures are then rough. @default false */
  readonly quick?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (text: string) => void
  /** @default the system's */
  readonly clock?: Clock
}

export interface Calibration {
  /** Rates as the runtime reaches them: its efficiency is 1. */
  readonly device: ScenarioDevice
  readonly ortVersion: string
  /** What was measured: medians, in microseconds. */
  readonly measured: {
    /** One row through spans of tiny blocks, whose weights fit any cache: what a turn costs by itself. */
    readonly tinyShortUs: number
    readonly tinyLongUs: number
    /** One row, and a chunk, through a span that fits no cache. */
    readonly stepUs: number
    readonly chunkUs: number
  }
}

/** Blocks so small that they cost nothing but their overhead. */
const tiny: ModelConfig = { ...tinyConfig, blocks: 16 }
const shortBlocks = 2
const chunkRows = 64

/** Blocks of the width of a 1B model: 60 million parameters each in f32. */
const wide: ModelConfig = {
  ...tinyConfig,
  blocks: 2,
  hiddenSize: 2048,
  ffnSize: 8192,
  heads: 32,
  kvHeads: 8,
  headDim: 64,
  contextTokens: 1024
}
const quickWide: ModelConfig = { ...wide, hiddenSize: 512, ffnSize: 2048, heads: 8, kvHeads: 2 }

/**
 * Measures this machine by the runtime that nodes use, in its worker, for the simulator's cost model: what a turn and a block
 * cost by themselves, how fast weights are read, how fast rows are multiplied.
 *
 * @throws OrtError, OrtUnavailableError, AbortError
 */
export async function calibrate(options: CalibrateOptions = {}): Promise<Calibration> {
  const { name = 'this machine', threads = 1, quick = false, clock = systemClock(), onProgress, signal } = options
  const big = quick ? quickWide : wide
  const folder = temporaryFolder()
  const repeats = quick ? 15 : 60
  const measure = async (what: string, config: ModelConfig, blocks: number): Promise<readonly [step: Times, chunk: Times]> => {
    throwIfAborted(signal)
    onProgress?.(`measuring ${what}`)
    const shape = { ...config, blocks }
    const borders = Array.from({ length: blocks + 1 }, (_, block) => block)
    const prepared = writeRandomSpan(join(folder.path, what.replaceAll(' ', '-')), { config: shape, dtype: 'f32', lanes: 2, borders })
    const runtime = await startSpanRuntime({ prepared, kvTokens: 1024, threads })
    try {
      return [await times(runtime, clock, 1, repeats, signal), await times(runtime, clock, chunkRows, Math.ceil(repeats / 4), signal)]
    } finally {
      await runtime.stop()
    }
  }
  try {
    const [tinyShort] = await measure('a short span of tiny blocks', tiny, shortBlocks)
    const [tinyLong] = await measure('a long span of tiny blocks', tiny, tiny.blocks)
    const [step, chunk] = await measure('a span of wide blocks', big, big.blocks)
    const overheadUsPerBlock = Math.max(0, (tinyLong.medianUs - tinyShort.medianUs) / (tiny.blocks - shortBlocks))
    const overheadUsPerTurn = Math.max(0, tinyShort.medianUs - shortBlocks * overheadUsPerBlock)
    const overheadUs = overheadUsPerTurn + big.blocks * overheadUsPerBlock
    const parameters = big.blocks * parametersOf(big)
    return {
      device: {
        name,
        memoryBandwidthBytesPerSecond: Math.round((4 * parameters * 1e6) / Math.max(1, step.medianUs - overheadUs)),
        flopsPerSecond: Math.round((2 * chunkRows * parameters * 1e6) / Math.max(1, chunk.medianUs - overheadUs)),
        overheadUsPerBlock: round(overheadUsPerBlock),
        overheadUsPerTurn: round(overheadUsPerTurn),
        efficiency: 1,
        noise: { kind: 'lognormal', median: 1, sigma: step.sigma }
      },
      ortVersion: ortVersion(),
      measured: { tinyShortUs: tinyShort.medianUs, tinyLongUs: tinyLong.medianUs, stepUs: step.medianUs, chunkUs: chunk.medianUs }
    }
  } finally {
    folder.remove()
  }
}

interface Times {
  readonly medianUs: number
  /** Spread of a lognormal distribution, from the middle two thirds. */
  readonly sigma: number
}

/** Turns of so many rows at the beginning of a cache, warmed up by a few. */
async function times(runtime: SpanRuntime, clock: Clock, rows: number, repeats: number, signal: AbortSignal | undefined): Promise<Times> {
  const { span, hiddenSize } = runtime.info
  const cache = 'calibrate'
  const warmUps = 5
  const us: number[] = []
  await runtime.reserve(cache, rows, span)
  try {
    for (let turn = 0; turn < warmUps + repeats; turn++) {
      throwIfAborted(signal)
      const input = new Uint8Array(new Float32Array(rows * hiddenSize).fill(0.5).buffer)
      const startMs = clock.monotonicMs()
      await runtime.run([{ cache, position: 0, rows, span, exact: false, encoding: 'f32', input }])
      if (turn >= warmUps) us.push((clock.monotonicMs() - startMs) * 1000)
    }
  } finally {
    await runtime.release(cache)
  }
  us.sort((a, b) => a - b)
  const at = (share: number): number => us[Math.min(us.length - 1, Math.floor(share * us.length))] ?? 0
  const medianUs = at(0.5)
  return { medianUs: round(medianUs), sigma: round(sigmaOf(at(1 / 6), at(5 / 6)), 1000) }
}

/** The spread s for which so much lies between: e^(2 * 0.967 s) is their ratio, as 0.967 is the normal quantile of 5/6. */
function sigmaOf(low: number, high: number): number {
  if (!(low > 0) || !(high > low)) return 0
  let sigma = 0
  while (sigma < 2 && exp(2 * 0.967 * sigma) < high / low) sigma += 0.001
  return sigma
}

/** Matrices of a block of the Llama family. */
function parametersOf({ hiddenSize, ffnSize, heads, kvHeads, headDim }: ModelConfig): number {
  return hiddenSize * (2 * heads * headDim + 2 * kvHeads * headDim + 3 * ffnSize)
}

function round(value: number, per = 10): number {
  return Math.round(value * per) / per
}
