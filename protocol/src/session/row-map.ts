import type { Held } from '../messages/control.ts'

/**
 * Which seq wrote each row of a cache, as runs of rows. Two caches of one session that agree on the seq of row `r` agree on
 * the content of every row up to `r`, because a step fixes, through `position` and `after`, all that lies before it. (The
 * argument of Raft's log matching: a seq stands for exactly one step, so equal at one row means equal before it.)
 */
export class RowMap {
  #firsts: number[] = []
  #seqs: number[] = []
  #rows = 0

  /** How many rows there are. */
  get rows(): number {
    return this.#rows
  }

  /** The seq that wrote a row; 0 below row 0. @throws RangeError for a row that is not there */
  seqAt(row: number): number {
    if (row < 0) return 0
    if (row >= this.#rows) throw new RangeError(`row ${row} of ${this.#rows}`)
    let low = 0
    let high = this.#firsts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.#firsts[middle] as number) <= row) low = middle
      else high = middle
    }
    return this.#seqs[low] as number
  }

  /** The first row that was written by `seq` or a later one; the number of rows if there is none. */
  firstRowFrom(seq: number): number {
    const index = this.#seqs.findLastIndex((other) => other < seq) + 1
    return this.#firsts[index] ?? this.#rows
  }

  /** Drops the rows from `position` on. */
  cut(position: number): void {
    if (position >= this.#rows) return
    while (this.#firsts.length > 0 && (this.#firsts.at(-1) as number) >= position) {
      this.#firsts.pop()
      this.#seqs.pop()
    }
    this.#rows = position
  }

  /** Adds rows at the end, written by `seq`. */
  append(rows: number, seq: number): void {
    if (rows === 0) return
    if (this.#seqs.at(-1) !== seq) {
      this.#firsts.push(this.#rows)
      this.#seqs.push(seq)
    }
    this.#rows += rows
  }

  clone(): RowMap {
    const copy = new RowMap()
    copy.#firsts = [...this.#firsts]
    copy.#seqs = [...this.#seqs]
    copy.#rows = this.#rows
    return copy
  }

  /** The last runs, at most `maxRuns`, as `Held.tail` has them. */
  tail(maxRuns: number): Array<readonly [firstRow: number, seq: number]> {
    const start = Math.max(0, this.#firsts.length - maxRuns)
    return this.#firsts.slice(start).map((first, index) => [first, this.#seqs[start + index] as number] as const)
  }
}

/**
 * The seq that wrote a row by a receiver's `held`: 0 below row 0, undefined when the row lies before the tail that was sent
 * or is not there.
 */
export function heldSeqAt(held: Held, row: number): number | undefined {
  if (row < 0) return 0
  if (row >= held.rows) return undefined
  let found: number | undefined
  for (const [first, seq] of held.tail) {
    if (first > row) break
    found = seq
  }
  return found
}
