import assert from 'node:assert/strict'
import fc from 'fast-check'
import { StopMatcher } from './stop-matcher.ts'

/** By its definition: the stop string that ends first, and of those the longest. */
function naive(text: string, stops: readonly string[]): { text: string; stop: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0]
    if (found !== undefined) return { text: text.slice(0, end - found.length), stop: found }
  }
  return { text, stop: undefined }
}

const letters = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'b', '🧶'), minLength, maxLength })

describe('StopMatcher', () => {
  it('gives the text before the first stop string, however the text is cut', () => {
    fc.assert(
      fc.property(fc.array(letters(1, 5), { maxLength: 4 }), fc.array(letters(0, 6), { maxLength: 12 }), (stops, pieces) => {
        const matcher = new StopMatcher(stops)
        const out = pieces.map((piece) => matcher.push(piece).text)
        out.push(matcher.finish())
        assert.deepEqual({ text: out.join(''), stop: matcher.stopped }, naive(pieces.join(''), stops))
      }),
      { numRuns: 1000 }
    )
  })

  it('holds back only what may become a stop string', () => {
    fc.assert(
      fc.property(fc.array(letters(1, 5), { minLength: 1, maxLength: 4 }), letters(0, 20), (stops, text) => {
        const matcher = new StopMatcher(stops)
        const { text: out, stop } = matcher.push(text)
        if (stop !== undefined) return
        const held = text.slice(out.length)
        const prefixes = stops.flatMap((whole) => Array.from({ length: whole.length }, (_, length) => whole.slice(0, length)))
        const longest = Math.max(...prefixes.filter((prefix) => text.endsWith(prefix)).map((prefix) => prefix.length))
        assert.equal(held.length, longest)
      }),
      { numRuns: 500 }
    )
  })

  it('lets everything through without stop strings', () => {
    const matcher = new StopMatcher([])
    assert.deepEqual(matcher.push('abc'), { text: 'abc', stop: undefined })
    assert.equal(matcher.finish(), '')
  })

  it('gives nothing after a stop', () => {
    const matcher = new StopMatcher(['\n\n'])
    assert.deepEqual(matcher.push('one\n'), { text: 'one', stop: undefined })
    assert.deepEqual(matcher.push('\ntwo'), { text: '', stop: '\n\n' })
    assert.deepEqual(matcher.push('three'), { text: '', stop: '\n\n' })
    assert.equal(matcher.finish(), '')
  })

  it('refuses stop strings that can never be right', () => {
    for (const stop of ['', '\uD83D', 'a'.repeat(70_000)])
      assert.throws(() => new StopMatcher([stop]), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })
})
