import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  loadEmbedding,
  openCheckpoint,
  OrtSpanRuntime,
  prepareHead,
  prepareSpan,
  startHeadRuntime,
  type Embedding,
  type HeadRuntime,
  type OpenedCheckpoint,
  type PreparedSpan,
  type PrepareSpanOptions
} from '@skein/node'
import { rowBytes, type BlockRange, type TensorEncoding, type WeightDtype } from '@skein/protocol'

/** The folder `test/` of the sources: models and golden outputs are not copied to `dist`. */
export const testFolder = fileURLToPath(new URL('../../', import.meta.url))

/** A demo model, opened, and what it takes to run spans of it on this thread. */
export class ModelUnderTest {
  readonly #runtimes: OrtSpanRuntime[] = []

  private constructor(
    private readonly cacheDir: string,
    readonly checkpoint: OpenedCheckpoint,
    readonly embedding: Embedding
  ) {}

  /** @param name a folder of `test/models` */
  static async open(name: string): Promise<ModelUnderTest> {
    const cacheDir = await mkdtemp(path.join(tmpdir(), 'skein-golden-'))
    const checkpoint = await openCheckpoint(path.join(testFolder, 'models', name), { cacheDir })
    return new ModelUnderTest(cacheDir, checkpoint, await loadEmbedding({ checkpoint }))
  }

  get blocks(): number {
    return this.checkpoint.config.blocks
  }

  get hiddenSize(): number {
    return this.checkpoint.config.hiddenSize
  }

  prepare(span: BlockRange, options: Partial<PrepareSpanOptions> = {}): Promise<PreparedSpan> {
    return prepareSpan({ checkpoint: this.checkpoint, cacheDir: this.cacheDir, span, inThisThread: true, ...options })
  }

  async openSpan(span: BlockRange, options: Partial<PrepareSpanOptions> & { readonly kvTokens?: number } = {}): Promise<OrtSpanRuntime> {
    const prepared = await this.prepare(span, options)
    // Time is only reported by a runtime, never acted on: a clock that stands still will do.
    const runtime = new OrtSpanRuntime({ prepared, kvTokens: options.kvTokens ?? 4096, threads: 1 }, { clock: { monotonicMs: () => 0 } })
    this.#runtimes.push(runtime)
    return runtime
  }

  async openHead(dtype: WeightDtype = 'f32'): Promise<HeadRuntime> {
    const graph = await prepareHead({ checkpoint: this.checkpoint, cacheDir: this.cacheDir, dtype, inThisThread: true })
    return startHeadRuntime({ graph, hiddenSize: this.hiddenSize, vocabSize: this.checkpoint.config.vocabSize, threads: 1 })
  }

  /** f32 `[tokens.length, hiddenSize]`, as the bytes of a step. */
  embed(tokens: readonly number[]): Uint8Array {
    return new Uint8Array(this.embedding.embeddingRows(tokens).buffer)
  }

  async close(): Promise<void> {
    for (const runtime of this.#runtimes) await runtime.stop()
    await this.checkpoint.close()
    await rm(this.cacheDir, { recursive: true, force: true })
  }
}

export interface StepOptions {
  readonly cache: string
  readonly position: number
  readonly span: BlockRange
  readonly exact?: boolean
  readonly encoding?: TensorEncoding
}

/** One step of one session. @returns the output rows, in the encoding of the input */
export async function step(runtime: OrtSpanRuntime, input: Uint8Array, options: StepOptions): Promise<Uint8Array> {
  const { encoding = 'f32', exact = false, ...rest } = options
  const rows = input.byteLength / rowBytes(encoding, runtime.info.hiddenSize)
  const { outputs } = await runtime.run([{ ...rest, rows, exact, encoding, input: input.slice() }])
  const [output] = outputs
  if (output === undefined || !output.ok) throw new Error(output?.message ?? 'the turn gave no output')
  return output.output
}

/** The f32 values of rows that a runtime gave. */
export function floats(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint8Array.from(bytes).buffer) // not slice(): of a Buffer, that is a view
}

/** The largest difference, as a part of the range of `expected`; and whether each row has its maximum at the same place. */
export function compareLogits(found: Float32Array, expected: Float32Array, vocabSize: number): { difference: number; sameArgmax: boolean } {
  if (found.length !== expected.length) throw new Error(`${found.length} logits instead of ${expected.length}`)
  let largest = 0
  let low = Infinity
  let high = -Infinity
  let sameArgmax = true
  for (let row = 0; row < expected.length; row += vocabSize) {
    let bestFound = row
    let bestExpected = row
    for (let index = row; index < row + vocabSize; index++) {
      const value = expected[index] as number
      const difference = Math.abs((found[index] as number) - value)
      if (!(difference <= largest)) largest = difference // NaN counts as a difference
      low = Math.min(low, value)
      high = Math.max(high, value)
      if ((found[index] as number) > (found[bestFound] as number)) bestFound = index
      if (value > (expected[bestExpected] as number)) bestExpected = index
    }
    sameArgmax &&= bestFound === bestExpected
  }
  return { difference: largest / (high - low), sameArgmax }
}
