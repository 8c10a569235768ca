/**
 * Prepares a checkpoint for the runtime: converts the weights of a span or of the head into the cache folder, once, and
 * writes the graphs beside them. What is there already, and whole, is used as it is.
 *
 * @packageDocumentation
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { AbortError, formatBlockRange, InvalidArgumentError, type BlockRange, type WeightDtype } from '@skein/protocol'
import { makeFolder } from '@skein/protocol/make-folder'
import { CheckpointError, type CheckpointErrorCode } from '../checkpoint/errors.ts'
import type { HashProgress } from '../checkpoint/manifest.ts'
import type { Checkpoint, ModelConfig } from '../checkpoint/model.ts'
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { defaultCacheDir, systemCode, writeFileAtomic } from '../util/files.ts'
import { runWorkerTask, type ThrownMessage } from '../util/worker-task.ts'
import { cacheFormat, isFolderWhole } from './cache-layout.ts'
import { folderLayout, runConvertJob, type ConvertJob, type ConvertProgress, type FolderJob } from './convert-job.ts'
import { ConversionError, ConversionErrorCode } from './errors.ts'
import { blockShape, buildGroupGraph, buildHeadGraph, type PlannedGraph } from './group-graph.ts'
import type { PreparedGraph, PreparedSpan } from './span-graph.ts'

/** Told while a checkpoint is hashed for its model id, and while its weights are converted. */
export type PrepareProgress = HashProgress | ConvertProgress

export interface PrepareOptions {
  /** An opened checkpoint, or its folder, which is then opened and closed again. */
  readonly checkpoint: Checkpoint | string
  /** @default `f32` */
  readonly dtype?: WeightDtype
  /** @default {@link defaultCacheDir} */
  readonly cacheDir?: string
  readonly onProgress?: (progress: PrepareProgress) => void
  readonly signal?: AbortSignal
  /**
   * Converts in the calling thread, which spares the start of a worker: for scripts and tests with small models. It blocks
   * the event loop for seconds per GB. @default false
   */
  readonly inThisThread?: boolean
}

export interface PrepareSpanOptions extends PrepareOptions {
  readonly span: BlockRange
  /** Blocks in a graph: a stage can begin and end between graphs only. @default {@link defaultGroupBlocks} */
  readonly groupBlocks?: number
  /** Lanes of attention in each graph. @default {@link defaultLanes} */
  readonly lanes?: number
}

/**
 * One block per graph: a stage can begin and end at every block, so that a chain can be cut anywhere and only the lost
 * blocks are replaced. Bits do not depend on the grouping. Time does a little: one token through four blocks of the Llama-1B
 * shape took 0 to 13 per cent more than with the four in one graph (f32 and 8 bits, one and two threads, a busy machine of
 * two cores).
 */
export const defaultGroupBlocks = 1

/** One lane for the sessions that decode and one for a chunk of prefill. */
export const defaultLanes = 2

/** The largest number of lanes: each costs time in every block even when it is not used. */
const maxLanes = 32

/**
 * @throws InvalidArgumentError when the span is outside the model; CheckpointError, ConversionError, AbortError
 */
export async function prepareSpan(options: PrepareSpanOptions): Promise<PreparedSpan> {
  const { span, groupBlocks = defaultGroupBlocks, lanes = defaultLanes, dtype = 'f32' } = options
  return withCheckpoint(options, async (checkpoint) => {
    const { config } = checkpoint
    requireSpan(span, config)
    requireCount('groupBlocks', groupBlocks, config.blocks)
    requireCount('lanes', lanes, maxLanes)
    const ranges = groupRanges(span, groupBlocks)
    const wanted = ranges.map((blocks) => ({
      name: `blocks-${blocks.start}-${blocks.end}`,
      what: `blocks ${formatBlockRange(blocks)}`,
      modelFile: `lanes-${lanes}.onnx`,
      graph: buildGroupGraph(config, { blocks, lanes, dtype })
    }))
    const prepared = await prepareGraphs(checkpoint, dtype, wanted, options)
    const groups = prepared.map((graph, index) => ({ ...graph, blocks: ranges[index] as BlockRange }))
    return { span, groups, shape: blockShape(config), dtype, lanes }
  })
}

/** The final norm and the LM head. @throws CheckpointError, ConversionError, AbortError */
export async function prepareHead(options: PrepareOptions): Promise<PreparedGraph> {
  const { dtype = 'f32' } = options
  return withCheckpoint(options, async (checkpoint) => {
    const wanted = { name: 'head', what: 'the LM head', modelFile: 'head.onnx', graph: buildHeadGraph(checkpoint.config, dtype) }
    const [prepared] = await prepareGraphs(checkpoint, dtype, [wanted], options)
    return prepared as PreparedGraph
  })
}

/** Cuts a span at multiples of `groupBlocks` of the model, so that a span that moves finds its groups in the cache. */
export function groupRanges(span: BlockRange, groupBlocks: number): BlockRange[] {
  const ranges: BlockRange[] = []
  for (let start = span.start; start < span.end;) {
    const end = Math.min(span.end, (Math.floor(start / groupBlocks) + 1) * groupBlocks)
    ranges.push({ start, end })
    start = end
  }
  return ranges
}

interface WantedGraph {
  readonly name: string
  readonly what: string
  readonly modelFile: string
  readonly graph: PlannedGraph
}

async function prepareGraphs(
  checkpoint: Checkpoint,
  dtype: WeightDtype,
  wanted: readonly WantedGraph[],
  options: PrepareOptions
): Promise<PreparedGraph[]> {
  const modelFolder = path.resolve(options.cacheDir ?? defaultCacheDir(), checkpoint.modelId)
  const missing: FolderJob[] = []
  const prepared: PreparedGraph[] = []
  try {
    for (const { name, what, graph, modelFile } of wanted) {
      const folder = path.join(modelFolder, `${dtype}-${cacheFormat}`, name)
      const { plan, weightsBytes, rope } = graph
      const layout = folderLayout(plan, weightsBytes, rope)
      if (!(await isFolderWhole(folder, layout))) missing.push({ folder, plan, weightsBytes, rope, layout, what })
      prepared.push({ folder, modelFile })
    }
    if (missing.length > 0) {
      await makeFolder(path.join(modelFolder, `${dtype}-${cacheFormat}`))
      const ropeFolder = path.join(modelFolder, `rope-${cacheFormat}`)
      const job = { checkpointFolder: path.resolve(checkpoint.folder), ropeFolder, folders: missing }
      await (options.inThisThread === true ? runConvertJob(job, options) : convertInWorker(job, options))
    }
    for (const [index, { folder, modelFile }] of prepared.entries()) {
      await writeIfDifferent(path.join(folder, modelFile), (wanted[index] as WantedGraph).graph.model)
    }
  } catch (error) {
    throw explain(error, modelFolder)
  }
  return prepared
}

async function convertInWorker(job: ConvertJob, options: PrepareOptions): Promise<void> {
  await runWorkerTask<ConvertJob, ConvertProgress, undefined>(new URL('./convert-worker.js', import.meta.url), job, revive, options)
}

/** Gives an error that a worker threw its class back. */
function revive({ name, code, message, detail, stack }: ThrownMessage): Error {
  if (code === 'ERR_SKEIN_ABORTED') return new AbortError(message, { detail })
  if (name === 'CheckpointError') return new CheckpointError(code as CheckpointErrorCode, message, { detail })
  if (name === 'ConversionError') return new ConversionError(code as ConversionErrorCode, message, { detail })
  const cause = Object.assign(new Error(message), stack === undefined ? {} : { stack })
  return new ConversionError(ConversionErrorCode.Failed, 'converting the weights failed', { cause })
}

function explain(error: unknown, folder: string): unknown {
  const code = systemCode(error)
  if (code === undefined || code.startsWith('ERR_SKEIN_')) return error
  const detail = { folder }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ConversionError(
      ConversionErrorCode.DiskFull,
      `there is no room in ${folder}: free some, or choose a cache folder on another disk`,
      {
        cause: error,
        detail
      }
    )
  }
  return new ConversionError(ConversionErrorCode.CacheFolder, `the cache folder ${folder} cannot be used (${code}): choose another one`, {
    cause: error,
    detail
  })
}

async function writeIfDifferent(file: string, bytes: Uint8Array): Promise<void> {
  const present = await readFile(file).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (present === undefined || !present.equals(bytes)) await writeFileAtomic(file, bytes)
}

async function withCheckpoint<T>(options: PrepareOptions, body: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  if (typeof options.checkpoint !== 'string') return body(options.checkpoint)
  const checkpoint = await openCheckpoint(options.checkpoint, options)
  try {
    return await body(checkpoint)
  } finally {
    await checkpoint.close()
  }
}

function requireSpan(span: BlockRange, config: ModelConfig): void {
  const { start, end } = span
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start < end && end <= config.blocks) return
  throw new InvalidArgumentError(`the span ${formatBlockRange(span)} is outside the model, whose blocks are 0:${config.blocks}`, {
    detail: { start, end, blocks: config.blocks }
  })
}

function requireCount(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return
  throw new InvalidArgumentError(`${name} is ${value}; it must be a whole number from 1 to ${max}`)
}
