import { type Storage, StorageError } from '@skein/protocol'

/** A simulated peer's files: they outlive its incarnations, and the disk may be full. */
export class Disk implements Storage {
  readonly #files = new Map<string, Uint8Array>()
  /** Every write fails. */
  full = false

  read(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#files.get(name)?.slice())
  }

  write(name: string, bytes: Uint8Array): Promise<void> {
    if (this.full) return Promise.reject(new StorageError(`${name} cannot be written: no space is left on the simulated disk`))
    this.#files.set(name, bytes.slice())
    return Promise.resolve()
  }

  remove(name: string): Promise<void> {
    this.#files.delete(name)
    return Promise.resolve()
  }
}
