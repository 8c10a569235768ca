/**
 * The layout of converted weights below the cache folder, and the check that what lies there is whole:
 *
 *     <cacheDir>/<model id>/rope-<format>/                  tables of the rotary embedding, shared by all groups:
 *         rope.bin, meta.json
 *     <cacheDir>/<model id>/<dtype>-<format>/blocks-0-1/    one group of blocks (or `head/`):
 *         weights.bin, rope.bin (a hard link), meta.json    written once, in a temporary folder that is renamed
 *         lanes-2.onnx                                      the graph, one for each number of lanes in use
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { z } from 'zod'
import { readAt, syncFolder, systemCode, uniqueSuffix } from '../util/files.ts'

/** Rises when the layout of the files or the way of quantizing changes: old folders are then left alone. */
export const cacheFormat = 1

const metaFile = 'meta.json'
const sampleBytes = 4096
/** Pages of a file that its checksum covers. A start must not read gigabytes; torn and foreign files are found by these. */
const samplePages = 64
/** Another host's temporary folders may be in use (a shared disk): only old ones are removed. */
const foreignTemporaryMaxAgeMs = 7 * 24 * 3600 * 1000

const fileSchema = z.object({ bytes: z.number().int().min(0), sample: z.string() })
const metaSchema = z.object({ format: z.literal(cacheFormat), layout: z.string(), files: z.record(z.string(), fileSchema) })
type Meta = z.infer<typeof metaSchema>

/** Identifies a plan: what is where in the files. */
export function layoutHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}

/** A file's size, and a hash over pages spread evenly from its first to its last. */
async function sampleFile(file: string): Promise<{ bytes: number; sample: string }> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const hash = createHash('sha256')
    const last = Math.max(0, size - sampleBytes)
    for (let page = 0; page < samplePages; page++) {
      hash.update(await readAt(handle, Math.floor((last * page) / (samplePages - 1)), Math.min(sampleBytes, size)))
    }
    return { bytes: size, sample: hash.digest('hex') }
  } finally {
    await handle.close()
  }
}

/** Writes the description of a finished folder, the last file in it. @returns its text, to be written by the caller */
export async function describeFolder(folder: string, layout: string, names: readonly string[]): Promise<{ name: string; text: string }> {
  const files: Meta['files'] = {}
  for (const name of names) files[name] = await sampleFile(path.join(folder, name))
  const meta: Meta = { format: cacheFormat, layout, files }
  return { name: metaFile, text: JSON.stringify(meta) }
}

/** Whether a folder holds the files of this layout, whole. Never throws for what lies there, only for a disk that fails. */
export async function isFolderWhole(folder: string, layout: string): Promise<boolean> {
  try {
    const meta = metaSchema.safeParse(JSON.parse(await readFile(path.join(folder, metaFile), 'utf8')))
    if (!meta.success || meta.data.layout !== layout) return false
    for (const [name, expected] of Object.entries(meta.data.files)) {
      const found = await sampleFile(path.join(folder, name))
      if (found.bytes !== expected.bytes || found.sample !== expected.sample) return false
    }
    return true
  } catch (error) {
    if (error instanceof SyntaxError || systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false
    throw error
  }
}

/** The name of a temporary folder, which tells whose it is. */
export function temporaryName(): string {
  return `.tmp-${hostHash()}-${uniqueSuffix()}`
}

/**
 * Puts a finished temporary folder in its place. When another process was faster and its folder is whole, that one stays;
 * a damaged one is moved away first.
 */
export async function publishFolder(temporary: string, target: string, layout: string): Promise<void> {
  const parent = path.dirname(target)
  // Two damaged folders in a row would take two processes that damage them on purpose.
  for (let attempt = 0; attempt < 4; attempt++) {
    try {
      await rename(temporary, target)
      await syncFolder(parent)
      return
    } catch (error) {
      const code = systemCode(error)
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'EPERM' && code !== 'ENOTDIR') throw error
      if (await isFolderWhole(target, layout)) break
      const aside = path.join(parent, temporaryName())
      await rename(target, aside).catch((renameError: unknown) => {
        if (systemCode(renameError) !== 'ENOENT') throw renameError
      })
      await removeTemporary(aside)
    }
  }
  await removeTemporary(temporary)
}

/**
 * Removes a temporary folder, or leaves it to a later run: Windows deletes no link of a file that a running node maps, as the
 * rotary table is.
 *
 * @param remove - for tests
 */
export async function removeTemporary(folder: string, remove: typeof rm = rm): Promise<void> {
  await remove(folder, { recursive: true, force: true }).catch((error: unknown) => {
    const code = systemCode(error)
    if (code !== 'EPERM' && code !== 'EACCES' && code !== 'EBUSY') throw error
  })
}

/** Removes what crashed processes left in a folder. `newest` is a file just made, whose time stands for now. */
export async function removeStaleTemporaries(folder: string, newest: string): Promise<void> {
  const now = (await stat(newest)).mtimeMs
  for (const name of await readdir(folder)) {
    const match = /^\.tmp-([0-9a-f]{8})-(\d+)-/.exec(name)
    if (match === null || path.join(folder, name) === newest) continue
    const stale = match[1] === hostHash() ? !isAlive(Number(match[2])) : await isOlder(path.join(folder, name), now)
    if (stale) await removeTemporary(path.join(folder, name))
  }
}

async function isOlder(file: string, now: number): Promise<boolean> {
  const info = await stat(file).catch(() => undefined)
  return info !== undefined && info.mtimeMs < now - foreignTemporaryMaxAgeMs
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
}

function hostHash(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
}
