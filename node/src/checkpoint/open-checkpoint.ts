/**
 * Opens a Hugging Face folder: `config.json`, the weights in one or several safetensors files, and the tokenizer's files.
 *
 * @packageDocumentation
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { ModelId } from '@skein/protocol'
import { makeFolder } from '@skein/protocol/make-folder'
import { z } from 'zod'
import { familyOf } from '../graph/families/registry.ts'
import type { TensorSpec } from '../graph/weights.ts'
import { defaultCacheDir, systemCode, writeFileAtomic } from '../util/files.ts'
import { CheckpointError, CheckpointErrorCode } from './errors.ts'
import {
  checkpointFingerprint,
  hashTensor,
  makeManifest,
  modelIdOf,
  parseManifest,
  type Manifest,
  type ManifestOptions
} from './manifest.ts'
import type { Checkpoint, ModelConfig, TensorInfo } from './model.ts'
import { requireTokenizer } from './require-tokenizer.ts'
import { missingTensor, readJsonFile, TensorFiles } from './tensor-files.ts'

export interface OpenCheckpointOptions extends ManifestOptions {
  /** The model's name in its id. @default its shape, such as `llama-8x128` */
  readonly name?: string
  /** Where the manifest is remembered, so that the next start need not hash again. @default {@link defaultCacheDir} */
  readonly cacheDir?: string
  /**
   * Refuse a folder without a tokenizer. The model's id is made of it: whoever lacks it has another model than everybody
   * else. @default false
   */
  readonly requireTokenizer?: boolean
}

/** A {@link Checkpoint} on disk, with its manifest. */
export interface OpenedCheckpoint extends Checkpoint {
  readonly manifest: Manifest
  /** Whether the manifest could be kept in the cache folder; if not, every start hashes the whole checkpoint. */
  readonly manifestKept: boolean
  /** Reads a tensor again and compares it with the manifest. @throws CheckpointError `ERR_SKEIN_CHECKPOINT_WRONG_HASH` */
  verifyTensor(name: string): Promise<void>
}

/** A checkpoint without its manifest: what a converter needs. */
export interface CheckpointTensors {
  readonly config: ModelConfig
  readonly files: TensorFiles
  readonly rawConfig: Readonly<Record<string, unknown>>
  /** Every tensor that the model needs, with shape and dtype checked. */
  readonly tensors: readonly TensorInfo[]
}

const rawConfigSchema = z.looseObject({ model_type: z.string() })

/**
 * Opens a checkpoint and checks that every tensor of the model is there, in the right shape. The first time, all tensors
 * are hashed for the model id.
 *
 * @throws CheckpointError, whose text names the file and the tensor; AbortError
 */
export async function openCheckpoint(folder: string, options: OpenCheckpointOptions = {}): Promise<OpenedCheckpoint> {
  const opened = await openTensors(folder)
  try {
    // Before the hashing, which can take minutes.
    if (options.requireTokenizer === true) await requireTokenizer(folder)
    const { manifest, kept } = await loadManifest(opened, options)
    // By default nothing that differs between two copies of the same checkpoint, such as the folder's name: their owners
    // would not find each other.
    const { family, blocks, hiddenSize } = opened.config
    const name = (options.name === undefined ? undefined : sanitizeName(options.name)) ?? `${family}-${blocks}x${hiddenSize}`
    return new FolderCheckpoint(opened, manifest, kept, modelIdOf(name, manifest))
  } catch (error) {
    await opened.files.close()
    throw error
  }
}

/** Opens a checkpoint without hashing it. Close its `files` afterwards. @throws CheckpointError */
export async function openTensors(folder: string): Promise<CheckpointTensors> {
  const configFile = path.join(folder, 'config.json')
  const parsed = rawConfigSchema.safeParse(await readJsonFile(configFile))
  if (!parsed.success) {
    throw new CheckpointError(
      CheckpointErrorCode.BadConfig,
      `${configFile} has no model_type, which names the family: copy the file from where the model was published`,
      { detail: { file: configFile } }
    )
  }
  const rawConfig = parsed.data
  const family = familyOf(rawConfig.model_type)
  const config = family.readConfig(rawConfig)
  const files = await TensorFiles.open(folder)
  try {
    const ends = family.endTensors(config)
    const specs = [ends.embedding, ends.norm, ...(config.tiedEmbeddings ? [] : [ends.head])]
    for (let block = 0; block < config.blocks; block++) specs.push(...family.blockTensors(config, block))
    return { config, files, rawConfig, tensors: specs.map((spec) => checkTensor(files, spec)) }
  } catch (error) {
    await files.close()
    throw error
  }
}

class FolderCheckpoint implements OpenedCheckpoint {
  readonly config: ModelConfig
  readonly folder: string
  readonly #files: TensorFiles

  constructor(
    opened: CheckpointTensors,
    readonly manifest: Manifest,
    readonly manifestKept: boolean,
    readonly modelId: ModelId
  ) {
    this.config = opened.config
    this.folder = opened.files.folder
    this.#files = opened.files
  }

  tensor(name: string): TensorInfo | undefined {
    return this.#files.info(name)
  }

  readBytes(name: string): Promise<Uint8Array> {
    return this.#files.readBytes(name)
  }

  readFloat32(name: string): Promise<Float32Array> {
    return this.#files.readFloat32(name)
  }

  async verifyTensor(name: string): Promise<void> {
    const info = this.#files.info(name)
    const expected = this.manifest.tensors.find((tensor) => tensor.name === name)
    if (info === undefined || expected === undefined) throw missingTensor(name, this.folder)
    const hashes = await hashTensor(this.#files, info)
    if (info.dtype === expected.dtype && hashes.join() === expected.chunks.join()) return
    const file = this.#files.pathOf(name)
    throw new CheckpointError(
      CheckpointErrorCode.WrongHash,
      `tensor ${name} in ${file} is not the one of model ${this.modelId}: its hash differs`,
      {
        detail: { file, tensor: name }
      }
    )
  }

  close(): Promise<void> {
    return this.#files.close()
  }
}

function checkTensor(files: TensorFiles, spec: TensorSpec): TensorInfo {
  const info = files.info(spec.name)
  if (info === undefined) throw missingTensor(spec.name, files.folder)
  if (info.shape.length === spec.shape.length && info.shape.every((size, axis) => size === spec.shape[axis])) return info
  const file = files.pathOf(spec.name)
  throw new CheckpointError(
    CheckpointErrorCode.WrongShape,
    `tensor ${spec.name} in ${file} has the shape [${info.shape.join(', ')}], but config.json asks for [${spec.shape.join(', ')}]`,
    { detail: { file, tensor: spec.name } }
  )
}

/** The part after the last slash, with every other character than letters, digits, `.`, `_` and `-` replaced. */
function sanitizeName(text: string): string | undefined {
  const last = text.split(/[/\\]/).findLast((part) => part !== '') ?? ''
  const name = last
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 96)
  return name === '' ? undefined : name
}

async function loadManifest(opened: CheckpointTensors, options: OpenCheckpointOptions): Promise<{ manifest: Manifest; kept: boolean }> {
  const folder = path.join(options.cacheDir ?? defaultCacheDir(), 'manifests')
  const file = path.join(folder, `${await checkpointFingerprint(opened.files)}.json`)
  const known = await readKnown(file)
  if (known !== undefined) return { manifest: known, kept: true }
  const manifest = await makeManifest(opened.files, opened.rawConfig, opened.tensors, options)
  try {
    await makeFolder(folder)
    await writeFileAtomic(file, JSON.stringify(manifest))
    return { manifest, kept: true }
  } catch (error) {
    // The manifest itself is good; that it could not be kept costs the next start its time, and `manifestKept` says so.
    if (systemCode(error) === undefined) throw error
    return { manifest, kept: false }
  }
}

/** @returns undefined when there is none, or it is damaged and must be made again */
async function readKnown(file: string): Promise<Manifest | undefined> {
  try {
    return parseManifest(JSON.parse(await readFile(file, 'utf8')))
  } catch {
    return undefined
  }
}
