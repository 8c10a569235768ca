import type { Storage } from '../ports/storage.ts'

/** Files in memory, for tests and simulated peers. */
export function memoryStorage(): Storage {
  const files = new Map<string, Uint8Array>()
  return {
    read: (name) => Promise.resolve(files.get(name)?.slice()),
    write: (name, bytes) => {
      files.set(name, bytes.slice())
      return Promise.resolve()
    },
    remove: (name) => {
      files.delete(name)
      return Promise.resolve()
    }
  }
}
