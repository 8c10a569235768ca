import { InvalidArgumentError } from '@skein/protocol'
import * as z from 'zod'
import { ModelFileError } from './errors.ts'
import { resolveSampling, type SamplingOptions } from './sampling/options.ts'

/** What a model's own `generation_config.json` wants where the caller says nothing. */
export interface GenerationDefaults {
  /** Tokens that end an answer, ascending. Empty when no file names one. */
  readonly eosTokenIds: readonly number[]
  /** For {@link resolveSampling}; fields that the file does not have are left out. */
  readonly sampling: Readonly<SamplingOptions>
}

const number = z.number().nullish()
const tokenId = z.number().int().nonnegative()
const schema = z.looseObject({
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
  do_sample: z.boolean().nullish(),
  temperature: number,
  top_k: number,
  top_p: number,
  min_p: number,
  repetition_penalty: number
})

const file = 'generation_config.json'

/**
 * Reads the model's defaults. As in Hugging Face's `generate`, a model without `do_sample: true` is greedy whatever its
 * temperature says, and a model that samples without a temperature has 1.
 *
 * @param generationConfig - the parsed file; undefined where there is none
 * @param modelEosTokenIds - of `config.json` or the tokenizer, used where the file names none
 * @throws ModelFileError when the file cannot be used
 */
export function generationDefaults(generationConfig: unknown, modelEosTokenIds: readonly number[]): GenerationDefaults {
  const parsed = schema.safeParse(generationConfig ?? {})
  if (!parsed.success) throw new ModelFileError(file, `it is not valid: ${z.prettifyError(parsed.error)}`)
  const config = parsed.data
  const eos = config.eos_token_id ?? undefined
  const eosTokenIds = eos === undefined ? modelEosTokenIds : typeof eos === 'number' ? [eos] : eos
  const sampling: SamplingOptions =
    config.do_sample === true
      ? withoutNothing({
          temperature: config.temperature ?? 1,
          topK: config.top_k,
          topP: config.top_p,
          minP: config.min_p,
          repetitionPenalty: config.repetition_penalty
        })
      : withoutNothing({ temperature: 0, repetitionPenalty: config.repetition_penalty })
  try {
    resolveSampling(sampling)
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new ModelFileError(file, error.message, { cause: error })
    throw error
  }
  return { eosTokenIds: [...new Set(eosTokenIds)].sort((a, b) => a - b), sampling }
}

function withoutNothing(fields: Readonly<Record<string, number | null | undefined>>): SamplingOptions {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined))
}
