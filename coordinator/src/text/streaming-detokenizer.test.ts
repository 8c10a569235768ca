import assert from 'node:assert/strict'
import fc from 'fast-check'
import { streamingDetokenizer, type StreamingDetokenizerInit } from './streaming-detokenizer.ts'
import { byteFallbackTokenizer, tinyText } from './testing.node.ts'
import type { Tokenizer } from './tokenizer.ts'

function stream(tokenizer: Tokenizer, tokens: readonly number[], init?: StreamingDetokenizerInit): string[] {
  const detokenizer = streamingDetokenizer(tokenizer, init)
  const pieces = tokens.map((token) => detokenizer.push(token))
  return [...pieces, detokenizer.finish()]
}

/** Texts with characters of one to four bytes, joined ones among them, and blanks in every place. */
const anyText = fc
  .array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('世界', '👩‍👩‍👧', '🧶', 'é', ' ', '  ', '\n', ' the', '\uFFFD')), {
    maxLength: 12
  })
  .map((parts) => parts.join(''))

describe('streamingDetokenizer, byte-level', () => {
  let tokenizer: Tokenizer
  before(async () => ({ tokenizer } = await tinyText()))

  it('gives all pieces of any row of tokens as decode does', () => {
    const token = fc.integer({ min: 0, max: 1030 })
    fc.assert(
      fc.property(fc.array(token, { maxLength: 60 }), fc.boolean(), (tokens, skipSpecialTokens) => {
        assert.equal(stream(tokenizer, tokens, { skipSpecialTokens }).join(''), tokenizer.decode(tokens, { skipSpecialTokens }))
      }),
      { numRuns: 300 }
    )
  })

  it('never breaks a character of a text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const tokens = tokenizer.encode(text, { addSpecialTokens: false })
        const pieces = stream(tokenizer, tokens)
        assert.equal(pieces.join(''), text)
        assert.equal(pieces.at(-1), '')
        let at = 0
        for (const piece of pieces) {
          assert.doesNotMatch(piece, /\p{Surrogate}/u)
          assert.equal(piece, text.slice(at, at + piece.length))
          at += piece.length
        }
      }),
      { numRuns: 300 }
    )
  })

  it('gives a character with its last token, and text without delay', () => {
    const tokens = tokenizer.encode('世', { addSpecialTokens: false })
    assert.deepEqual(stream(tokenizer, tokens), [...tokens.slice(1).map(() => ''), '世', ''])
    const words = tokenizer.encode('Once upon a time', { addSpecialTokens: false })
    assert.deepEqual(stream(tokenizer, words), [...words.map((token) => tokenizer.tokenText(token)), ''])
  })

  it('shows an unfinished character at the end as one U+FFFD', () => {
    const tokens = tokenizer.encode('a🧶', { addSpecialTokens: false })
    assert.equal(stream(tokenizer, tokens.slice(0, -1)).join(''), 'a\uFFFD')
  })
})

describe('streamingDetokenizer, with a window', () => {
  const tokenizer = byteFallbackTokenizer()
  const id = (token: string): number => tokenizer.tokenId(token) as number
  const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)].map((byte) => 3 + byte)
  const words = ['▁', '▁▁', 'a', 'b', '.', '▁a', '▁hello', '▁world', 'ing', '中', '\uFFFD'].map(id)
  /** Whole characters as bytes, words, special tokens and ids without a text. */
  const row = fc
    .array(
      fc.oneof(
        fc.constantFrom(...words).map((token) => [token]),
        fc.constantFrom('é', '世', '🧶', 'z').map(bytesOf),
        fc.constantFrom(0, 1, 2, 5000).map((token) => [token])
      ),
      { maxLength: 40 }
    )
    .map((parts) => parts.flat())

  it('gives all pieces as decode does', () => {
    fc.assert(
      fc.property(row, (tokens) => {
        assert.equal(stream(tokenizer, tokens).join(''), tokenizer.decode(tokens))
      }),
      { numRuns: 500 }
    )
  })

  it('gives what is added to its context', () => {
    fc.assert(
      fc.property(row, row, (contextTokens, tokens) => {
        const context = tokenizer.decode(contextTokens)
        const whole = tokenizer.decode([...contextTokens, ...tokens])
        const pieces = stream(tokenizer, tokens, { contextTokens }).join('')
        // Cutting the context to a few tokens may cut a character; then only its text is not known.
        if (context !== '') assert.equal(pieces, whole.slice(context.length))
      }),
      { numRuns: 300 }
    )
    assert.equal(stream(tokenizer, [id('▁world')], { contextTokens: [id('▁hello')] }).join(''), ' world')
    assert.equal(stream(tokenizer, [id('▁world')]).join(''), 'world')
  })

  it('holds back the bytes of an unfinished character, and no longer than any character lasts', () => {
    assert.deepEqual(stream(tokenizer, [id('a'), ...bytesOf('世'), id('b')]), ['a', '', '', '世', 'b', ''])
    assert.deepEqual(stream(tokenizer, [id('a'), ...bytesOf('世').slice(0, 2)]), ['a', '', '', '\uFFFD'])
    const broken = Array<number>(100).fill(3 + 0xbf)
    const pieces = stream(tokenizer, [id('a'), ...broken])
    assert.ok(pieces.slice(0, 20).join('').length > 8, 'broken bytes come out before the end')
    assert.equal(pieces.join(''), tokenizer.decode([id('a'), ...broken]))
  })

  it('decodes a window that does not grow with the text', () => {
    let decoded = 0
    const counting = Object.create(tokenizer, {
      decode: {
        value: (tokens: number[]) => {
          decoded += tokens.length
          return tokenizer.decode(tokens)
        }
      },
      rawToken: { value: (token: number) => tokenizer.rawToken(token) },
      specialIds: { value: tokenizer.specialIds },
      byteLevel: { value: false }
    }) as Tokenizer
    const tokens = Array.from({ length: 2000 }, (_, index) => words[index % (words.length - 1)] as number)
    stream(counting, tokens)
    assert.ok(decoded < 6 * tokens.length, `${decoded} tokens decoded for ${tokens.length}`)
  })
})
