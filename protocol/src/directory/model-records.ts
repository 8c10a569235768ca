import type { SignedAnnouncement } from '../announcement/announcement.ts'
import type { PeerId } from '../ids.ts'
import { digestKey } from './digest.ts'
import type { DigestColumns } from './digest.ts'

/**
 * An announcement as this peer holds it, with times on the holder's monotonic clock in whole milliseconds. When its peer was
 * last heard of, the store tells: that moves while it is held.
 */
export interface StoredAnnouncement extends SignedAnnouncement {
  /** Who handed it over; the announced peer itself when it came first hand. */
  readonly source: PeerId
  /** When it came here. */
  readonly takenMs: number
}

export interface HeldAnnouncement extends StoredAnnouncement {
  source: PeerId
  /** However often others say that its peer lives, it is over then: see `unsignedMs`. */
  readonly atLatestMs: number
  /** When its peer was last heard of: at first, and again once it has been let go. Between the two its column tells. */
  heardMs: number
  /** Where it is in the columns, which stays while it is held; -1 while it is not. */
  row: number
}

/** What passes over all records read, a column each; what is behind the last record means nothing. */
export interface RecordColumns extends DigestColumns {
  /** When the peer was last heard of, as far as those who handed that on have said. `Infinity`: this peer itself. */
  readonly heardMs: Float64Array
  readonly expiresMs: Float64Array
  /** `lifeMs` of the announcement. */
  readonly lifeMs: Float64Array
  readonly atLatestMs: Float64Array
}

/** Some of a model's records, by where they are in its columns. It holds until a record comes or goes. */
export interface RecordRows {
  readonly columns: RecordColumns
  /** -1 for one that is not held. */
  readonly rows: Int32Array
}

/** What a peer holds when it compares that with what another one holds. */
export interface ComparedRecords {
  /** In the order of their peer ids. */
  readonly records: readonly StoredAnnouncement[]
  readonly where: RecordRows
  /** What the store's count of changes was: while it is the same, the rows are. */
  readonly changes: number
}

/** Who hands on a sign of life counts the time on the way as none: so much of a life is not worth moving a record's end. */
export const doubt = 1 / 128

/** Records for which there is room at first: those of a peer that is no keeper. */
const firstCapacity = 64

/**
 * The records of one model, in the order of their peer ids. An exchange passes over a thousand of them several times: so what
 * it reads of each lies beside the same of others, and the objects, of which no cache holds so many, are left alone.
 */
export class ModelRecords {
  readonly #self: PeerId | undefined
  readonly #byPeer = new Map<PeerId, HeldAnnouncement>()
  readonly #sorted: HeldAnnouncement[] = []
  /** Of the sorted ones, beside each other. */
  #rows = new Int32Array(firstCapacity)
  #columns = new Columns(firstCapacity)
  readonly #freeRows: number[] = []
  /** None ends before. */
  #endsMs = Infinity

  /** @param self - whose record does not expire */
  constructor(self: PeerId | undefined) {
    this.#self = self
  }

  get size(): number {
    return this.#sorted.length
  }

  get columns(): RecordColumns {
    return this.#columns
  }

  /** Not to be kept: the next change shows in it. */
  get sorted(): readonly HeldAnnouncement[] {
    return this.#sorted
  }

  /** The rows of {@link sorted}, until the next change. */
  get rows(): Int32Array {
    return this.#rows.subarray(0, this.size)
  }

  get(peer: PeerId): HeldAnnouncement | undefined {
    return this.#byPeer.get(peer)
  }

  /** The first living ones, at most `limit`, and their rows. Most of the time that is a copy of what lies here. */
  live(nowMs: number, limit: number): { records: StoredAnnouncement[]; rows: Int32Array } {
    if (this.allLive(nowMs)) return { records: this.#sorted.slice(0, limit), rows: this.#rows.slice(0, Math.min(limit, this.size)) }
    const records: StoredAnnouncement[] = []
    const rows = new Int32Array(this.size)
    for (let index = 0; index < this.size && records.length < limit; index++) {
      const row = this.#rows[index] as number
      if (!this.lives(row, nowMs)) continue
      rows[records.length] = row
      records.push(this.#sorted[index] as HeldAnnouncement)
    }
    return { records, rows: rows.subarray(0, records.length) }
  }

  /** The rows of these records, quickly if they are in the order of their peer ids; -1 for one that is not held. */
  rowsOf(records: readonly StoredAnnouncement[]): Int32Array {
    const sorted = this.#sorted
    const found = new Int32Array(records.length)
    let at = 0
    for (let index = 0; index < records.length; index++) {
      const record = records[index] as StoredAnnouncement
      // Most of the time the next one comes next here, which is found without a look at either.
      if (sorted[at] !== record) at = this.#search(record.announcement.peer)
      found[index] = sorted[at] === record ? (this.#rows[at++] as number) : -1
    }
    return found
  }

  /** Takes a record, in place of its peer's present one if there is one. Its end follows from when its peer was heard of. */
  set(record: HeldAnnouncement): void {
    const { peer, sequence, lifeMs } = record.announcement
    const previous = this.#byPeer.get(peer)
    const at = this.#search(peer)
    if (previous === undefined) this.#insert(record, at)
    else {
      record.row = previous.row
      this.#letGo(previous)
      this.#sorted[at] = record
    }
    this.#byPeer.set(peer, record)
    const { row } = record
    const { hashA, hashB, sequenceLow, sequenceHigh } = digestKey(peer, sequence)
    const columns = this.#columns
    columns.hashA[row] = hashA
    columns.hashB[row] = hashB
    columns.sequenceLow[row] = sequenceLow
    columns.sequenceHigh[row] = sequenceHigh
    columns.lifeMs[row] = lifeMs
    columns.atLatestMs[row] = peer === this.#self ? Infinity : record.atLatestMs
    this.#write(row, peer === this.#self ? Infinity : record.heardMs)
  }

  /** @param record - one that is held */
  delete(record: HeldAnnouncement): void {
    const { peer } = record.announcement
    const at = this.#search(peer)
    this.#sorted.splice(at, 1)
    this.#rows.copyWithin(at, at + 1)
    this.#byPeer.delete(peer)
    this.#freeRows.push(record.row)
    this.#columns.expiresMs[record.row] = Infinity
    this.#letGo(record)
  }

  /** @param row - -1 for a record that is not held, which does not live */
  lives(row: number, nowMs: number): boolean {
    return row >= 0 && (this.#columns.expiresMs[row] as number) > nowMs
  }

  /** Most of the time nothing has ended since the last look, and then no record is looked at. */
  allLive(nowMs: number): boolean {
    if (nowMs < this.#endsMs) return true
    const { expiresMs } = this.#columns
    let endsMs = Infinity
    for (const row of this.rows) endsMs = Math.min(endsMs, expiresMs[row] as number)
    this.#endsMs = endsMs
    return nowMs < endsMs
  }

  /** Takes a sign of life, if it is later than what is known by more than {@link doubt}. @returns whether the record lives */
  hear(row: number, ageMs: number, nowMs: number): boolean {
    if (!this.lives(row, nowMs)) return false
    const { heardMs, lifeMs } = this.#columns
    const atMs = Math.floor(nowMs - ageMs)
    if (atMs > (heardMs[row] as number) + (ageMs === 0 ? 0 : doubt * (lifeMs[row] as number))) this.setHeard(row, atMs)
    return true
  }

  /** Says when the record's peer was last heard of, be it earlier than what is known. This peer itself always is. */
  setHeard(row: number, atMs: number): void {
    if (this.#columns.heardMs[row] !== Infinity) this.#write(row, atMs)
  }

  /** When the peer of a record was last heard of, as far as this store knows, be the record held or not. */
  heardMs({ row, heardMs }: HeldAnnouncement): number {
    return row < 0 ? heardMs : (this.#columns.heardMs[row] as number)
  }

  #write(row: number, atMs: number): void {
    const { heardMs, expiresMs, lifeMs, atLatestMs } = this.#columns
    const endsMs = Math.min(atMs + (lifeMs[row] as number), atLatestMs[row] as number)
    heardMs[row] = atMs
    expiresMs[row] = endsMs
    this.#endsMs = Math.min(this.#endsMs, endsMs)
  }

  /** A record that is held no more tells by itself when its peer was last heard of. */
  #letGo(record: HeldAnnouncement): void {
    record.heardMs = this.#columns.heardMs[record.row] as number
    record.row = -1
  }

  #insert(record: HeldAnnouncement, at: number): void {
    const { size } = this
    if (size === this.#columns.capacity) {
      this.#columns = new Columns(2 * size, this.#columns)
      const rows = new Int32Array(2 * size)
      rows.set(this.#rows)
      this.#rows = rows
    }
    // Without free ones the rows in use are the first.
    record.row = this.#freeRows.pop() ?? size
    this.#rows.copyWithin(at + 1, at, size)
    this.#rows[at] = record.row
    this.#sorted.splice(at, 0, record)
  }

  /** Where in the order the peer's record is, or would be. */
  #search(peer: PeerId): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sorted[middle] as HeldAnnouncement).announcement.peer < peer) low = middle + 1
      else high = middle
    }
    return low
  }
}

const bytesOfRow = 4 * 8 + 4 * 4

/** The columns, in one piece of memory. Times are floating-point: a clock passes 2^31 ms after 24 days. */
class Columns implements RecordColumns {
  readonly capacity: number
  readonly heardMs: Float64Array
  readonly expiresMs: Float64Array
  readonly lifeMs: Float64Array
  readonly atLatestMs: Float64Array
  readonly hashA: Int32Array
  readonly hashB: Int32Array
  readonly sequenceLow: Int32Array
  readonly sequenceHigh: Int32Array
  readonly #all: ReadonlyArray<Float64Array | Int32Array>

  /** @param smaller - whose rows are taken over */
  constructor(capacity: number, smaller?: Columns) {
    this.capacity = capacity
    const memory = new ArrayBuffer(capacity * bytesOfRow)
    const times = (column: number): Float64Array => new Float64Array(memory, 8 * column * capacity, capacity)
    const words = (column: number): Int32Array => new Int32Array(memory, (32 + 4 * column) * capacity, capacity)
    this.#all = [
      ...[(this.heardMs = times(0)), (this.expiresMs = times(1)), (this.lifeMs = times(2)), (this.atLatestMs = times(3))],
      ...[(this.hashA = words(0)), (this.hashB = words(1)), (this.sequenceLow = words(2)), (this.sequenceHigh = words(3))]
    ]
    if (smaller !== undefined) for (const [index, column] of smaller.#all.entries()) this.#all[index]?.set(column)
  }
}
