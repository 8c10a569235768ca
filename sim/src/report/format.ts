import { isLive, type RunRecord } from '../record/run-record.ts'
import { formatBytes, formatDuration } from '../scenario/units.ts'
import { figureMeanings, type FigureName, type FigureUnit, type MissedExpectation } from './figures.ts'

/** A figure with its unit: `1.5 s`, `98.2 %`, `12.3 tokens/s`; a dash where there is none. */
export function formatFigure(name: FigureName, value: number | undefined): string {
  return formatValue(value, figureMeanings[name].unit)
}

function formatValue(value: number | undefined, unit: FigureUnit): string {
  if (value === undefined) return '–'
  switch (unit) {
    case 'ms':
      return formatDuration(value)
    case 'share':
      return `${trimmed(100 * value, 1)} %`
    case 'bytes':
      return formatBytes(value)
    case 'tokens/s':
      return `${trimmed(value, value < 10 ? 2 : 1)} tokens/s`
    case 'count':
    case 'tokens':
    case 'nodes':
    case 'stages':
      return grouped(value)
  }
}

function trimmed(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)))
}

/** `12,345`; at most one digit after the point. */
export function grouped(value: number): string {
  const [whole = '', rest] = value.toFixed(1).split('.')
  const text = whole.replaceAll(/\B(?=(\d{3})+$)/g, ',')
  return rest === undefined || rest === '0' ? text : `${text}.${rest}`
}

/** `completedShare is 0.93, expected at least 1`. */
export function describeMissed({ figure, atLeast, atMost, value }: MissedExpectation): string {
  const bounds = [...(atLeast === undefined ? [] : [`at least ${atLeast}`]), ...(atMost === undefined ? [] : [`at most ${atMost}`])]
  const found = value === undefined ? 'has no value in this run' : `is ${trimmed(value, 4)}`
  return `${figure} ${found}, expected ${bounds.join(' and ')}`
}

/** `+12.3 %`, `-5 %`; a dash where there is none. */
export function formatDifference(relative: number | undefined): string {
  if (relative === undefined) return '–'
  const percent = Number((100 * relative).toFixed(1))
  return `${percent > 0 ? '+' : ''}${percent} %`
}

/** What kind of run it was, and how long it took: `20 min of virtual time in 7 s`. */
export function describeTime(record: RunRecord): string {
  const [spanned, wall] = [formatDuration(record.virtualMs), formatDuration(record.wallMs)]
  if (!isLive(record)) return `${spanned} of virtual time in ${wall}`
  return `real processes for ${spanned} (${wall} with their start and the judging)`
}
