import type { PeerId } from '../ids.ts'
import type { StoredAnnouncement } from './model-records.ts'

/** News that wait to be passed on: the newest of each peer, a bounded number. */
export class News {
  readonly #max: number
  #waiting = new Map<PeerId, StoredAnnouncement>()

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#waiting.size
  }

  add(record: StoredAnnouncement): void {
    const { peer } = record.announcement
    this.#waiting.delete(peer)
    this.#waiting.set(peer, record)
    if (this.#waiting.size > this.#max) this.#waiting.delete(this.#waiting.keys().next().value as PeerId)
  }

  /** All that wait; none does afterwards. */
  take(): StoredAnnouncement[] {
    const taken = [...this.#waiting.values()]
    this.#waiting = new Map()
    return taken
  }
}
