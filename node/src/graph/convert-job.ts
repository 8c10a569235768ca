/**
 * The conversion itself: writes the folders of graphs that are not in the cache yet. Runs in a worker thread
 * (`convert-worker.ts`).
 *
 * @packageDocumentation
 */
import { copyFile, link, open, statfs, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { makeFolder } from '@skein/protocol/make-folder'
import type { ModelConfig } from '../checkpoint/model.ts'
import { openTensors } from '../checkpoint/open-checkpoint.ts'
import {
  describeFolder,
  isFolderWhole,
  layoutHash,
  publishFolder,
  removeStaleTemporaries,
  removeTemporary,
  temporaryName
} from './cache-layout.ts'
import { syncFolder, systemCode } from '../util/files.ts'
import { ConversionError, ConversionErrorCode } from './errors.ts'
import type { RopeTable } from './lanes.ts'
import { ropeFileName, weightsFileName, type PlannedWeight } from './weights.ts'
import { writeRopeTable, writeWeights } from './write-weights.ts'

/** One folder to make. */
export interface FolderJob {
  readonly folder: string
  readonly plan: readonly PlannedWeight[]
  readonly weightsBytes: number
  readonly rope: RopeTable | undefined
  /** {@link folderLayout} of the above. */
  readonly layout: string
  /** What is converted, for error texts: `blocks 0:1`. */
  readonly what: string
}

/** Structured-cloneable: it goes to a worker. */
export interface ConvertJob {
  readonly checkpointFolder: string
  /** Where the tables of the rotary embedding are, to which all groups link. */
  readonly ropeFolder: string
  readonly folders: readonly FolderJob[]
}

export interface ConvertProgress {
  readonly kind: 'convert'
  /** Bytes of the checkpoint read so far, and in all. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface ConvertOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ConvertProgress) => void
  /** Opens a file for writing. Tests hand over one whose disk is full. */
  readonly openFile?: OpenFile
}

type OpenFile = (file: string) => Promise<FileHandle>

export function folderLayout(plan: readonly PlannedWeight[], weightsBytes: number, rope: RopeTable | undefined): string {
  return layoutHash({ plan, weightsBytes, rope: rope ?? null })
}

/** @throws CheckpointError, ConversionError, AbortError; what is done by then stays, nothing half-written does */
export async function runConvertJob(job: ConvertJob, options: ConvertOptions = {}): Promise<void> {
  const tensors = await openTensors(job.checkpointFolder)
  try {
    const names = job.folders.flatMap((folder) => folder.plan.flatMap((weight) => weight.tensors))
    const totalBytes = names.reduce((sum, name) => sum + (tensors.files.info(name)?.byteLength ?? 0), 0)
    let doneBytes = 0
    const onBytes = (bytes: number): void => {
      doneBytes += bytes
      options.onProgress?.({ kind: 'convert', doneBytes, totalBytes })
    }
    const openFile = options.openFile ?? ((file: string) => open(file, 'wx'))
    for (const folder of job.folders) {
      if (folder.rope !== undefined) await makeRopeFolder(job.ropeFolder, folder.rope, tensors.config, openFile, options)
      const write = (handle: FileHandle) => writeWeights(handle, folder.plan, tensors.files, { signal: options.signal, onBytes })
      await makeGroupFolder(folder, job.ropeFolder, openFile, write)
    }
  } finally {
    await tensors.files.close()
  }
}

async function makeGroupFolder(
  job: FolderJob,
  ropeFolder: string,
  openFile: OpenFile,
  write: (handle: FileHandle) => Promise<void>
): Promise<void> {
  const names = job.rope === undefined ? [weightsFileName] : [weightsFileName, ropeFileName]
  await fillFolder({ ...job, names, neededBytes: job.weightsBytes, openFile }, async (temporary) => {
    await writeFile(path.join(temporary, weightsFileName), openFile, async (handle) => {
      await handle.truncate(job.weightsBytes)
      await write(handle)
    })
    if (job.rope !== undefined) await linkOrCopy(path.join(ropeFolder, ropeFileName), path.join(temporary, ropeFileName))
  })
}

/** The tables of the rotary embedding are the same for all groups: one folder, to which each group's links. */
async function makeRopeFolder(
  folder: string,
  table: RopeTable,
  config: ModelConfig,
  openFile: OpenFile,
  options: ConvertOptions
): Promise<void> {
  const layout = layoutHash({ table, config: [config.headDim, config.ropeTheta, config.ropeScaling] })
  if (await isFolderWhole(folder, layout)) return
  const neededBytes = table.sin.offset + table.sin.byteLength
  const spec = { folder, layout, what: 'the rotary embedding', names: [ropeFileName], neededBytes, openFile }
  await fillFolder(spec, (temporary) =>
    writeFile(path.join(temporary, ropeFileName), openFile, async (handle) => {
      await handle.truncate(neededBytes)
      await writeRopeTable(handle, config, table, { signal: options.signal })
    })
  )
}

interface FolderSpec {
  readonly folder: string
  readonly layout: string
  readonly what: string
  readonly names: readonly string[]
  readonly neededBytes: number
  readonly openFile: OpenFile
}

/** Fills a temporary folder and puts it in its place. Whatever fails, the temporary folder goes. */
async function fillFolder(spec: FolderSpec, fill: (temporary: string) => Promise<void>): Promise<void> {
  const parent = path.dirname(spec.folder)
  const temporary = path.join(parent, temporaryName())
  try {
    await makeFolder(temporary)
    await removeStaleTemporaries(parent, temporary)
    await refuseFullDisk(parent, spec.neededBytes)
    await fill(temporary)
    const meta = await describeFolder(temporary, spec.layout, spec.names)
    await writeFile(path.join(temporary, meta.name), spec.openFile, (handle) => handle.writeFile(meta.text))
    await syncFolder(temporary)
    await publishFolder(temporary, spec.folder, spec.layout)
  } catch (error) {
    await removeTemporary(temporary)
    throw explain(error, parent, spec)
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    // One file for all groups: mapped pages are shared by the sessions.
    await link(source, target)
  } catch (error) {
    if (systemCode(error) === 'ENOSPC') throw error
    await copyFile(source, target) // a file system without hard links
  }
}

async function writeFile(file: string, openFile: OpenFile, fill: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await openFile(file)
  try {
    await fill(handle)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function refuseFullDisk(folder: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes < neededBytes) throw Object.assign(new Error(`${freeBytes} bytes are free`), { code: 'ENOSPC' })
}

/** Turns what the system says of a full or closed disk into an error that says what to do. */
function explain(error: unknown, folder: string, spec: FolderSpec): unknown {
  const code = systemCode(error)
  const detail = { folder, neededBytes: spec.neededBytes }
  const megabytes = Math.ceil(spec.neededBytes / 1e6)
  if (code === 'EFBIG') {
    return new ConversionError(
      ConversionErrorCode.DiskFull,
      `${folder} takes no file as large as the converted weights of ${spec.what} (up to ${megabytes} MB): ` +
        'choose a cache folder on another disk, or raise the limit on the size of files (ulimit -f)',
      { cause: error, detail }
    )
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ConversionError(
      ConversionErrorCode.DiskFull,
      `there is no room in ${folder} for the converted weights of ${spec.what} (${megabytes} MB): ` +
        'free some, or choose a cache folder on another disk',
      { cause: error, detail }
    )
  }
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM' || code === 'ENOTDIR') {
    return new ConversionError(
      ConversionErrorCode.CacheFolder,
      `the cache folder ${folder} cannot be written (${code}): choose another one`,
      {
        cause: error,
        detail
      }
    )
  }
  return error
}
