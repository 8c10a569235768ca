/**
 * The tensors of a checkpoint folder, in one safetensors file or in several with an index. Only headers are read at first,
 * and later the byte ranges that are asked for.
 *
 * @packageDocumentation
 */
import { open, readFile, stat, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { readAt, systemCode } from '../util/files.ts'
import { toFloat32 } from './dtypes.ts'
import { CheckpointError, CheckpointErrorCode } from './errors.ts'
import type { TensorInfo } from './model.ts'
import { readSafetensorsHeader, type TensorEntry } from './safetensors.ts'

const singleFile = 'model.safetensors'
const indexFile = 'model.safetensors.index.json'

/** JSON files beside the weights are small; more is a mistake or an attack. */
const maxJsonBytes = 64 * 1024 * 1024

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

interface Place extends TensorEntry {
  readonly file: OpenFile
}

interface OpenFile {
  readonly name: string
  readonly path: string
  readonly handle: FileHandle
}

export class TensorFiles {
  private constructor(
    readonly folder: string,
    private readonly files: readonly OpenFile[],
    private readonly places: ReadonlyMap<string, Place>
  ) {}

  /** @throws CheckpointError when a file is missing, truncated or damaged */
  static async open(folder: string): Promise<TensorFiles> {
    const { names, placed } = await listFiles(folder)
    const files: OpenFile[] = []
    const places = new Map<string, Place>()
    try {
      for (const name of names) {
        const file = { name, path: path.join(folder, name), handle: await openFile(folder, name) }
        files.push(file)
        for (const entry of await readSafetensorsHeader(file.handle, file.path)) {
          // An index names one file per tensor; a second copy elsewhere does not count.
          if (placed === undefined || placed.get(entry.name) === name) places.set(entry.name, { ...entry, file })
        }
      }
      for (const [tensor, name] of placed ?? []) {
        if (!places.has(tensor)) throw missingTensor(tensor, path.join(folder, name))
      }
      return new TensorFiles(folder, files, places)
    } catch (error) {
      for (const file of files) await file.handle.close()
      throw error
    }
  }

  /** Every file that holds tensors: name and path. */
  get fileNames(): ReadonlyArray<{ readonly name: string; readonly path: string }> {
    return this.files
  }

  has(name: string): boolean {
    return this.places.has(name)
  }

  /** @returns undefined when there is no such tensor. @throws CheckpointError when its dtype is none that skein reads */
  info(name: string): TensorInfo | undefined {
    const place = this.places.get(name)
    if (place === undefined) return undefined
    if (place.dtype === undefined) {
      throw new CheckpointError(
        CheckpointErrorCode.UnknownDtype,
        `tensor ${name} in ${place.file.path} is of dtype ${place.rawDtype}; skein reads BF16, F16 and F32`,
        { detail: { file: place.file.path, tensor: name } }
      )
    }
    return { name, dtype: place.dtype, shape: place.shape, byteLength: place.end - place.begin }
  }

  /** The file that holds a tensor, for error texts. */
  pathOf(name: string): string {
    return this.places.get(name)?.file.path ?? this.folder
  }

  /**
   * A part of a tensor's little-endian bytes.
   *
   * @throws CheckpointError when the tensor is missing, or the file is shorter than when it was opened
   */
  async readRange(name: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const place = this.places.get(name)
    if (place === undefined) throw missingTensor(name, this.folder)
    if (offset < 0 || length < 0 || place.begin + offset + length > place.end) {
      throw new RangeError(`bytes ${offset} to ${offset + length} are outside tensor ${name}`)
    }
    const bytes = await readAt(place.file.handle, place.begin + offset, length)
    if (bytes.byteLength === length) return bytes
    throw new CheckpointError(
      CheckpointErrorCode.Truncated,
      `${place.file.path} ended inside tensor ${name}; the file was changed while it was in use`,
      { detail: { file: place.file.path, tensor: name } }
    )
  }

  /** @throws CheckpointError */
  async readBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.readRange(name, 0, this.#required(name).byteLength)
  }

  /** @throws CheckpointError */
  async readFloat32(name: string): Promise<Float32Array> {
    return toFloat32(await this.readBytes(name), this.#required(name).dtype)
  }

  async close(): Promise<void> {
    for (const file of this.files) await file.handle.close()
  }

  #required(name: string): TensorInfo {
    const info = this.info(name)
    if (info === undefined) throw missingTensor(name, this.folder)
    return info
  }
}

/** Reads a JSON file of a checkpoint. @throws CheckpointError when it is missing, too large or not JSON */
export async function readJsonFile(file: string, maxBytes = maxJsonBytes): Promise<unknown> {
  let text: string
  try {
    const { size } = await stat(file)
    if (size > maxBytes) {
      throw new CheckpointError(CheckpointErrorCode.BadHeader, `${file} has ${size} bytes, more than the ${maxBytes} it may have`, {
        detail: { file }
      })
    }
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw error instanceof CheckpointError ? error : missingFile(file, error)
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CheckpointError(CheckpointErrorCode.BadHeader, `${file} is not JSON`, { cause: error, detail: { file } })
  }
}

export function missingTensor(tensor: string, where: string): CheckpointError {
  return new CheckpointError(
    CheckpointErrorCode.MissingTensor,
    `tensor ${tensor} is missing from ${where}: is the download whole, and config.json that of these weights?`,
    { detail: { file: where, tensor } }
  )
}

function missingFile(file: string, cause: unknown): CheckpointError {
  // ENOTDIR: a file stands where the folder should be.
  if (systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR') {
    const text = `${file} is missing: expected a folder as Hugging Face publishes them, with config.json, tokenizer.json and safetensors files`
    return new CheckpointError(CheckpointErrorCode.MissingFile, text, { detail: { file } })
  }
  return new CheckpointError(CheckpointErrorCode.MissingFile, `${file} cannot be read`, { cause, detail: { file } })
}

async function openFile(folder: string, name: string): Promise<FileHandle> {
  const file = path.join(folder, name)
  try {
    return await open(file, 'r')
  } catch (error) {
    throw missingFile(file, error)
  }
}

/** The files of a checkpoint, and with an index, which one each tensor is in. */
async function listFiles(folder: string): Promise<{ names: string[]; placed?: Map<string, string> }> {
  const index = path.join(folder, indexFile)
  if (!(await exists(index))) return { names: [singleFile] }
  const parsed = indexSchema.safeParse(await readJsonFile(index))
  if (!parsed.success) {
    throw new CheckpointError(CheckpointErrorCode.BadHeader, `${index} has no weight_map from tensors to files`, {
      detail: { file: index }
    })
  }
  const placed = new Map(Object.entries(parsed.data.weight_map))
  const names = [...new Set(placed.values())].sort()
  for (const name of names) {
    if (name !== path.basename(name) || name === '' || name === '..') {
      throw new CheckpointError(
        CheckpointErrorCode.BadHeader,
        `${index} names a file outside its folder: ${JSON.stringify(name.slice(0, 160))}`,
        {
          detail: { file: index }
        }
      )
    }
  }
  return { names, placed }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: unknown) => {
      if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false
      throw missingFile(file, error)
    }
  )
}
