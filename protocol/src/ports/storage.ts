/**
 * Small named files of a peer's own (keys, sequence numbers), behind a port so that a full or torn disk can be simulated.
 * Names are relative, of letters, digits, `.`, `_`, `-` and `/`, without `..`.
 */
export interface Storage {
  /** The file's bytes, or undefined when there is none. @throws StorageError */
  read(name: string): Promise<Uint8Array | undefined>
  /** Replaces the file so that a crash leaves the old or the new content, never a part. Owner-only rights. @throws StorageError */
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Removes the file; there need be none. @throws StorageError */
  remove(name: string): Promise<void>
}
