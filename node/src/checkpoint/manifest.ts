/**
 * The manifest of a checkpoint: what makes two copies of a model the same, and lets a node verify single tensors. The model
 * id is a hash of it. How the tensors are spread over files does not count, nor what the model does not use.
 *
 * @packageDocumentation
 */
import { createHash, webcrypto } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { AbortError, parseModelId, type ModelId } from '@skein/protocol'
import { z } from 'zod'
import { systemCode } from '../util/files.ts'
import type { TensorInfo } from './model.ts'
import type { TensorFiles } from './tensor-files.ts'

/** A tensor is hashed in pieces of so many bytes, so that a part of it can be verified. */
const manifestChunkBytes = 4 * 1024 * 1024

/** Hashes in flight: they run on the thread pool of Node.js, whose default is four threads. */
const hashesInFlight = 4

/** What decides on the text that goes in and comes out. Files that are not there do not count. */
const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'tokenizer.model',
  'vocab.json',
  'merges.txt'
] as const

/** Keys of `config.json` that tell of its making and not of the model. */
const volatileConfigKeys: ReadonlySet<string> = new Set([
  '_name_or_path',
  'transformers_version',
  'torch_dtype',
  'dtype',
  'use_cache',
  '_attn_implementation',
  '_attn_implementation_autoset'
])

const hash = z.string().regex(/^[0-9a-f]{64}$/)

const manifestSchema = z.object({
  version: z.literal(1),
  chunkBytes: z.literal(manifestChunkBytes),
  config: z.record(z.string(), z.unknown()),
  /** SHA-256 by file name. */
  tokenizer: z.record(z.string(), hash),
  tensors: z.array(
    z.object({
      name: z.string(),
      dtype: z.enum(['f32', 'f16', 'bf16']),
      shape: z.array(z.number().int().min(0)),
      /** SHA-256 of each piece of {@link manifestChunkBytes}, in order; the last may be shorter. */
      chunks: z.array(hash)
    })
  )
})

export type Manifest = z.infer<typeof manifestSchema>
export type ManifestTensor = Manifest['tensors'][number]

/** Told while a checkpoint is hashed. */
export interface HashProgress {
  readonly kind: 'hash'
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface ManifestOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: HashProgress) => void
}

/** @returns undefined when the JSON is no manifest of this version */
export function parseManifest(json: unknown): Manifest | undefined {
  const parsed = manifestSchema.safeParse(json)
  return parsed.success ? parsed.data : undefined
}

/** Hashes every listed tensor and the tokenizer's files. @throws CheckpointError, AbortError */
export async function makeManifest(
  files: TensorFiles,
  config: Readonly<Record<string, unknown>>,
  tensors: readonly TensorInfo[],
  options: ManifestOptions = {}
): Promise<Manifest> {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1))
  const totalBytes = sorted.reduce((sum, tensor) => sum + tensor.byteLength, 0)
  let doneBytes = 0
  const hashed: ManifestTensor[] = []
  for (const tensor of sorted) {
    const chunks = await hashTensor(files, tensor, (bytes) => {
      if (options.signal?.aborted) throw new AbortError('hashing the checkpoint was aborted')
      doneBytes += bytes
      options.onProgress?.({ kind: 'hash', doneBytes, totalBytes })
    })
    hashed.push({ name: tensor.name, dtype: tensor.dtype, shape: [...tensor.shape], chunks })
  }
  const kept = Object.fromEntries(Object.entries(config).filter(([key]) => !volatileConfigKeys.has(key)))
  return { version: 1, chunkBytes: manifestChunkBytes, config: kept, tokenizer: await hashTokenizer(files.folder), tensors: hashed }
}

/** SHA-256 of a tensor's pieces. `onPiece` is told the bytes of each. */
export async function hashTensor(files: TensorFiles, tensor: TensorInfo, onPiece: (bytes: number) => void = () => {}): Promise<string[]> {
  const pieces = Math.ceil(tensor.byteLength / manifestChunkBytes)
  const hashes: string[] = []
  for (let first = 0; first < pieces; first += hashesInFlight) {
    const batch = Array.from({ length: Math.min(hashesInFlight, pieces - first) }, async (_, index) => {
      const offset = (first + index) * manifestChunkBytes
      const length = Math.min(manifestChunkBytes, tensor.byteLength - offset)
      // WebCrypto's digest runs on the thread pool; createHash would run on the event loop.
      const digest = await webcrypto.subtle.digest('SHA-256', await files.readRange(tensor.name, offset, length))
      onPiece(length)
      return Buffer.from(digest).toString('hex')
    })
    hashes.push(...(await Promise.all(batch)))
  }
  return hashes
}

/** `<name>@<128 bits of the SHA-256 of the manifest>`. */
export function modelIdOf(name: string, manifest: Manifest): ModelId {
  const digest = createHash('sha256').update(canonicalJson(manifest)).digest('hex')
  return parseModelId(`${name}@${digest.slice(0, 32)}`)
}

/** JSON with sorted keys and no spaces: equal values give equal text. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`
}

/** What changes when a file of the checkpoint does: the key under which a manifest is remembered. */
export async function checkpointFingerprint(files: TensorFiles): Promise<string> {
  const parts: string[] = []
  const names = ['config.json', ...tokenizerFiles].map((name) => path.join(files.folder, name))
  for (const file of [...files.fileNames.map(({ path: own }) => own), ...names]) {
    try {
      const { size, mtimeNs, ctimeNs, ino } = await stat(file, { bigint: true })
      parts.push(`${path.resolve(file)}:${size}:${mtimeNs}:${ctimeNs}:${ino}`)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
    }
  }
  return createHash('sha256').update(parts.join('\n')).digest('hex')
}

async function hashTokenizer(folder: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {}
  for (const name of tokenizerFiles) {
    try {
      const bytes = await readFile(path.join(folder, name))
      hashes[name] = Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
    }
  }
  return hashes
}
