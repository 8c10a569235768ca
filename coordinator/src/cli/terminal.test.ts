import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { ProgressLine } from './terminal.ts'

describe('ProgressLine', () => {
  /** What a line of 200 characters shows on a terminal that reports so many columns. */
  const shown = (columns: number | undefined): number => {
    const stream = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, ...(columns === undefined ? {} : { columns }) })
    new ProgressLine(stream, (_format, text) => text).show('x'.repeat(200))
    return String(stream.read()).replace('\r\u001B[K', '').length
  }

  it('fits the terminal, and takes one without a size for 80 columns wide', () => {
    assert.equal(shown(40), 39)
    assert.equal(shown(5), 10)
    assert.equal(shown(undefined), 79)
    assert.equal(shown(0), 79)
  })
})
