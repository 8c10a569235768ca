import { InvalidArgumentError } from './errors.ts'

/** A contiguous range of transformer blocks `[start, end)`; `end` is exclusive. */
export interface BlockRange {
  readonly start: number
  readonly end: number
}

export function isBlockRange(value: unknown): value is BlockRange {
  if (typeof value !== 'object' || value === null) return false
  const { start, end } = value as Partial<BlockRange>
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && (start as number) >= 0 && (end as number) > (start as number)
}

/** @throws InvalidArgumentError unless the text is `START:END` with `0 <= START < END` */
export function parseBlockRange(text: string): BlockRange {
  const match = /^(\d{1,9}):(\d{1,9})$/.exec(text.trim())
  const range = match === null ? undefined : { start: Number(match[1]), end: Number(match[2]) }
  if (!isBlockRange(range)) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not a range of blocks: expected START:END, such as 0:12 (END is exclusive)`)
  }
  return range
}

export function formatBlockRange(range: BlockRange): string {
  return `${range.start}:${range.end}`
}

export function blockCount(range: BlockRange): number {
  return range.end - range.start
}

export function containsRange(outer: BlockRange, inner: BlockRange): boolean {
  return outer.start <= inner.start && inner.end <= outer.end
}

/** The parts of `[0, total)` that none of `ranges` covers, ascending and merged. */
export function uncoveredRanges(ranges: Iterable<BlockRange>, total: number): BlockRange[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start || a.end - b.end)
  const gaps: BlockRange[] = []
  let covered = 0
  for (const range of sorted) {
    if (range.start > covered) gaps.push({ start: covered, end: Math.min(range.start, total) })
    covered = Math.max(covered, range.end)
    if (covered >= total) return gaps
  }
  if (covered < total) gaps.push({ start: covered, end: total })
  return gaps
}
