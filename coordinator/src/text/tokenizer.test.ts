import assert from 'node:assert/strict'
import { isSkeinError } from '@skein/protocol'
import { byteFallbackTokenizer, tinyText } from './testing.node.ts'
import { Tokenizer } from './tokenizer.ts'

describe('Tokenizer', () => {
  it('encodes and decodes any text without loss', async () => {
    const { tokenizer } = await tinyText()
    for (const text of ['Once upon a time', 'Grüße, 世界! 🧶👩‍👩‍👧', '  two  blanks ', 'a\n\tb', ' . , !', '']) {
      const tokens = tokenizer.encode(text, { addSpecialTokens: false })
      assert.equal(tokenizer.decode(tokens), text)
    }
  })

  it('knows the special tokens, leaves them out when asked, and reads them in a text', async () => {
    const { tokenizer } = await tinyText()
    assert.equal(tokenizer.vocabSize, 1024)
    assert.deepEqual(tokenizer.special, { bos: 1019, eos: 1020, pad: undefined, unk: undefined })
    assert.deepEqual([...tokenizer.specialIds], [1019, 1020, 1021, 1022, 1023])
    const tokens = tokenizer.encode('<|user|>hi<|end|>', { addSpecialTokens: false })
    assert.equal(tokens[0], 1021)
    assert.equal(tokens.at(-1), 1020)
    assert.equal(tokenizer.decode(tokens), 'hi')
    assert.equal(tokenizer.decode(tokens, { skipSpecialTokens: false }), '<|user|>hi<|end|>')
    assert.equal(tokenizer.tokenText(1022), '<|assistant|>')
  })

  it('shows a part of a character as U+FFFD and an id without a text as nothing', async () => {
    const { tokenizer } = await tinyText()
    const [first] = tokenizer.encode('世', { addSpecialTokens: false })
    assert.equal(tokenizer.tokenText(first as number), '\uFFFD')
    assert.equal(tokenizer.tokenText(99_999), '')
    assert.equal(tokenizer.decode([]), '')
  })

  it('puts the beginning in front once where the configuration says so', async () => {
    const { files } = await tinyText()
    const tokenizer = new Tokenizer({ ...files, config: { ...(files.config as object), add_bos_token: true } })
    assert.equal(tokenizer.encode('hi', { addSpecialTokens: true })[0], 1019)
    assert.deepEqual(tokenizer.encode('<|begin|>', { addSpecialTokens: true }), [1019])
    assert.deepEqual(tokenizer.encode('', { addSpecialTokens: true }), [1019])
    assert.notEqual(tokenizer.encode('hi', { addSpecialTokens: false })[0], 1019)
  })

  it('decodes SentencePiece tokens with byte fallback', () => {
    const tokenizer = byteFallbackTokenizer()
    assert.equal(tokenizer.byteLevel, false)
    const id = (token: string): number => tokenizer.tokenId(token) as number
    assert.equal(tokenizer.decode([id('▁hello'), id('▁'), id('▁world'), id('<0xE4>'), id('<0xB8>'), id('<0xAD>')]), 'hello  world中')
    assert.throws(() => tokenizer.tokenBytes(0), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })

  it('names the file that cannot be used', () => {
    for (const tokenizer of [undefined, null, 7, {}, { model: { type: 'BPE' } }]) {
      assert.throws(
        () => new Tokenizer({ tokenizer, config: {} }),
        (error) => isSkeinError(error) && error.code === 'ERR_SKEIN_MODEL_FILE' && error.message.startsWith('tokenizer.json')
      )
    }
    assert.throws(() => new Tokenizer({ tokenizer: {}, config: { bos_token: 7 } }), /tokenizer_config\.json/)
  })
})
