import { InvalidArgumentError } from '@skein/protocol'
import * as z from 'zod'
import { byteLevelBytes } from './byte-level.ts'
import { ModelFileError } from './errors.ts'
import { HuggingFaceTokenizer } from './huggingface.ts'

/** A special token as `tokenizer_config.json` names it: its text, or an object with it. */
const specialToken = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish()

const configSchema = z.looseObject({
  bos_token: specialToken,
  eos_token: specialToken,
  pad_token: specialToken,
  unk_token: specialToken,
  add_bos_token: z.boolean().nullish()
})

const decoderSchema = z.looseObject({ type: z.string() }).nullish()

export interface TokenizerFiles {
  /** The parsed `tokenizer.json`. */
  readonly tokenizer: unknown
  /** The parsed `tokenizer_config.json`, or `{}` where there is none. */
  readonly config: unknown
}

export interface EncodeOptions {
  /** Puts in what the model expects around a plain text, usually the token of its beginning. */
  readonly addSpecialTokens: boolean
}

export interface DecodeOptions {
  /** @default true */
  readonly skipSpecialTokens?: boolean
}

/** Ids of tokens with a role; undefined where the model has none. */
export interface SpecialTokenIds {
  readonly bos: number | undefined
  readonly eos: number | undefined
  readonly pad: number | undefined
  readonly unk: number | undefined
}

/**
 * A model's tokenizer: Hugging Face's JavaScript implementation, with the bytes of each token on top where the tokenizer is
 * byte-level. Immutable.
 *
 * Decoding never "cleans up" spaces, whatever `tokenizer_config.json` says: the text is what the tokens say, and can be
 * given out as it comes.
 */
export class Tokenizer {
  /** One more than the largest id with a text. The model's logits may be wider: such ids have no text. */
  readonly vocabSize: number
  readonly special: SpecialTokenIds
  /** Ids that `decode` leaves out by default. */
  readonly specialIds: ReadonlySet<number>
  /** Whether each token stands for bytes of its own, so that the text of a row of tokens is their bytes laid end to end. */
  readonly byteLevel: boolean
  readonly #tokenizer: HuggingFaceTokenizer
  readonly #addBos: boolean

  /** @throws ModelFileError when the files cannot be used */
  constructor(files: TokenizerFiles) {
    const config = configSchema.safeParse(files.config)
    if (!config.success) throw new ModelFileError('tokenizer_config.json', `it is not valid: ${z.prettifyError(config.error)}`)
    if (typeof files.tokenizer !== 'object' || files.tokenizer === null) {
      throw new ModelFileError('tokenizer.json', 'it is not valid: expected a JSON object')
    }
    try {
      this.#tokenizer = new HuggingFaceTokenizer(files.tokenizer, config.data)
    } catch (error) {
      throw new ModelFileError('tokenizer.json', 'it is not valid, or of a kind that is not supported', { cause: error })
    }
    const decoder = decoderSchema.safeParse((files.tokenizer as { decoder?: unknown }).decoder)
    this.byteLevel = decoder.success && decoder.data?.type === 'ByteLevel'
    this.vocabSize = this.#tokenizer.model?.vocab.length ?? 0
    this.special = {
      bos: this.#find(config.data.bos_token),
      eos: this.#find(config.data.eos_token),
      pad: this.#find(config.data.pad_token),
      unk: this.#find(config.data.unk_token)
    }
    this.specialIds = this.#specialIds()
    this.#addBos = config.data.add_bos_token === true
  }

  /** Token ids of a text. Special tokens that are written out in the text become such tokens. */
  encode(text: string, options: EncodeOptions): number[] {
    const tokens = text === '' && !options.addSpecialTokens ? [] : this.#encode(text, options.addSpecialTokens)
    const { bos } = this.special
    if (options.addSpecialTokens && this.#addBos && bos !== undefined && tokens[0] !== bos) tokens.unshift(bos)
    return tokens
  }

  /** The text of token ids. Bytes that are no UTF-8 show as U+FFFD; ids without a text are left out. */
  decode(tokens: readonly number[], options: DecodeOptions = {}): string {
    const skip = options.skipSpecialTokens ?? true
    const shown = tokens.filter((id) => this.#tokenizer.id_to_token(id) !== undefined && !(skip && this.specialIds.has(id)))
    if (shown.length === 0) return ''
    if (!this.byteLevel) return this.#tokenizer.decode(shown, { skip_special_tokens: false, clean_up_tokenization_spaces: false })
    const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })
    const texts = shown.map((id) => decoder.decode(this.tokenBytes(id), { stream: true }))
    return texts.join('') + decoder.decode()
  }

  /** The token's own text, special or not, with U+FFFD for a part of a character; empty for an id without one. */
  tokenText(id: number): string {
    return this.decode([id], { skipSpecialTokens: false })
  }

  /** The token as it is written in the vocabulary (`Ġthe`); undefined for an id without a text. */
  rawToken(id: number): string | undefined {
    return this.#tokenizer.id_to_token(id)
  }

  /** The token's bytes; none for an id without a text. Only of a byte-level tokenizer. */
  tokenBytes(id: number): Uint8Array {
    if (!this.byteLevel) throw new InvalidArgumentError('this tokenizer is not byte-level: its tokens have no bytes of their own')
    const token = this.#tokenizer.id_to_token(id)
    return token === undefined ? new Uint8Array(0) : byteLevelBytes(token)
  }

  /** The id of a token as it is written in the vocabulary. */
  tokenId(token: string): number | undefined {
    return this.#tokenizer.token_to_id(token)
  }

  #encode(text: string, addSpecialTokens: boolean): number[] {
    const { ids: tokens } = this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens })
    const bad = tokens.findIndex((id) => !Number.isInteger(id))
    if (bad >= 0) throw new InvalidArgumentError('the text has a character that the tokenizer does not know and has no token for')
    return tokens
  }

  #find(token: z.infer<typeof specialToken>): number | undefined {
    if (token === null || token === undefined) return undefined
    return this.#tokenizer.token_to_id(typeof token === 'string' ? token : token.content)
  }

  #specialIds(): Set<number> {
    const special = new Set<number>()
    for (const [id, token] of this.#tokenizer.get_added_tokens_decoder()) if (token.special) special.add(id)
    for (const id of Object.values(this.special) as Array<number | undefined>) if (id !== undefined) special.add(id)
    return special
  }
}
