/** Bytes that sessions reserve from a fixed total, such as the memory for history. */
export class ByteBudget {
  readonly totalBytes: number
  #usedBytes = 0

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes
  }

  get freeBytes(): number {
    return this.totalBytes - this.#usedBytes
  }

  /** Reserves all or nothing; false when there is not enough left. */
  reserve(bytes: number): boolean {
    if (bytes > this.freeBytes) return false
    this.#usedBytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
  }
}
