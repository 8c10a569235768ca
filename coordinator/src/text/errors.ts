import { SkeinError, type SkeinErrorOptions } from '@skein/protocol'

/** A file that goes with a model (tokenizer, chat template, generation defaults) is missing or cannot be used. The detail has `file`. */
export class ModelFileError extends SkeinError<'ERR_SKEIN_MODEL_FILE'> {
  constructor(file: string, message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_MODEL_FILE', `${file}: ${message}`, { ...options, detail: { ...options?.detail, file } })
  }
}

/**
 * Why a chat could not be turned into a prompt. `missing`: the model has no template. `invalid`: its template cannot be
 * parsed. `refused`: the template raised an error, for instance because of the order of the roles. `too-long`: the template,
 * the messages or the result pass a bound.
 */
export type ChatTemplateReason = 'missing' | 'invalid' | 'refused' | 'too-long'

/** The detail has `reason`, a {@link ChatTemplateReason}. */
export class ChatTemplateError extends SkeinError<'ERR_SKEIN_CHAT_TEMPLATE'> {
  readonly reason: ChatTemplateReason

  constructor(reason: ChatTemplateReason, message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_CHAT_TEMPLATE', message, { ...options, detail: { ...options?.detail, reason } })
    this.reason = reason
  }
}

/** Logits from which no token can be drawn: not numbers, or every token is forbidden. */
export class SamplingError extends SkeinError<'ERR_SKEIN_SAMPLING'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_SAMPLING', message, options)
  }
}
