import {
  openCheckpoint,
  prepareHead,
  startEmbeddingRuntime,
  startHeadRuntime,
  transferable,
  type EmbeddingRuntime,
  type HeadRuntime,
  type ModelConfig,
  type PreparedGraph,
  type PrepareProgress
} from '@skein/node'
import { abortReason, InvalidArgumentError, limits, type ModelId, type WeightDtype } from '@skein/protocol'
import type { ModelText } from '../text/model-text.ts'
import { loadModelText } from '../text/text-files.node.ts'
import type { Ends } from './ends.ts'

/** `hash`: the checkpoint is hashed for its id (the first time). `convert`: the head's weights are converted (the first time). */
export interface EndsProgress {
  readonly phase: 'hash' | 'convert'
  /** 0 to 1. */
  readonly fraction: number
}

export interface CreateEndsOptions {
  /** A Hugging Face folder. Of its weights only the embedding, the last norm and the head are loaded. */
  readonly modelFolder: string
  /** The model's name in its id. @default what the checkpoint says */
  readonly modelName?: string
  /** Where converted weights are kept. @default `skein` below the user's cache folder */
  readonly cacheDir?: string
  /** The dtype of the head's matrix. @default 'f32' */
  readonly dtype?: WeightDtype
  /** Threads that the head may use. @default 1 */
  readonly threads?: number
  readonly onProgress?: (progress: EndsProgress) => void
  /** Gives up; what was converted stays in the cache. */
  readonly signal?: AbortSignal
}

/** Rows that are taken here from the worker's table: a few copies of a row are less than the way to another thread and back. */
const fewTokens = 4

/** Logits in one call: more would not fit a machine that needs skein. */
const maxLogitsBytes = 1024 * 1024 * 1024

/**
 * Opens a model's two ends, each in a worker thread of its own.
 *
 * @throws CheckpointError, ConversionError, ModelFileError, OrtError, AbortError; then nothing is left running
 */
export async function createEnds(options: CreateEndsOptions): Promise<Ends> {
  const { modelId, config, text, graph } = await prepare(options)
  const { hiddenSize, vocabSize } = config
  const [head, embedding] = await Promise.allSettled([
    startHeadRuntime({ graph, hiddenSize, vocabSize, threads: options.threads ?? 1 }),
    startEmbeddingRuntime({ folder: options.modelFolder, modelId })
  ])
  if (head.status === 'fulfilled' && embedding.status === 'fulfilled' && options.signal?.aborted !== true) {
    return new WorkerEnds(modelId, config, text, head.value, embedding.value)
  }
  // One failed: the other one must not stay behind.
  await Promise.all([
    head.status === 'fulfilled' ? head.value.stop() : undefined,
    embedding.status === 'fulfilled' ? embedding.value.stop() : undefined
  ])
  if (head.status === 'rejected') throw head.reason
  if (embedding.status === 'rejected') throw embedding.reason
  throw abortReason(options.signal as AbortSignal)
}

interface Prepared {
  readonly modelId: ModelId
  readonly config: ModelConfig
  readonly text: ModelText
  readonly graph: PreparedGraph
}

async function prepare(options: CreateEndsOptions): Promise<Prepared> {
  const { modelFolder, modelName, cacheDir, dtype, signal } = options
  const onProgress = ({ kind, doneBytes, totalBytes }: PrepareProgress): void =>
    options.onProgress?.({ phase: kind, fraction: totalBytes > 0 ? doneBytes / totalBytes : 1 })
  const checkpoint = await openCheckpoint(modelFolder, { name: modelName, cacheDir, signal, onProgress })
  try {
    const { config, modelId } = checkpoint
    const text = await loadModelText(modelFolder, config.eosTokenIds)
    const graph = await prepareHead({ checkpoint, dtype, cacheDir, signal, onProgress })
    return { modelId, config, text, graph }
  } finally {
    await checkpoint.close()
  }
}

class WorkerEnds implements Ends {
  readonly #head: HeadRuntime
  readonly #embedding: EmbeddingRuntime
  #stopped = false

  constructor(
    readonly modelId: ModelId,
    readonly config: ModelConfig,
    readonly text: ModelText,
    head: HeadRuntime,
    embedding: EmbeddingRuntime
  ) {
    this.#head = head
    this.#embedding = embedding
  }

  async embed(tokens: readonly number[]): Promise<Float32Array> {
    const { vocabSize } = this.config
    if (tokens.length > limits.maxStepRows) {
      throw new InvalidArgumentError(`${tokens.length} tokens are to be embedded at once: at most ${limits.maxStepRows} can be`)
    }
    // Before the ids become unsigned integers, which would hide what is wrong with them.
    const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabSize)
    if (wrong !== undefined) throw new InvalidArgumentError(`token ${wrong} is outside the vocabulary of ${vocabSize}`)
    if (tokens.length === 0) return new Float32Array(0)
    if (tokens.length <= fewTokens && !this.#stopped) return this.#embedding.table.embeddingRows(tokens)
    return this.#embedding.rows(Uint32Array.from(tokens))
  }

  async logits(hidden: Float32Array, rows: number): Promise<Float32Array> {
    const { hiddenSize, vocabSize } = this.config
    if (!Number.isSafeInteger(rows) || rows < 0 || hidden.length !== rows * hiddenSize) {
      throw new InvalidArgumentError(`${hidden.length} values are not ${rows} rows of ${hiddenSize}`)
    }
    if (4 * rows * vocabSize > maxLogitsBytes) {
      const most = Math.floor(maxLogitsBytes / (4 * vocabSize))
      throw new InvalidArgumentError(`the logits of ${rows} rows are asked for at once: at most ${most} can be`)
    }
    if (rows === 0) return new Float32Array(0)
    // A view of a larger buffer would take all of that buffer to the worker.
    return this.#head.run(transferable([hidden]).length === 1 ? hidden : hidden.slice())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([this.#head.stop(), this.#embedding.stop()])
  }
}
