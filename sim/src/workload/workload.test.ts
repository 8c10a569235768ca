import assert from 'node:assert/strict'
import { seededRandom } from '@skein/protocol'
import type { Distribution } from '../scenario/scenario.ts'
import { draw, drawMs, meanOf } from './draw.ts'
import { exp, ln, normalQuantile, pow } from './series.ts'
import { drawPrompt, modelledText, tokensOfText, vocabularySize } from './text.ts'

describe('series', () => {
  it('agree with the functions of Math', () => {
    for (const x of [1e-300, 1e-9, 0.1, 0.5, 1, 1.5, 2, 1e9, 1e300])
      assert.ok(Math.abs(ln(x) - Math.log(x)) <= 4e-15 * Math.max(1, Math.abs(Math.log(x))))
    for (const x of [-600, -20, -1e-9, 0, 0.3, 1, 20, 600]) assert.ok(Math.abs(exp(x) / Math.exp(x) - 1) < 1e-12)
    assert.ok(Math.abs(pow(3, 2.5) / 3 ** 2.5 - 1) < 1e-14)
    assert.equal(exp(-1000), 0)
    assert.throws(() => ln(0), RangeError)
    assert.throws(() => exp(1000), RangeError)
  })

  it('know the quantiles of the normal distribution', () => {
    for (const [p, z] of [
      [0.5, 0],
      [0.975, 1.959963984540054],
      [0.001, -3.090232306167813]
    ] as const)
      assert.ok(Math.abs(normalQuantile(p) - z) < 1e-8)
  })
})

describe('draw', () => {
  const cases: Distribution[] = [
    { kind: 'constant', value: 3 },
    { kind: 'uniform', min: 2, max: 6 },
    { kind: 'exponential', mean: 5 },
    { kind: 'weibull', shape: 1.5, scale: 4 },
    { kind: 'lognormal', median: 2, sigma: 0.5 },
    { kind: 'empirical', values: [1, 2, 9] }
  ]
  for (const distribution of cases) {
    it(`${distribution.kind}: its mean comes out, and a seed repeats it`, () => {
      const sample = (seed: number): number[] => {
        const random = seededRandom(seed)
        return Array.from({ length: 20_000 }, () => draw(distribution, random))
      }
      const numbers = sample(1)
      const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
      assert.ok(Math.abs(mean / meanOf(distribution) - 1) < 0.03, `${mean} is not ${meanOf(distribution)}`)
      assert.deepEqual(sample(1), numbers)
    })
  }

  it('draws durations in whole microseconds', () => {
    const random = seededRandom(2)
    for (let n = 0; n < 100; n++) {
      const us = drawMs({ kind: 'exponential', mean: 3 }, random) * 1000
      assert.ok(Math.abs(us - Math.round(us)) < 1e-6)
    }
  })
})

describe('the text of modelled models', () => {
  it('has one token for each character, both ways', () => {
    const { tokenizer } = modelledText()
    const text = drawPrompt(200, seededRandom(1))
    const tokens = tokenizer.encode(text, { addSpecialTokens: true })
    assert.equal(text.length, 200)
    assert.deepEqual(tokens, tokensOfText(text))
    assert.equal(tokenizer.decode(tokens), text)
    assert.equal(tokenizer.vocabSize, vocabularySize)
    assert.ok(tokenizer.byteLevel)
  })
})
