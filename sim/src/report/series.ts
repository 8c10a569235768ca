/**
 * What charts show over time: values put into windows, and the unit that fits the length of a run.
 *
 * @packageDocumentation
 */

/** The unit of a time axis. */
export interface TimeUnit {
  readonly name: 's' | 'min' | 'h'
  readonly ms: number
}

export function timeUnitFor(totalMs: number): TimeUnit {
  if (totalMs > 6 * 3_600_000) return { name: 'h', ms: 3_600_000 }
  return totalMs > 5 * 60_000 ? { name: 'min', ms: 60_000 } : { name: 's', ms: 1000 }
}

export interface Window<T> {
  readonly fromMs: number
  readonly toMs: number
  readonly items: readonly T[]
}

/** Cuts `[0, totalMs)` into `count` windows, and puts each item into the one that holds its time. */
export function windows<T>(items: readonly T[], totalMs: number, count: number, atMs: (item: T) => number): Array<Window<T>> {
  const length = totalMs / count
  const filled = Array.from({ length: count }, (): T[] => [])
  for (const item of items) {
    const index = Math.min(count - 1, Math.max(0, Math.floor(atMs(item) / length)))
    filled[index]?.push(item)
  }
  return filled.map((inside, index) => ({ fromMs: index * length, toMs: (index + 1) * length, items: inside }))
}

/** At most `count` items, evenly chosen, in order. */
export function thinned<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items]
  return Array.from({ length: count }, (_, index) => items[Math.floor((index * items.length) / count)]).filter(
    (item): item is Awaited<T> & T => item !== undefined
  )
}

/** Parts of `[from, to]` that lie in `[fromMs, toMs]`. */
export function overlapMs(intervals: ReadonlyArray<readonly [number, number]>, fromMs: number, toMs: number): number {
  let total = 0
  for (const [from, to] of intervals) total += Math.max(0, Math.min(to, toMs) - Math.max(from, fromMs))
  return total
}
