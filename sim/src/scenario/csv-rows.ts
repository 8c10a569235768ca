/** A line of a CSV file that has something in it. */
export interface CsvRow {
  readonly cells: readonly string[]
  /** From 1, of the file. */
  readonly line: number
  /** Of each cell, from 1: where its text begins. */
  readonly columns: readonly number[]
}

/** The rows of a CSV file, its header first: no line breaks in cells, quotes around them are taken off. Empty lines and lines that begin with `#` are skipped. */
export function csvRows(text: string): CsvRow[] {
  return text
    .split(/\r?\n/)
    .map((content, index) => rowOf(content, index + 1))
    .filter(({ cells }) => cells.some((cell) => cell !== '') && !cells[0]!.startsWith('#'))
}

function rowOf(content: string, line: number): CsvRow {
  const parts = content.split(',')
  let start = 1
  const columns = parts.map((part) => {
    const column = start + part.length - part.trimStart().length
    start += part.length + 1
    return column
  })
  return { cells: parts.map((part) => part.trim().replace(/^"(.*)"$/, '$1')), line, columns }
}
