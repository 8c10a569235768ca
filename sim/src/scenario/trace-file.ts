import { InvalidArgumentError } from '@skein/protocol'
import { maxEmpiricalValues, type Quantity, type TraceFile } from './fields.ts'
import { parseDurationMs, parseMbps, requireUnit } from './units.ts'

/**
 * The values of a trace: a text file with one value a line, or a CSV file with a header of which `column` is taken. Empty
 * lines and lines that begin with `#` are skipped. Values are in the base unit (milliseconds, Mbit/s, tokens), have a unit
 * of their own, or are in the trace's `unit`.
 *
 * @throws InvalidArgumentError that says which line is no value, or that the unit is none; whatever `readFile` throws
 */
export function readTrace(trace: TraceFile, readFile: (path: string) => string): number[] {
  requireUnit(trace.quantity, trace.unit)
  const lines = readFile(trace.file)
    .split(/\r?\n/)
    .map((text, index) => ({ text: text.trim(), line: index + 1 }))
    .filter(({ text }) => text !== '' && !text.startsWith('#'))
  const cells = trace.column === undefined ? lines : columnOf(lines, trace.column, trace.file)
  if (cells.length === 0) throw new InvalidArgumentError(`${trace.file} has no values`)
  if (cells.length > maxEmpiricalValues) {
    throw new InvalidArgumentError(
      `${trace.file} has ${cells.length} values; at most ${maxEmpiricalValues} are read: take a sample of them`
    )
  }
  return cells.map(({ text, line }) => {
    const value = parseValue(text, trace.quantity, trace.unit)
    if (value !== undefined) return value
    const shown = JSON.stringify(text.slice(0, 40))
    throw new InvalidArgumentError(
      `${trace.file}, line ${line}: expected ${wanted[trace.quantity]}, found ${shown}; this is no trace of them`
    )
  })
}

const wanted: Readonly<Record<Quantity, string>> = {
  duration: 'a duration',
  rate: 'a bandwidth',
  count: 'a whole number above 0',
  factor: 'a number above 0'
}

function columnOf(
  lines: ReadonlyArray<{ text: string; line: number }>,
  column: string,
  file: string
): Array<{ text: string; line: number }> {
  const [header, ...rows] = lines
  const names = (header?.text ?? '').split(',').map((cell) => unquote(cell))
  const index = names.indexOf(column)
  if (index === -1)
    throw new InvalidArgumentError(`${file} has no column '${column}'; its first line has: ${names.slice(0, 20).join(', ')}`)
  return rows.map(({ text, line }) => ({ text: unquote(text.split(',')[index] ?? ''), line }))
}

function unquote(cell: string): string {
  return cell.trim().replace(/^"(.*)"$/, '$1')
}

function parseValue(text: string, quantity: Quantity, unit: string | undefined): number | undefined {
  const bare = /^\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : undefined
  const withUnit = bare !== undefined && unit !== undefined ? `${text} ${unit}` : text
  switch (quantity) {
    case 'duration':
      return unit === undefined && bare !== undefined ? bare : parseDurationMs(withUnit)
    case 'rate':
      return unit === undefined && bare !== undefined && bare > 0 ? bare : parseMbps(withUnit)
    case 'count':
      return bare !== undefined && Number.isSafeInteger(bare) && bare > 0 ? bare : undefined
    case 'factor':
      return bare !== undefined && bare > 0 ? bare : undefined
  }
}
