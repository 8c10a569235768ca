/** What a chain of processes cannot beat on this machine: the coordinator's own matrix product, and what cores do together. */
import { join } from 'node:path'
import { HeadEngine, openCheckpoint, prepareHead, startSpanRuntime } from '@skein/node'
import { randomFloats, temporaryFolder, tinyConfig, writeRandomSpan } from '@skein/node/testing'
import { seededRandom } from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import { timeRounds } from './stats.ts'

/** More than any cache holds: between two tokens the weights of the stages pass through the caches as well. */
const evictedBytes = 64 * 2 ** 20

/** Times in ms of the last norm and the head for one row, without threads and messages, from memory and not from a cache. */
export async function headComputeMs(model: string, cacheDir: string, rounds: number): Promise<number[]> {
  const clock = systemClock()
  const checkpoint = await openCheckpoint(model, { cacheDir })
  const { hiddenSize, vocabSize } = checkpoint.config
  const graph = await prepareHead({ checkpoint, cacheDir })
  await checkpoint.close()
  const engine = new HeadEngine({ graph, hiddenSize, vocabSize, threads: 1 })
  const evicting = new Float64Array(evictedBytes / 8)
  const row = randomFloats(seededRandom('head'), hiddenSize, 2)
  const timesMs: number[] = []
  try {
    for (let round = -2; round < rounds; round++) {
      evicting.fill(round)
      const startMs = clock.monotonicMs()
      engine.run(row.slice())
      if (round >= 0) timesMs.push(clock.monotonicMs() - startMs)
    }
  } finally {
    engine.close()
  }
  return timesMs
}

/** How a stage computes a prompt, in ms. Each is a list of rounds, taken in turns. */
export interface PrefillLimits {
  /** All rows at once, and the same rows in chunks, by one stage that has the machine for itself. */
  readonly wholeMs: readonly number[]
  readonly chunkedMs: readonly number[]
  /** In chunks, by two stages at the same time, on one core each: nothing but hardware is shared. */
  readonly twoAtOnceMs: readonly number[]
}

export interface PrefillShape {
  readonly dtype: 'f32' | 'q8'
  readonly hiddenSize: number
  readonly ffnSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly rows: number
  readonly chunkRows: number
}

/** Two stages of one block and one thread, in workers of this process: no socket, no session, no other process. */
export async function prefillLimits(shape: PrefillShape, rounds: number): Promise<PrefillLimits> {
  const { dtype, rows, chunkRows, hiddenSize, ffnSize, heads, kvHeads } = shape
  const config = { ...tinyConfig, blocks: 2, hiddenSize, ffnSize, heads, kvHeads, headDim: 64, contextTokens: 4096 }
  const folder = temporaryFolder()
  const random = seededRandom('prefill')
  const spans = [0, 1].map((block) => {
    return writeRandomSpan(join(folder.path, String(block)), { config, dtype, lanes: 2, borders: [block, block + 1] })
  })
  const runtimes = await Promise.all(spans.map((prepared) => startSpanRuntime({ prepared, kvTokens: 2 * rows, threads: 1 })))
  const inputs = new Float32Array(randomFloats(random, rows * hiddenSize, 2))
  const compute = async (index: number, chunk: number): Promise<void> => {
    const { span } = spans[index]!
    for (let position = 0; position < rows; position += chunk) {
      const input = new Uint8Array(inputs.slice(position * hiddenSize, (position + chunk) * hiddenSize).buffer)
      const entry = { cache: 'bench', position, rows: chunk, span, exact: false, encoding: 'f32', input } as const
      const { outputs } = await runtimes[index]!.run([entry])
      if (outputs[0]?.ok !== true) throw new Error(`a chunk could not be computed: ${JSON.stringify(outputs[0])}`)
    }
  }
  try {
    for (const [index, runtime] of runtimes.entries()) await runtime.reserve('bench', rows, spans[index]!.span)
    const limits = { wholeMs: [] as number[], chunkedMs: [] as number[], twoAtOnceMs: [] as number[] }
    for (let round = -1; round < rounds; round++) {
      const [wholeMs] = await timeRounds(1, 0, () => compute(0, rows))
      const [chunkedMs] = await timeRounds(1, 0, () => compute(0, chunkRows))
      const [twoAtOnceMs] = await timeRounds(1, 0, async () => void (await Promise.all([compute(0, chunkRows), compute(1, chunkRows)])))
      if (round < 0) continue
      limits.wholeMs.push(wholeMs!)
      limits.chunkedMs.push(chunkedMs!)
      limits.twoAtOnceMs.push(twoAtOnceMs!)
    }
    return limits
  } finally {
    await Promise.all(runtimes.map((runtime) => runtime.stop()))
    folder.remove()
  }
}

/**
 * The least time of a pipeline to that of one chunk after the other: `stages` times `chunks` computations of equal length, of
 * which `cores` run at once where the pipeline is full. It fills and drains by one stage a chunk time.
 */
export function pipelineFloor(stages: number, chunks: number, cores: number): number {
  const width = Math.min(cores, stages, chunks)
  // While it fills and while it drains fewer than `width` stages have work: 1, 2, ... width - 1 of them.
  const ramp = width - 1
  const full = stages * chunks - ramp * width
  return (2 * ramp + Math.ceil(full / width)) / (stages * chunks)
}
