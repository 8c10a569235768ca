import type { CacheKey } from '../runtime/span-runtime.ts'

/** What waits to be computed, in order of arrival. */
export interface WaitingEntry {
  readonly cache: CacheKey
  readonly rows: number
}

export interface PlanTurnOptions {
  /** Entries of at most so many rows are decode steps or verification windows; larger ones are chunks of a prefill. */
  readonly smallRows: number
  /** Small entries in one turn. */
  readonly maxSmallEntries: number
  /** Chunks in one turn. At least one is taken whenever one waits, so that decoding never starves a prefill. */
  readonly maxChunks: number
}

export const planTurnDefaults: PlanTurnOptions = {
  smallRows: 8,
  maxSmallEntries: 64,
  // One chunk fills the matrix units; a second would only make the decoding sessions of the turn wait longer.
  maxChunks: 1
}

/**
 * Continuous batching: chooses which waiting entries make up the next turn. Decode steps of as many sessions as fit go
 * together with one chunk of a prefill, each session at most once (its later steps need the result of the earlier one in
 * its cache), oldest first.
 *
 * @returns indexes into `waiting`, ascending; empty only when `waiting` is
 */
export function planTurn(waiting: readonly WaitingEntry[], options: PlanTurnOptions = planTurnDefaults): number[] {
  const chosen: number[] = []
  const seen = new Set<CacheKey>()
  let small = 0
  let chunks = 0
  for (const [index, entry] of waiting.entries()) {
    if (small >= options.maxSmallEntries && chunks >= options.maxChunks) break
    if (seen.has(entry.cache)) continue
    // Also when it is not chosen: a later, smaller step of the same session must not overtake it.
    seen.add(entry.cache)
    if (entry.rows <= options.smallRows) {
      if (small >= options.maxSmallEntries) continue
      small++
    } else {
      if (chunks >= options.maxChunks) continue
      chunks++
    }
    chosen.push(index)
  }
  return chosen
}
