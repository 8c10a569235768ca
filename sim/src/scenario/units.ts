/**
 * Quantities as people write them in scenarios: `250ms`, `10m`, `100 Mbit/s`, `256 MB`, `0.5 %`. Each parser returns
 * undefined for what it cannot read, so that the caller says what it expected.
 *
 * @packageDocumentation
 */
import { InvalidArgumentError } from '@skein/protocol'

const durationUnits: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40
}
/** In megabits a second. */
const rateUnits: Readonly<Record<string, number>> = {
  'kbit/s': 0.001,
  'Mbit/s': 1,
  'Gbit/s': 1000,
  'kB/s': 0.008,
  'MB/s': 8,
  'GB/s': 8000,
  kbps: 0.001,
  Mbps: 1,
  Gbps: 1000
}

/** A link without a limit: faster than anything that a scenario moves. */
export const unlimitedMbps = 1e6

const number = /^\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(\S*)\s*$/

function withUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, amount, unit = ''] = number.exec(text) ?? []
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined
  if (amount === undefined || factor === undefined) return undefined
  const value = Number(amount) * factor
  return Number.isFinite(value) ? value : undefined
}

/** Checks the unit that a file's bare numbers are in, if one is given. @throws InvalidArgumentError if there is no such unit */
export function requireUnit(quantity: 'duration' | 'rate' | 'count' | 'factor', unit: string | undefined): void {
  if (unit === undefined) return
  const units = quantity === 'duration' ? durationUnits : quantity === 'rate' ? rateUnits : {}
  if (Object.hasOwn(units, unit)) return
  const known = Object.keys(units).join(', ')
  throw new InvalidArgumentError(
    known === '' ? `its numbers have no unit, and unit: ${unit} was given` : `there is no unit '${unit}' for a ${quantity}; known: ${known}`
  )
}

/** Milliseconds of `250ms`, `90s`, `10m`, `1h 30m`, `2d`; undefined if it is none. */
export function parseDurationMs(text: string): number | undefined {
  const parts = text.trim().match(/\d+(?:\.\d+)?\s*[a-z]+/g)
  if (parts === null || parts.join('').replaceAll(/\s/g, '') !== text.replaceAll(/\s/g, '')) return undefined
  const values = parts.map((part) => withUnit(part, durationUnits))
  return values.includes(undefined) ? undefined : values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
}

/** Bytes of `64 KiB`, `256 MB`, `1.5 GB`; undefined if it is none. */
export function parseBytes(text: string): number | undefined {
  return withUnit(text, sizeUnits)
}

/** Megabits a second of `100 Mbit/s`, `1 Gbit/s`, `2 MB/s`, `unlimited`; undefined if it is none. */
export function parseMbps(text: string): number | undefined {
  return text.trim() === 'unlimited' ? unlimitedMbps : withUnit(text, rateUnits)
}

/** A share from 0 to 1 of `0.5 %` or `0.005`; undefined if it is none. */
export function parseShare(text: string): number | undefined {
  const value = withUnit(text, { '': 1, '%': 0.01 })
  return value === undefined || value > 1 ? undefined : value
}

/** `250 ms`, `12.5 s`, `3 min 20 s`, `1 h 5 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${trim(ms < 10 ? 2 : 0, ms)} ms`
  if (ms < 60_000) return `${trim(ms < 10_000 ? 2 : 1, ms / 1000)} s`
  const seconds = Math.round(ms / 1000)
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60]
  if (hours > 0) return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`
}

/** `512 B`, `1.5 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let [value, unit] = [bytes, 0]
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1]
  return `${trim(value < 10 && unit > 0 ? 1 : 0, value)} ${units[unit]}`
}

function trim(digits: number, value: number): string {
  return String(Number(value.toFixed(digits)))
}
