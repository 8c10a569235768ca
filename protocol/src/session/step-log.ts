import type { Want } from '../messages/link.ts'
import { RowMap } from './row-map.ts'

/** Rows that one seq wrote, as they are sent on. Immutable but for `validRows`. */
export interface Segment<Data> {
  readonly seq: number
  /** Where its first row stands. */
  readonly position: number
  /** Rows that there were at first. */
  readonly rows: number
  /** Rows, from the first, that no later step has cut off. At least 1: a segment without any is dropped. */
  validRows: number
  readonly want: Want
  /** Segments of one computed frame share this number and may be sent on together. */
  readonly frame: number
  /** Summed over the stages so far, for the frame as a whole. */
  readonly computeUs: number
  readonly bytesPerRow: number
  readonly data: Data
  /** Bytes of all kept and dropped segments up to and including this one: a difference of two is a size. */
  readonly endBytes: number
}

export type NewSegment<Data> = Omit<Segment<Data>, 'validRows' | 'endBytes'>

/**
 * The history of a link, which is its send queue as well: what was computed, in order, each seq once. Seqs that no segment
 * has are void: tombstones, and steps that were cut back wholly.
 *
 * With `pruned` (links between stages) a cut-back shortens and drops segments, so that the valid segments are exactly the
 * rows of `map`. Without it (results) every segment stays until it is acknowledged.
 */
export class StepLog<Data> {
  /** All rows that are valid now, also those whose segments were dropped for want of room. */
  readonly map = new RowMap()
  #segments: Array<Segment<Data>> = []
  #lastSeq = 0
  #historyFrom = 0
  #droppedBytes = 0
  #sentSeq = 0

  constructor(readonly pruned: boolean) {}

  /** The last seq that was recorded, void ones included. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  /** The last seq that was sent on any link that this log has served: up to here it is history, and a replay. */
  get sentSeq(): number {
    return this.#sentSeq
  }

  noteSent(seq: number): void {
    this.#sentSeq = Math.max(this.#sentSeq, seq)
  }

  /** The first row that can still be replayed. */
  get historyFrom(): number {
    return this.pruned ? this.#historyFrom : this.map.rows
  }

  get bytes(): number {
    return (this.#segments.at(-1)?.endBytes ?? this.#droppedBytes) - this.#droppedBytes
  }

  get segments(): ReadonlyArray<Segment<Data>> {
    return this.#segments
  }

  /** Records seqs up to `seq` that wrote nothing. */
  recordVoid(seq: number): void {
    this.#lastSeq = Math.max(this.#lastSeq, seq)
  }

  /** Records rows of the next seq. `keep` is false for results that nobody wants. */
  record(segment: NewSegment<Data>, mapRows = segment.rows, keep = true): void {
    if (segment.seq <= this.#lastSeq) throw new Error(`seq ${segment.seq} after ${this.#lastSeq} in a log`)
    this.cut(segment.position)
    if (this.map.rows !== segment.position) throw new Error(`row ${segment.position} after ${this.map.rows} rows in a log`)
    this.map.append(mapRows, segment.seq)
    this.#lastSeq = segment.seq
    if (!keep) return
    const before = this.#segments.at(-1)?.endBytes ?? this.#droppedBytes
    const { seq, position, rows, want, frame, computeUs, bytesPerRow, data } = segment
    // Each field by name: a spread gives every object a hidden class of its own (V8 11.3), and who reads it is slow.
    const endBytes = before + rows * bytesPerRow
    this.#segments.push({ seq, position, rows, validRows: rows, want, frame, computeUs, bytesPerRow, data, endBytes })
  }

  /** Drops the rows from `position` on. */
  cut(position: number): void {
    this.map.cut(position)
    if (!this.pruned) return
    this.#historyFrom = Math.min(this.#historyFrom, position)
    let last = this.#segments.at(-1)
    while (last !== undefined && last.position >= position) {
      this.#segments.pop()
      last = this.#segments.at(-1)
    }
    if (last !== undefined) last.validRows = Math.min(last.validRows, position - last.position)
    else this.#droppedBytes = 0
  }

  /**
   * Steps of the range are of no use any more: what they have written is dropped, unless a later step has done so. With it
   * all stages agree again on what there is, whether a step was computed or passed as a tombstone before it was skipped.
   */
  skip(from: number, to: number): void {
    if (from <= this.#lastSeq && this.#lastSeq <= to) this.cut(this.map.firstRowFrom(from))
  }

  /** The index of the first segment with a seq of at least `seq`. */
  indexFrom(seq: number): number {
    let low = 0
    let high = this.#segments.length
    // Nearly always it is one of the last.
    for (const nearEnd = Math.max(0, high - 4); high > nearEnd; high--) {
      if ((this.#segments[high - 1] as Segment<Data>).seq < seq) return high
    }
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#segments[middle] as Segment<Data>).seq < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  /** How many segments, and bytes, there are with seqs above `seq`. */
  above(seq: number): { segments: number; bytes: number } {
    const index = this.indexFrom(seq + 1)
    const before = index === 0 ? this.#droppedBytes : (this.#segments[index - 1] as Segment<Data>).endBytes
    return { segments: this.#segments.length - index, bytes: (this.#segments.at(-1)?.endBytes ?? before) - before }
  }

  /** Drops the oldest segments, none above `seq`, until the rest fits into `budgetBytes`. */
  drop(seq: number, budgetBytes: number): void {
    let count = 0
    let dropped: Segment<Data> | undefined
    for (; count < this.#segments.length; count++) {
      const segment = this.#segments[count] as Segment<Data>
      if (segment.seq > seq || this.bytes <= budgetBytes) break
      this.#droppedBytes = segment.endBytes
      this.#historyFrom = segment.position + segment.validRows
      dropped = segment
    }
    if (dropped !== undefined) this.#segments.splice(0, count)
  }

  /** The last seq of which valid rows were dropped: a receiver that has not taken it cannot be served. 0 if none. */
  get lostSeq(): number {
    return this.pruned ? this.map.seqAt(this.#historyFrom - 1) : 0
  }

  /** The seq that wrote the row before a position, by what is valid now. */
  after(position: number): number {
    return this.pruned ? this.map.seqAt(position - 1) : 0
  }
}
