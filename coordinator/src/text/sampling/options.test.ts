import assert from 'node:assert/strict'
import { resolveSampling, samplingDefaults, type SamplingOptions } from './options.ts'

describe('resolveSampling', () => {
  it('fills what is missing from the model and then from the defaults', () => {
    assert.deepEqual(resolveSampling(), { ...samplingDefaults, logitBias: [], seed: undefined })
    const resolved = resolveSampling({ topP: 0.5, seed: 7, topK: undefined }, { temperature: 0.6, topP: 0.9, topK: 20 })
    assert.deepEqual(resolved, { ...samplingDefaults, temperature: 0.6, topP: 0.5, topK: 20, logitBias: [], seed: 7 })
  })

  it('takes the edges of every range', () => {
    resolveSampling({ temperature: 0, topP: 1, topK: 0, minP: 1, repetitionPenalty: 10, presencePenalty: -2, frequencyPenalty: 2 })
    resolveSampling({ temperature: 100, minP: 0, seed: 0 })
    assert.deepEqual(resolveSampling({ logitBias: { 9: 1, 3: -100, 5: -Infinity } }).logitBias, [
      [3, -Infinity],
      [5, -Infinity],
      [9, 1]
    ])
  })

  it('refuses a bias of a token that the model does not have, where its vocabulary is known', () => {
    const logitBias = { 0: 1, 1023: 5 }
    for (const other of [new Map([[5, 1]]), [1, 2], 'a', 5]) {
      assert.throws(() => resolveSampling({ logitBias: other as Record<number, number> }), /logitBias is no object/)
    }
    assert.equal(resolveSampling({ logitBias }, {}, 1024).logitBias.length, 2)
    assert.throws(() => resolveSampling({ logitBias }, {}, 1023), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message: 'logitBias names token 1023: expected an id of this model, 0 to 1022'
    })
  })

  it('names the option, its value and what is allowed', () => {
    const bad: Array<[SamplingOptions, RegExp]> = [
      [{ temperature: -1 }, /temperature is -1: expected a number from 0/],
      [{ temperature: NaN }, /temperature is NaN/],
      [{ temperature: '1' as unknown as number }, /temperature is 1/],
      [{ topK: 1.5 }, /topK is 1.5: expected an integer/],
      [{ topP: 0 }, /topP is 0: expected a number above 0/],
      [{ topP: 1.1 }, /topP/],
      [{ minP: -0.1 }, /minP/],
      [{ repetitionPenalty: 0 }, /repetitionPenalty/],
      [{ presencePenalty: 3 }, /presencePenalty is 3: expected a number from -2 to 2/],
      [{ frequencyPenalty: Infinity }, /frequencyPenalty/],
      [{ seed: 1.5 }, /seed is 1.5/],
      [{ seed: -1 }, /seed/],
      [{ logitBias: { [-1]: 1 } }, /logitBias names "-1"/],
      [{ logitBias: { 1: NaN } }, /logitBias of token 1 is NaN/],
      [{ logitBias: { 1: 1e39 } }, /up to 100/],
      [{ logitBias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 1])) }, /logitBias has 1025 entries/]
    ]
    for (const [options, message] of bad) {
      assert.throws(() => resolveSampling(options), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message })
    }
  })
})
