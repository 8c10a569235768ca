/**
 * Small help with files that must survive a crash whole.
 *
 * @packageDocumentation
 */
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { threadId } from 'node:worker_threads'

/** Where converted weights and manifests are kept: `SKEIN_CACHE_DIR`, else `skein` in the user's cache folder. */
export function defaultCacheDir(environment: NodeJS.ProcessEnv = process.env): string {
  const own = environment['SKEIN_CACHE_DIR']
  if (own !== undefined && own !== '') return path.resolve(own)
  const shared = environment['XDG_CACHE_HOME']
  // The XDG specification: a relative path there is to be ignored.
  if (shared !== undefined && path.isAbsolute(shared)) return path.join(shared, 'skein')
  return path.join(homedir(), '.cache', 'skein')
}

let serial = 0

/** A suffix that no other process, thread or call on this machine uses at the same time. */
export function uniqueSuffix(): string {
  return `${process.pid}-${threadId}-${serial++}`
}

/** Replaces a file so that a crash leaves the old or the new content, never a part. Its folder must exist. */
export async function writeFileAtomic(file: string, bytes: Uint8Array | string): Promise<void> {
  const temporary = `${file}.tmp-${uniqueSuffix()}`
  try {
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    await syncFolder(path.dirname(file))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Makes renames in a folder durable. Windows cannot open folders and needs none of it. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** One read of the system takes at most 2 GiB; embeddings can be larger. */
const maxReadBytes = 256 * 1024 * 1024

/**
 * Reads `length` bytes at `offset`. @returns fewer when the file ends before
 */
export async function readAt(handle: FileHandle, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, maxReadBytes), offset + done)
    if (bytesRead === 0) return bytes.subarray(0, done)
    done += bytesRead
  }
  return bytes
}

/** Writes all bytes at `offset`. */
export async function writeAt(handle: Pick<FileHandle, 'write'>, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0
  while (done < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, offset + done)
    done += bytesWritten
  }
}

/** The code of a system error, such as `ENOENT`. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
