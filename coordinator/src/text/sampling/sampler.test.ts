import assert from 'node:assert/strict'
import { seededRandom } from '@skein/protocol'
import fc from 'fast-check'
import { Candidates } from './candidates.ts'
import { minP } from './min-p.ts'
import { resolveSampling, type SamplingOptions } from './options.ts'
import { argmax, Sampler, samplingProcessors } from './sampler.ts'
import { selectLargest } from './select-largest.ts'
import { TokenHistory } from './token-history.ts'
import { topK } from './top-k.ts'
import { topP } from './top-p.ts'

/** Few different values, so that many are equal; some tokens are forbidden. */
const logit = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: -8, max: 8 }) }, { weight: 1, arbitrary: fc.constant(-Infinity) })
const row = (maxLength: number): fc.Arbitrary<Float32Array> =>
  fc.array(logit, { minLength: 1, maxLength }).map((values) => Float32Array.from(values.map((value) => value / 2)))
const finiteRow = row(300).filter((logits) => logits.some((value) => value > -Infinity))

const rankOf = (logits: Float32Array): number[] => Array.from(logits.keys()).sort((a, b) => compare(logits, a, b))
const compare = (logits: Float32Array, a: number, b: number): number => {
  const [x, y] = [logits[a] as number, logits[b] as number]
  return x === y ? a - b : y - x
}
const probabilities = (logits: Float32Array): number[] => {
  const max = Math.max(...logits)
  const weights = Array.from(logits, (value) => Math.exp(value - max))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / sum)
}

function sampler(options: SamplingOptions, prompt: number[] = [], seed = 1): Sampler {
  return new Sampler({ random: seededRandom(seed) }, { sampling: resolveSampling(options), prompt })
}

describe('selectLargest', () => {
  it('is the head of a full sort', () => {
    fc.assert(
      fc.property(row(400), fc.integer({ min: 0, max: 420 }), (logits, k) => {
        const all = Uint32Array.from(logits.keys())
        assert.deepEqual(Array.from(selectLargest(logits, all, k)), rankOf(logits).slice(0, k))
      }),
      { numRuns: 500 }
    )
  })
})

describe('cuts', () => {
  const kept = (candidates: Candidates): number[] => Array.from(candidates.left()).sort((a, b) => a - b)
  const none = new TokenHistory([])
  const ascending = (ids: number[]): number[] => ids.sort((a, b) => a - b)

  it('top-k keeps the first of a full sort', () => {
    fc.assert(
      fc.property(finiteRow, fc.integer({ min: 1, max: 320 }), (logits, k) => {
        const candidates = new Candidates(logits)
        topK(k).apply(candidates, none)
        assert.deepEqual(kept(candidates), ascending(rankOf(logits).slice(0, k)))
      })
    )
  })

  it('top-p keeps the smallest likely set that reaches p, ranked before or not', () => {
    fc.assert(
      fc.property(finiteRow, fc.double({ min: 0.01, max: 0.999, noNaN: true }), fc.boolean(), (logits, p, ranked) => {
        const candidates = new Candidates(logits)
        if (ranked) topK(logits.length - 1 || 1).apply(candidates, none)
        const among = Float32Array.from(logits, (value, id) => (candidates.left().includes(id) ? value : -Infinity))
        topP(p).apply(candidates, none)
        const naive: number[] = []
        const chance = probabilities(among)
        for (let sum = 0; sum < p - 1e-9 && naive.length < logits.length;) {
          const next = rankOf(among)[naive.length] as number
          naive.push(next)
          sum += chance[next] as number
        }
        // At the very edge rounding decides: one more or less is right there.
        const sum = kept(candidates).reduce((total, id) => total + (chance[id] as number), 0)
        assert.ok(Math.abs(candidates.count - naive.length) <= 1 && sum >= p - 1e-6, `${candidates.count} kept, ${naive.length} expected`)
        const shorter = Math.min(candidates.count, naive.length)
        const byRank = Array.from(candidates.left()).sort((a, b) => compare(among, a, b))
        assert.deepEqual(byRank.slice(0, shorter), naive.slice(0, shorter))
      })
    )
  })

  it('min-p keeps what is likely enough beside the most likely', () => {
    fc.assert(
      fc.property(finiteRow, fc.double({ min: 0.001, max: 1, noNaN: true }), (logits, p) => {
        const candidates = new Candidates(logits)
        minP(p).apply(candidates, none)
        const chance = probabilities(logits)
        const max = Math.max(...chance)
        for (const [id, value] of chance.entries()) {
          if (Math.abs(value / max - p) > 1e-6) assert.equal(candidates.left().includes(id), value / max > p, `token ${id}`)
        }
      })
    )
  })
})

describe('Sampler, greedy', () => {
  it('takes the largest logit, of equal ones the lowest id', () => {
    fc.assert(
      fc.property(finiteRow, (logits) => {
        assert.equal(sampler({}).sample(logits).token, rankOf(logits)[0])
      })
    )
  })

  it('heeds penalties and bias as their definitions say', () => {
    const tokens = fc.array(fc.nat(40), { maxLength: 12 })
    const number = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true })
    const options = fc.record({
      repetitionPenalty: number(0.5, 3),
      presencePenalty: number(-2, 2),
      frequencyPenalty: number(-2, 2),
      logitBias: fc.dictionary(fc.nat(40).map(String), number(-5, 5), { maxKeys: 4 })
    })
    fc.assert(
      fc.property(row(40), tokens, tokens, options, (logits, prompt, answer, chosen) => {
        const expected = Float32Array.from(logits, (value, id) => {
          let changed = value
          if (prompt.includes(id) || answer.includes(id)) {
            changed = Math.fround(changed > 0 ? changed / chosen.repetitionPenalty : changed * chosen.repetitionPenalty)
          }
          const count = answer.filter((token) => token === id).length
          if (count > 0) changed = Math.fround(changed - chosen.presencePenalty - chosen.frequencyPenalty * count)
          return changed + (chosen.logitBias[String(id)] ?? 0)
        })
        const candidates = new Candidates(logits.slice())
        const history = new TokenHistory(prompt)
        for (const token of answer) history.add(token)
        for (const processor of samplingProcessors(resolveSampling(chosen))) processor.apply(candidates, history)
        // Zero has no sign here.
        const unsigned = (values: Float32Array): Float32Array => values.map((value) => value + 0)
        assert.deepEqual(unsigned(candidates.logits), unsigned(expected))
      })
    )
  })

  it('forgets what is taken back', () => {
    const chooser = sampler({ presencePenalty: 2 })
    const logits = Float32Array.of(3, 2)
    chooser.accept(0)
    assert.equal(chooser.sample(logits).token, 1)
    chooser.retract(0)
    assert.equal(chooser.sample(logits).token, 0)
  })

  it('never takes a forbidden token, and says so when all are', () => {
    assert.equal(sampler({ logitBias: { 0: -100 } }).sample(Float32Array.of(9, 1)).token, 1)
    for (const temperature of [0, 0.5, 1]) {
      const all = { logitBias: { 0: -100, 1: -Infinity }, temperature, topP: 0.5, minP: 0.1 }
      assert.throws(() => sampler(all).sample(Float32Array.of(9, 1)), { code: 'ERR_SKEIN_SAMPLING', message: /forbidden/ })
    }
  })

  it('refuses logits that are no numbers', () => {
    for (const bad of [NaN, Infinity]) {
      for (const temperature of [0, 1]) {
        assert.throws(() => sampler({ temperature }).sample(Float32Array.of(0, bad, 1)), { code: 'ERR_SKEIN_SAMPLING' })
      }
    }
    assert.throws(() => argmax(new Float32Array(0)), { code: 'ERR_SKEIN_SAMPLING' })
  })
})

describe('Sampler, drawing', () => {
  /** Pearson's statistic; for 7 degrees of freedom a fair sampler stays below 24.3 in 999 of 1000 cases (and here always: seeded). */
  it('draws by the softmax at the temperature', () => {
    const logits = Float32Array.of(1, 0, -1, 2, 0.5, -0.5, 1.5, -2)
    for (const temperature of [0.5, 1, 2]) {
      const chooser = sampler({ temperature }, [], 42)
      const expected = probabilities(logits.map((value) => value / temperature))
      const draws = 20_000
      const counts = new Array<number>(logits.length).fill(0)
      for (let index = 0; index < draws; index++) {
        const { token } = chooser.sample(logits)
        counts[token] = (counts[token] as number) + 1
      }
      const chi = counts.reduce(
        (sum, count, id) => sum + (count - draws * (expected[id] as number)) ** 2 / (draws * (expected[id] as number)),
        0
      )
      assert.ok(chi < 24.3, `chi squared ${chi} at temperature ${temperature}`)
    }
  })

  it('draws only what every cut has left', () => {
    const options = fc.record({
      temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
      topK: fc.integer({ min: 0, max: 20 }),
      topP: fc.double({ min: 0.05, max: 1, noNaN: true }),
      minP: fc.double({ min: 0, max: 1, noNaN: true })
    })
    fc.assert(
      fc.property(finiteRow, options, fc.nat(), (logits, chosen, seed) => {
        const { token } = sampler(chosen, [], seed).sample(logits)
        assert.ok((logits[token] as number) > -Infinity)
        const rank = rankOf(logits).indexOf(token)
        if (chosen.topK > 0) assert.ok(rank < chosen.topK)
        assert.ok((probabilities(logits.map((value) => value / chosen.temperature))[token] as number) > 0)
      })
    )
  })

  it('repeats with a seed, and does not touch the logits unless told', () => {
    const logits = Float32Array.from({ length: 1000 }, (_, id) => Math.sin(id) * 3)
    const before = logits.slice()
    const options = { temperature: 0.8, topP: 0.9, repetitionPenalty: 1.3 }
    const draw = (seed: number): number[] => {
      const chooser = sampler(options, [1, 2, 3], seed)
      return Array.from({ length: 20 }, () => {
        const { token } = chooser.sample(logits)
        chooser.accept(token)
        return token
      })
    }
    assert.deepEqual(draw(5), draw(5))
    assert.notDeepEqual(draw(5), draw(6))
    assert.deepEqual(logits, before)
    const inPlace = sampler(options, [1, 2, 3], 5).sample(logits, { inPlace: true }).token
    assert.equal(inPlace, draw(5).length === 20 ? sampler(options, [1, 2, 3], 5).sample(before).token : -1)
    assert.notDeepEqual(logits, before)
  })

  it('holds at any temperature, however small', () => {
    assert.equal(sampler({ temperature: 1e-30 }).sample(Float32Array.of(1, 3e38, -3e38)).token, 1)
  })
})

describe('scores', () => {
  it("are of the model's own distribution, best first", () => {
    fc.assert(
      fc.property(finiteRow, fc.integer({ min: 0, max: 20 }), (logits, topLogprobs) => {
        const { token, score } = sampler({ logitBias: { 0: 50 }, temperature: 0.7 }).sample(logits, { topLogprobs, inPlace: true })
        const chance = probabilities(logits)
        const near = (a: number, b: number): boolean => a === b || Math.abs(a - b) < 1e-5
        assert.equal(score?.token, token)
        assert.ok(near(score.logprob, Math.log(chance[token] as number)) || chance[token] === 0)
        assert.deepEqual(
          score.top.map((entry) => entry.token),
          rankOf(logits).slice(0, topLogprobs)
        )
        for (const entry of score.top) assert.ok(near(entry.logprob, Math.log(chance[entry.token] as number)))
      })
    )
  })
})
