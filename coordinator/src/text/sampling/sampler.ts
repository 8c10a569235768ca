import type { Random } from '@skein/protocol'
import { SamplingError } from '../errors.ts'
import { Candidates } from './candidates.ts'
import { logitBias } from './logit-bias.ts'
import { scoreChosen, type ChosenScore } from './logprobs.ts'
import { minP } from './min-p.ts'
import type { ResolvedSampling } from './options.ts'
import { answerPenalties, repetitionPenalty } from './penalties.ts'
import type { SamplingProcessor } from './processor.ts'
import { temperature } from './temperature.ts'
import { TokenHistory } from './token-history.ts'
import { topK } from './top-k.ts'
import { topP } from './top-p.ts'

export interface SamplerComponents {
  /** Draws the tokens. With `sampling.seed` the caller hands over `seededRandom(seed)`. */
  readonly random: Random
}

export interface SamplerInit {
  readonly sampling: ResolvedSampling
  /** The prompt's tokens, for the repetition penalty. @default none */
  readonly prompt?: Iterable<number>
}

export interface SampleOptions {
  /** The logits may be changed, which spares a copy. @default false */
  readonly inPlace?: boolean
  /** Score the chosen token, and so many of the most likely ones (0 for none). @default undefined: no scores */
  readonly topLogprobs?: number
}

export interface Sample {
  readonly token: number
  /** From the model's own distribution, before any processor. */
  readonly score?: ChosenScore
}

/** The processors that some options ask for, in the order of Hugging Face's `generate`. Those without an effect are left out. */
export function samplingProcessors(sampling: ResolvedSampling): SamplingProcessor[] {
  const list: SamplingProcessor[] = []
  if (sampling.repetitionPenalty !== 1) list.push(repetitionPenalty(sampling.repetitionPenalty))
  if (sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0) {
    list.push(answerPenalties(sampling.presencePenalty, sampling.frequencyPenalty))
  }
  if (sampling.logitBias.length > 0) list.push(logitBias(sampling.logitBias))
  // The largest logit stays the largest through all that follows.
  if (sampling.temperature === 0) return list
  if (sampling.temperature !== 1) list.push(temperature(sampling.temperature))
  if (sampling.topK > 0) list.push(topK(sampling.topK))
  if (sampling.topP < 1) list.push(topP(sampling.topP))
  if (sampling.minP > 0) list.push(minP(sampling.minP))
  return list
}

/**
 * Chooses one generation's tokens from logits. It remembers the answer for the penalties: every token that joins the answer
 * must be told by `accept`.
 */
export class Sampler {
  readonly #random: Random
  readonly #processors: readonly SamplingProcessor[]
  readonly #greedy: boolean
  readonly #history: TokenHistory
  #scratch = new Float32Array(0)
  #ids = new Uint32Array(0)

  constructor({ random }: SamplerComponents, init: SamplerInit) {
    this.#random = random
    this.#processors = samplingProcessors(init.sampling)
    this.#greedy = init.sampling.temperature === 0
    this.#history = new TokenHistory(init.prompt ?? [])
  }

  /**
   * Draws a token. The answer is not changed by it.
   *
   * @param logits - f32 `[vocabSize]`, one row
   * @throws SamplingError when a logit is NaN or +Infinity, or every token is forbidden
   */
  sample(logits: Float32Array, options: SampleOptions = {}): Sample {
    const best = argmax(logits)
    const plain = this.#greedy && this.#processors.length === 0
    const candidates = plain ? undefined : this.#candidates(logits, options)
    const token = candidates === undefined ? best : this.#choose(candidates)
    if (options.topLogprobs === undefined) return { token }
    return { token, score: scoreChosen(logits, token, options.topLogprobs) }
  }

  /** Adds a token to the answer. */
  accept(token: number): void {
    this.#history.add(token)
  }

  /** Takes the answer's last token back. */
  retract(token: number): void {
    this.#history.remove(token)
  }

  #candidates(logits: Float32Array, options: SampleOptions): Candidates {
    if (this.#ids.length !== logits.length) this.#ids = new Uint32Array(logits.length)
    // Scores are taken from the logits afterwards, so they must be as they were.
    if (options.inPlace === true && options.topLogprobs === undefined) return new Candidates(logits, this.#ids)
    if (this.#scratch.length !== logits.length) this.#scratch = new Float32Array(logits.length)
    this.#scratch.set(logits)
    return new Candidates(this.#scratch, this.#ids)
  }

  #choose(candidates: Candidates): number {
    for (const processor of this.#processors) processor.apply(candidates, this.#history)
    return this.#greedy ? argmax(candidates.logits) : draw(candidates, this.#random)
  }
}

/**
 * The token with the largest logit, and of equal ones the lowest id.
 *
 * @throws SamplingError as {@link Sampler.sample}
 */
export function argmax(logits: Float32Array): number {
  let best = -1
  let max = -Infinity
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number
    if (logit > max) {
      max = logit
      best = id
    } else if (Number.isNaN(logit)) {
      throw new SamplingError(`the logit of token ${id} is not a number: a stage of the chain, or the model, computes wrongly`)
    }
  }
  if (max === Infinity)
    throw new SamplingError(`the logit of token ${best} is infinite: a stage of the chain, or the model, computes wrongly`)
  if (best < 0) throw new SamplingError('every token is forbidden: take entries out of logitBias')
  return best
}

/** Draws by the softmax of what is left. The sum runs in the order of the candidates, so a seed gives the same token again. */
function draw(candidates: Candidates, random: Random): number {
  const { logits, ids, count } = candidates
  const max = candidates.max()
  if (max === -Infinity) throw new SamplingError('every token is forbidden: take entries out of logitBias')
  let rest = random.float() * candidates.weight(max)
  let last = 0
  for (let index = 0; index < count; index++) {
    const id = ids[index] as number
    const weight = Math.exp((logits[id] as number) - max)
    if (weight === 0) continue
    last = id
    rest -= weight
    if (rest < 0) return id
  }
  // Rounding may leave a trace of the last weight.
  return last
}
