import { InvalidArgumentError } from '@skein/protocol'

/** How the next token is chosen from the logits. Every field may be left out; see {@link samplingDefaults}. */
export interface SamplingOptions {
  /**
   * Divides the logits; 0 is greedy: the largest logit, and of equal ones the lowest token id. 0 to 100.
   * @default 0, or what the model's generation_config.json says
   */
  temperature?: number
  /** Only the `topK` most likely tokens are drawn from; 0 for all. @default 0 */
  topK?: number
  /** Only the smallest set of most likely tokens whose probabilities reach `topP` is drawn from. Above 0, to 1. @default 1 */
  topP?: number
  /** Only tokens at least `minP` times as likely as the most likely one are drawn from. 0 to 1. @default 0 */
  minP?: number
  /**
   * Tokens of the prompt and the answer have their positive logits divided by it and their negative ones multiplied
   * (Keskar et al., "CTRL", arXiv 1909.05858). Above 0, to 10; 1 for none.
   * @default 1
   */
  repetitionPenalty?: number
  /** Taken from the logit of every token that is in the answer so far. -2 to 2, as in OpenAI's API. @default 0 */
  presencePenalty?: number
  /** Taken from a token's logit once for each time that it is in the answer so far. -2 to 2, as in OpenAI's API. @default 0 */
  frequencyPenalty?: number
  /**
   * Added to the logits of these token ids of the model's vocabulary, up to 100; a value of -100 or less forbids the token (as
   * in OpenAI's API). At most 1024 entries.
   * @default {}
   */
  logitBias?: Readonly<Record<number, number>>
  /** Makes the draw repeatable: an integer, 0 to 2^53 - 1. @default a fresh one */
  seed?: number
}

/** Sampling options with nothing left out, except a seed that nobody asked for. */
export interface ResolvedSampling extends Required<Omit<SamplingOptions, 'seed' | 'logitBias'>> {
  /** Pairs of token id and bias, by ascending id. */
  readonly logitBias: ReadonlyArray<readonly [token: number, bias: number]>
  readonly seed: number | undefined
}

/** What holds where neither the caller nor the model says otherwise: greedy, no penalties. */
export const samplingDefaults = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: {}
} as const satisfies Required<Omit<SamplingOptions, 'seed'>>

/** Bounds on options, in one place for the validation here and for the commands' help. */
export const samplingLimits = {
  maxTemperature: 100,
  maxTopK: 1_000_000,
  maxRepetitionPenalty: 10,
  /** As in OpenAI's API. */
  maxPenalty: 2,
  /** A bias this low forbids the token, as in OpenAI's API. */
  forbidBias: -100,
  maxBias: 100,
  maxBiasEntries: 1024,
  /** The most alternatives that logprobs may ask for. */
  maxTopLogprobs: 20
} as const

type NumberOption = Exclude<keyof typeof samplingDefaults, 'logitBias'>

interface NumberRule {
  readonly fits: (value: number) => boolean
  readonly expected: string
}

const { maxTemperature, maxTopK, maxRepetitionPenalty, maxPenalty } = samplingLimits
const penalty: NumberRule = {
  fits: (value) => Math.abs(value) <= maxPenalty,
  expected: `a number from -${maxPenalty} to ${maxPenalty}`
}
const numberRules: Record<NumberOption, NumberRule> = {
  temperature: { fits: (value) => value >= 0 && value <= maxTemperature, expected: `a number from 0 (greedy) to ${maxTemperature}` },
  topK: {
    fits: (value) => Number.isSafeInteger(value) && value >= 0 && value <= maxTopK,
    expected: `an integer from 0 (all) to ${maxTopK}`
  },
  topP: { fits: (value) => value > 0 && value <= 1, expected: 'a number above 0 and up to 1 (all)' },
  minP: { fits: (value) => value >= 0 && value <= 1, expected: 'a number from 0 (all) to 1' },
  repetitionPenalty: {
    fits: (value) => value > 0 && value <= maxRepetitionPenalty,
    expected: `a number above 0 and up to ${maxRepetitionPenalty} (1 for none)`
  },
  presencePenalty: penalty,
  frequencyPenalty: penalty
}

function resolveNumber(name: NumberOption, options: SamplingOptions, fallback: SamplingOptions): number {
  const value: unknown = options[name] ?? fallback[name] ?? samplingDefaults[name]
  const rule = numberRules[name]
  if (typeof value !== 'number' || !rule.fits(value)) {
    throw new InvalidArgumentError(`${name} is ${String(value)}: expected ${rule.expected}`)
  }
  return value
}

function resolveBias(bias: Readonly<Record<number, number>>, vocabSize: number): Array<[number, number]> {
  // The entries of a map or a list would count as none, or as other ones.
  if (typeof bias !== 'object' || Array.isArray(bias) || bias instanceof Map) {
    throw new InvalidArgumentError('logitBias is no object of token ids and numbers, such as { 42: -100 }')
  }
  const keys = Object.keys(bias)
  if (keys.length > samplingLimits.maxBiasEntries) {
    throw new InvalidArgumentError(`logitBias has ${keys.length} entries: at most ${samplingLimits.maxBiasEntries} are allowed`)
  }
  const pairs = keys.map((key): [number, number] => {
    const token = Number(key)
    const value: unknown = bias[token]
    if (!/^\d{1,10}$/.test(key)) throw new InvalidArgumentError(`logitBias names ${JSON.stringify(key)}: expected a token id`)
    if (token >= vocabSize) {
      throw new InvalidArgumentError(`logitBias names token ${key}: expected an id of this model, 0 to ${vocabSize - 1}`)
    }
    if (typeof value !== 'number' || !(value <= samplingLimits.maxBias)) {
      throw new InvalidArgumentError(
        `logitBias of token ${key} is ${String(value)}: expected a number up to ${samplingLimits.maxBias} (${samplingLimits.forbidBias} or less forbids the token)`
      )
    }
    return [token, value <= samplingLimits.forbidBias ? -Infinity : value]
  })
  return pairs.sort((a, b) => a[0] - b[0])
}

/**
 * Validates, and fills what the caller left out from `fallback` (the model's own defaults) and then from
 * {@link samplingDefaults}.
 *
 * @param vocabSize how many logits the model gives, where that is known: a bias of another token has no meaning
 * @throws InvalidArgumentError that names the option, its value and what is allowed
 */
export function resolveSampling(options: SamplingOptions = {}, fallback: SamplingOptions = {}, vocabSize = Infinity): ResolvedSampling {
  const { seed } = options
  if (seed !== undefined && (!Number.isSafeInteger(seed) || seed < 0)) {
    throw new InvalidArgumentError(`seed is ${String(seed)}: expected an integer from 0 to ${Number.MAX_SAFE_INTEGER}`)
  }
  return {
    temperature: resolveNumber('temperature', options, fallback),
    topK: resolveNumber('topK', options, fallback),
    topP: resolveNumber('topP', options, fallback),
    minP: resolveNumber('minP', options, fallback),
    repetitionPenalty: resolveNumber('repetitionPenalty', options, fallback),
    presencePenalty: resolveNumber('presencePenalty', options, fallback),
    frequencyPenalty: resolveNumber('frequencyPenalty', options, fallback),
    logitBias: resolveBias(options.logitBias ?? fallback.logitBias ?? samplingDefaults.logitBias, vocabSize),
    seed
  }
}
