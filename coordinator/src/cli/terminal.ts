import { styleText } from 'node:util'
import type { TextSink } from './cli-io.ts'

type Format = Parameters<typeof styleText>[0]

/** Colours a text, or not. */
export type Style = (format: Format, text: string) => string

/** Colours only on a terminal that can show them, and not where `NO_COLOR` is set and not empty (https://no-color.org). */
export function styleFor(stream: TextSink, env: Readonly<Record<string, string | undefined>>): Style {
  const wanted = stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  return wanted ? (format, text) => styleText(format, text, { validateStream: false }) : (_format, text) => text
}

/** One line of a terminal that tells what goes on, and is overwritten by the next. Shows nothing where there is no terminal. */
export class ProgressLine {
  readonly #stream: TextSink
  readonly #style: Style
  #shown = false

  constructor(stream: TextSink, style: Style) {
    this.#stream = stream
    this.#style = style
  }

  get enabled(): boolean {
    return this.#stream.isTTY === true
  }

  show(text: string): void {
    if (!this.enabled) return
    const { columns = 0 } = this.#stream
    // A terminal that nobody has told its size reports 0.
    const width = columns > 0 ? Math.max(10, columns - 1) : 79
    const line = printable(text)
    this.#stream.write(`\r\u001B[K${this.#style('dim', line.length > width ? `${line.slice(0, width - 1)}…` : line)}`)
    this.#shown = true
  }

  /** Takes the line away, so that text can follow. */
  clear(): void {
    if (this.#shown) this.#stream.write('\r\u001B[K')
    this.#shown = false
  }
}

/** A text of others (an error, an address) without what a terminal would obey. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F]+/g, ' ').trim()
}

/** The end of a peer id, which tells peers apart; all begin alike. */
export function shortPeerId(peerId: string): string {
  return peerId.length <= 10 ? peerId : `…${peerId.slice(-8)}`
}

/** Columns as wide as their widest cell, two spaces apart; numbers to the right. */
export function table(header: readonly string[], rows: ReadonlyArray<readonly string[]>, right: ReadonlySet<number>): string[] {
  const widths = header.map((cell, column) => Math.max(cell.length, ...rows.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (right.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(header), ...rows.map(line)]
}

/** `0.8 ms`, `12 ms`, `3.4 s`. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`
  return `${ms < 10 ? ms.toFixed(1) : String(Math.round(ms))} ms`
}

/**
 * Text of the model without control characters other than tab and newline: nodes that nobody vouches for have part in it, and
 * a terminal would obey an escape sequence.
 */
export function safeText(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, '\uFFFD')
}
