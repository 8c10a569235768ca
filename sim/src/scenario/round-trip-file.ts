import { InvalidArgumentError } from '@skein/protocol'
import { LineCounter } from 'yaml'
import { z } from 'zod'
import { maxOneWayMs } from '../net/latency.ts'
import { type CsvRow, csvRows } from './csv-rows.ts'
import { ScenarioError, toProblems } from './problems.ts'
import type { Distribution } from './scenario.ts'
import { parseDurationMs } from './units.ts'
import { parseMapping, placeOf, toPlain } from './yaml-document.ts'

/** More values are no table of regions. */
const maxValues = 1_000_000

/** From one region to another, as it was measured: milliseconds. */
type RoundTrips = Map<string, Map<string, number[]>>

/**
 * Reads measured round trips between named regions and makes one-way delays of them: halves, from each region to each, in the
 * order of `regions`. The file is CSV with a header (`from`, `to` and `rtt`, a line a measurement, in milliseconds or with a
 * unit), or JSON (`{ "frankfurt": { "london": 13.2, "virginia": [88, 91] } }`). What was measured one way only holds both ways.
 * Of several values, each pair of peers draws one.
 *
 * @param file - how errors call it
 * @throws InvalidArgumentError or ScenarioError with the line and the column of what is wrong, or the pairs that are missing
 */
export function readRoundTrips(text: string, file: string, regions: readonly string[]): Array<Array<number | Distribution>> {
  const found = text.trimStart().startsWith('{') ? fromJson(text, file) : fromCsv(text, file)
  const valuesOf = (from: string, to: string): readonly number[] | undefined => found.get(from)?.get(to) ?? found.get(to)?.get(from)
  const missing = regions.flatMap((from, index) =>
    regions
      .slice(index)
      .filter((to) => valuesOf(from, to) === undefined)
      .map((to) => (from === to ? `of peers in ${from}` : `between ${from} and ${to}`))
  )
  if (missing.length > 0) {
    const known = [...new Set([...found].flatMap(([from, others]) => [from, ...others.keys()]))].slice(0, 20).join(', ')
    const more = missing.length > 3 ? ` and of ${missing.length - 3} more pairs` : ''
    throw new InvalidArgumentError(`${file} has no round trip ${missing.slice(0, 3).join(', ')}${more}; its regions are ${known}`)
  }
  return regions.map((from) => regions.map((to) => oneWay(valuesOf(from, to) ?? [])))
}

function oneWay(roundTripsMs: readonly number[]): number | Distribution {
  const values = roundTripsMs.map((ms) => ms / 2)
  return values.length === 1 ? (values[0] ?? 0) : { kind: 'empirical', values }
}

function isPossible(roundTripMs: number): boolean {
  return roundTripMs > 0 && roundTripMs <= 2 * maxOneWayMs
}

const expectedMs = 'a round trip in milliseconds above 0, and of at most two minutes'

function fromCsv(text: string, file: string): RoundTrips {
  const [header, ...rows] = csvRows(text)
  const fail = ({ line, columns }: Pick<CsvRow, 'line' | 'columns'>, cell: number, expected: string, what: string): never => {
    const place = `${file}:${line}:${columns[cell] ?? 1}`
    throw new InvalidArgumentError(
      `${place}: expected ${expected}, found ${JSON.stringify(what.slice(0, 40))}; this is no table of round trips`
    )
  }
  const wanted = 'a header with from, to and rtt, or JSON'
  if (header === undefined) return fail({ line: 1, columns: [] }, 0, wanted, '')
  const column = (name: string): number => {
    const index = header.cells.indexOf(name)
    return index >= 0 ? index : fail(header, 0, wanted, header.cells.join(','))
  }
  const columns = { from: column('from'), to: column('to'), rtt: column('rtt') }
  if (rows.length === 0) return fail({ line: header.line + 1, columns: [] }, 0, 'a measurement', '')
  if (rows.length > maxValues) throw new InvalidArgumentError(`${file} has ${rows.length} measurements; at most ${maxValues} are read`)
  const found: RoundTrips = new Map()
  for (const row of rows) {
    const region = (index: number): string => row.cells[index] || fail(row, index, 'the name of a region', row.cells.join(','))
    const cell = row.cells[columns.rtt] ?? ''
    const ms = /^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(cell) ? Number(cell) : (parseDurationMs(cell) ?? NaN)
    if (!isPossible(ms)) fail(row, columns.rtt, expectedMs, cell)
    add(found, region(columns.from), region(columns.to), ms)
  }
  return found
}

const jsonMs = z.number({ error: `expected ${expectedMs}` }).refine(isPossible, { error: `expected ${expectedMs}` })
const jsonTable = z.record(
  z.string(),
  z.record(z.string(), z.union([jsonMs, z.array(jsonMs).min(1, { error: 'expected at least one measurement' })]))
)

function fromJson(text: string, file: string): RoundTrips {
  const lines = new LineCounter()
  const document = parseMapping(text, lines, file, 'round trips: { "frankfurt": { "london": 13.2 } }')
  const parsed = jsonTable.safeParse(toPlain(document, file))
  if (!parsed.success) {
    const problems = toProblems(parsed.error.issues, () => [])
    throw new ScenarioError(
      file,
      problems.map((problem) => placeOf(problem, document, lines))
    )
  }
  const found: RoundTrips = new Map()
  for (const [from, others] of Object.entries(parsed.data)) {
    for (const [to, values] of Object.entries(others)) for (const ms of [values].flat()) add(found, from, to, ms)
  }
  return found
}

function add(found: RoundTrips, from: string, to: string, ms: number): void {
  const others = found.get(from) ?? new Map<string, number[]>()
  found.set(from, others)
  const values = others.get(to)
  if (values === undefined) others.set(to, [ms])
  else values.push(ms)
}
