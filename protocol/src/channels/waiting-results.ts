/** What has room among the results that wait for their readers, and can be made to give it up. */
export interface WaitingQueue {
  reset(): void
}

/**
 * Room for results that their coordinators do not read, for all sessions of a node together: nothing was reserved for them, and
 * a coordinator that acknowledges what it has not read could let them grow without end. When there are more, whoever has let
 * the most wait loses its link; an honest one reads a row or two of each step.
 */
export class WaitingResults {
  readonly #maxBytes: number
  readonly #bytesOf = new Map<WaitingQueue, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** So much waits in the queue now. */
  set(queue: WaitingQueue, bytes: number): void {
    this.#bytes += bytes - (this.#bytesOf.get(queue) ?? 0)
    if (bytes === 0) this.#bytesOf.delete(queue)
    else this.#bytesOf.set(queue, bytes)
    while (this.#bytes > this.#maxBytes) {
      const [most] = [...this.#bytesOf].reduce((a, b) => (b[1] > a[1] ? b : a))
      this.#bytes -= this.#bytesOf.get(most) ?? 0
      this.#bytesOf.delete(most)
      most.reset()
    }
  }
}
