import { chmod, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { InvalidArgumentError, StorageError } from '../../errors.ts'
import type { Storage } from '../storage.ts'
import { makeFolder } from './make-folder.node.ts'

const namePattern = /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/

/** Files of 0600 in a folder of 0700, which is made when it is first written to. */
export function fileStorage(folder: string): Storage {
  return new FileStorage(folder)
}

class FileStorage implements Storage {
  readonly #folder: string
  /** For each path that is being written, when the last write of it has ended. Never rejects. */
  readonly #writing = new Map<string, Promise<void>>()
  #writes = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const path = this.#path(name)
    try {
      return new Uint8Array(await readFile(path))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw new StorageError(`cannot read ${path}`, { cause: error })
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(name)
    // One after another: the last call's bytes are to stay, and Windows refuses a rename onto what another one is replacing.
    const written = (this.#writing.get(path) ?? Promise.resolve()).then(() => this.#replace(path, bytes))
    const ended = written.catch(() => {})
    this.#writing.set(path, ended)
    try {
      await written
    } finally {
      if (this.#writing.get(path) === ended) this.#writing.delete(path)
    }
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    try {
      await makeFolder(dirname(path), 0o700)
      await writeAtomically(path, bytes, `${process.pid}-${this.#writes++}`)
    } catch (error) {
      throw new StorageError(`cannot write ${path}: is the disk full, or the folder another user's?`, { cause: error })
    }
  }

  async remove(name: string): Promise<void> {
    const path = this.#path(name)
    try {
      await rm(path, { force: true })
    } catch (error) {
      throw new StorageError(`cannot remove ${path}`, { cause: error })
    }
  }

  #path(name: string): string {
    if (!namePattern.test(name) || name.split('/').some((part) => part === '.' || part === '..')) {
      throw new InvalidArgumentError(`${JSON.stringify(name)} is no name of a stored file: letters, digits, ".", "_", "-" and "/"`)
    }
    return join(this.#folder, name)
  }
}

/**
 * Replaces a file by a rename, so that a crash leaves the old or the new one. Both the bytes and the rename are flushed.
 *
 * @param suffix makes the temporary name beside the file unique
 */
export async function writeAtomically(path: string, bytes: Uint8Array, suffix: string): Promise<void> {
  const temporary = `${path}.${suffix}.tmp`
  try {
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    // The mode above applies only to files that are new.
    await chmod(temporary, 0o600)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
  await syncFolder(dirname(path))
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders, and needs no flush of them.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
