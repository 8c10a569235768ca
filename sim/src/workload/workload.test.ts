import assert from 'node:assert/strict'
import { seededRandom } from '@skein/protocol'
import type { Distribution, Workload } from '../scenario/scenario.ts'
import { draw, drawMs, meanOf } from './draw.ts'
import { defineScenario } from '../world/define-scenario.ts'
import { simulate } from '../world/simulate.ts'
import { exp, ln, normalQuantile, pow } from './series.ts'
import { storyPrompt } from './story-prompt.ts'
import { workloadPresets } from './workload-presets.ts'
import { drawPrompt, modelledText, tokensOfText, vocabularySize } from './text.ts'

function momentsOf(values: readonly number[]): { readonly mean: number; readonly cv: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { mean, cv: Math.sqrt(variance) / mean }
}

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
    { kind: 'gamma', mean: 5, cv: 0.3 },
    { kind: 'gamma', mean: 5, cv: 2 },
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

  for (const cv of [0.5, 1, 3]) {
    it(`gamma: its mean and its coefficient of variation of ${cv} come out`, () => {
      const random = seededRandom(3)
      const gaps = Array.from({ length: 100_000 }, () => draw({ kind: 'gamma', mean: 20, cv }, random))
      const found = momentsOf(gaps)
      assert.ok(Math.abs(found.mean / 20 - 1) < 0.02 && Math.abs(found.cv / cv - 1) < 0.03, JSON.stringify(found))
      assert.ok(gaps.every((gap) => gap >= 0))
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

describe('prompts of real models', () => {
  it('are beginnings of stories that have as many words as the tokens have room for', () => {
    // One token a character.
    const text = modelledText()
    assert.equal(storyPrompt(text, 1, seededRandom(1)), '.')
    for (let tokens = 12; tokens < 1000; tokens += 37) {
      const prompt = storyPrompt(text, tokens, seededRandom(tokens))
      assert.ok(prompt.length <= tokens && prompt.length > tokens - 8, `${prompt.length} of ${tokens}`)
      assert.match(prompt, /^[^.]*(\. (Once there was|Near the old mill|On a rainy night|Once upon a time)[ ,][^.]*)*\.$/)
    }
  })
})

describe('workload presets', () => {
  const preset = (name: string) => workloadPresets[name] ?? assert.fail(name)
  const median = (distribution: Distribution): number => {
    const { values } = distribution.kind === 'empirical' ? distribution : assert.fail(distribution.kind)
    return ((values[49] ?? 0) + (values[50] ?? 0)) / 2
  }

  it('have the medians that the paper on the Azure traces states, and the means of the traces', () => {
    const [code, conversation] = [preset('azure-code-2023'), preset('azure-conversation-2023')]
    // Splitwise, section III: 1,500 and 13 tokens for coding, 1,020 and 129 for conversation.
    for (const [distribution, published] of [
      [code.promptTokens, 1500],
      [code.outputTokens, 13],
      [conversation.promptTokens, 1020],
      [conversation.outputTokens, 129]
    ] as const) {
      assert.ok(Math.abs(median(distribution) / published - 1) < 0.03, `${median(distribution)} is not ${published}`)
    }
    const means = [code, conversation].flatMap(({ promptTokens, outputTokens }) => [meanOf(promptTokens), meanOf(outputTokens)])
    assert.deepEqual(means.map(Math.round), [2047, 28, 1155, 211])
  })

  it('each say where their figures are from, list no length below a token, and are as long in the mean as they say', () => {
    for (const [name, { source, promptTokens, outputTokens }] of Object.entries(workloadPresets)) {
      assert.match(source, /arXiv \d{4}\.\d{5}/, name)
      for (const lengths of [promptTokens, outputTokens]) {
        if (lengths.kind === 'empirical') {
          assert.equal(lengths.values.length, 100)
          assert.deepEqual(
            lengths.values,
            lengths.values.toSorted((a, b) => a - b)
          )
          assert.ok((lengths.values[0] ?? 0) >= 1)
        } else assert.match(source, /a fit/)
      }
    }
  })
})

describe('an open workload', () => {
  const generationsOf = async (workload: Pick<Workload, 'promptTokens' | 'outputTokens'>, interArrivalMs: Distribution) => {
    const scenario = defineScenario({
      durationMs: 300_000,
      nodes: [{ count: 1, span: { start: 0, end: 8 } }],
      clients: [{ count: 1, workload: { ...{ kind: 'open', interArrivalMs, maxRequests: 1_000 }, ...workload } }]
    })
    const { generations } = await simulate({ scenario, seed: 5 }).run()
    return { generations, contextTokens: scenario.model.contextTokens }
  }

  it('has the rate and the bursts that its gaps say', async () => {
    const one: Distribution = { kind: 'constant', value: 1 }
    const gapsOf = async (interArrivalMs: Distribution) => {
      const { generations } = await generationsOf({ promptTokens: one, outputTokens: one }, interArrivalMs)
      return momentsOf(generations.slice(1).map(({ startMs }, index) => startMs - (generations[index]?.startMs ?? 0)))
    }
    const poisson = await gapsOf({ kind: 'exponential', mean: 2_000 })
    assert.ok(Math.abs(poisson.mean / 2_000 - 1) < 0.2 && Math.abs(poisson.cv - 1) < 0.2, JSON.stringify(poisson))
    const bursts = await gapsOf({ kind: 'gamma', mean: 2_000, cv: 3 })
    assert.ok(Math.abs(bursts.mean / 2_000 - 1) < 0.4 && bursts.cv > 2, JSON.stringify(bursts))
  }).timeout(30_000)

  it('clips prompts to what the context has room for', async () => {
    const workload = workloadPresets['azure-code-2023'] ?? assert.fail()
    const { generations, contextTokens } = await generationsOf(workload, { kind: 'constant', value: 20_000 })
    assert.ok(generations.some(({ promptTokens }) => promptTokens === contextTokens - 1))
    assert.ok(generations.every(({ promptTokens, outputTokens }) => promptTokens + outputTokens <= contextTokens))
  }).timeout(30_000)
})
