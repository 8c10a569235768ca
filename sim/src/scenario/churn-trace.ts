import { InvalidArgumentError } from '@skein/protocol'
import { csvRows } from './csv-rows.ts'
import { parseDurationMs, requireUnit } from './units.ts'

/** When a node is there: from and until, in milliseconds. */
export type Session = readonly [upMs: number, downMs: number]

/** Until the end: later than any run ends. */
const foreverMs = 1000 * 86_400_000
/** More lines are no trace of a swarm that is simulated. */
const maxSessions = 1_000_000

/** Whether intervals have a length and follow each other. */
export function areInOrder(sessions: readonly Session[]): boolean {
  return sessions.every(([up, down], index) => down > up && up >= (sessions[index - 1]?.[1] ?? 0))
}

/**
 * Reads the sessions of nodes from a CSV file with a header: `node` (any name), `up` and `down` (also `upMs`, `downMs`), the
 * times from which and until which the node is there. Bare numbers are in `unit`, or else milliseconds; an empty `down` means
 * until the end. Empty lines and lines that begin with `#` are skipped. Nodes whose names are all numbers come in the order of
 * those, others in the order of their first lines.
 *
 * @param file - how errors call it
 * @throws InvalidArgumentError with the line, and what was expected there, or the unit if it is none
 */
export function readChurnTrace(text: string, file: string, unit?: string): Session[][] {
  const fail = (line: number, expected: string, found: string): never => {
    throw new InvalidArgumentError(
      `${file}:${line}: expected ${expected}, found ${JSON.stringify(found.slice(0, 40))}; this is no trace of churn`
    )
  }
  requireUnit('duration', unit)
  const [header, ...rows] = csvRows(text)
  if (header === undefined) throw new InvalidArgumentError(`${file}:1: expected a header with node, up and down, found nothing`)
  const column = (...names: string[]): number => {
    const index = header.cells.findIndex((cell) => names.includes(cell))
    return index >= 0 ? index : fail(header.line, `a header with node, up and down`, header.cells.join(','))
  }
  const columns = { node: column('node'), up: column('up', 'upMs'), down: column('down', 'downMs') }
  if (rows.length === 0) throw new InvalidArgumentError(`${file}:${header.line + 1}: expected a session, found the end of the file`)
  if (rows.length > maxSessions) throw new InvalidArgumentError(`${file} has ${rows.length} sessions; at most ${maxSessions} are read`)
  const nodes = new Map<string, Array<{ readonly session: Session; readonly line: number }>>()
  for (const { cells, line } of rows) {
    const time = (index: number): number => {
      const cell = cells[index] ?? ''
      return parseTime(cell, unit) ?? fail(line, 'a time that is not negative, such as 90s or 5400', cell)
    }
    const node = cells[columns.node] ?? ''
    if (node === '') fail(line, 'the name of a node', cells.join(','))
    const upMs = time(columns.up)
    const downMs = (cells[columns.down] ?? '') === '' ? foreverMs : time(columns.down)
    if (downMs <= upMs) fail(line, 'a time down after the time up', cells.join(','))
    const own = nodes.get(node)
    if (own === undefined) nodes.set(node, [{ session: [upMs, downMs], line }])
    else own.push({ session: [upMs, downMs], line })
  }
  return inOrder([...nodes]).map(([node, own]) => {
    const sorted = own.toSorted((a, b) => a.session[0] - b.session[0])
    for (const [index, { session, line }] of sorted.entries()) {
      const before = sorted[index - 1]
      if (before !== undefined && before.session[1] > session[0]) {
        fail(line, `a session that begins after that of line ${before.line} has ended`, `node ${node}`)
      }
    }
    return sorted.map(({ session }) => session)
  })
}

function inOrder<T>(nodes: Array<readonly [name: string, value: T]>): Array<readonly [name: string, value: T]> {
  return nodes.every(([name]) => /^\d+$/.test(name)) ? nodes.toSorted(([a], [b]) => Number(a) - Number(b)) : nodes
}

function parseTime(text: string, unit: string | undefined): number | undefined {
  if (!/^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return parseDurationMs(text)
  if (unit !== undefined) return parseDurationMs(`${text} ${unit}`)
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}
