import type { Sample } from '../text/sampling/sampler.ts'
import { StopMatcher } from '../text/stop-matcher.ts'
import { type StreamingDetokenizer, streamingDetokenizer } from '../text/streaming-detokenizer.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { ChosenLogprob, GenerationPiece } from './types.ts'

export interface AnswerTextInit {
  readonly tokenizer: Tokenizer
  readonly stops: readonly string[]
  /** The prompt's last tokens. */
  readonly contextTokens: readonly number[]
  /** Called with text that is certain, never empty. */
  readonly onPiece: (piece: GenerationPiece) => void
}

/** The answer as it grows: tokens in, whole characters out, up to the first stop string. */
export class AnswerText {
  readonly #init: AnswerTextInit
  readonly #detokenizer: StreamingDetokenizer
  readonly #stops: StopMatcher
  readonly #tokens: number[] = []
  readonly #logprobs: ChosenLogprob[] = []
  #text = ''
  /** How many tokens earlier pieces had. */
  #given = 0

  constructor(init: AnswerTextInit) {
    this.#init = init
    this.#detokenizer = streamingDetokenizer(init.tokenizer, { contextTokens: init.contextTokens })
    this.#stops = new StopMatcher(init.stops)
  }

  get tokens(): readonly number[] {
    return this.#tokens
  }

  get text(): string {
    return this.#text
  }

  get logprobs(): readonly ChosenLogprob[] {
    return this.#logprobs
  }

  /** Adds a token. True when the answer has come to a stop string. */
  push({ token, score }: Sample): boolean {
    this.#tokens.push(token)
    if (score !== undefined) {
      const named = (id: number, logprob: number): { token: number; text: string; logprob: number } => {
        return { token: id, text: this.#init.tokenizer.tokenText(id), logprob }
      }
      this.#logprobs.push({ ...named(token, score.logprob), top: score.top.map(({ token: id, logprob }) => named(id, logprob)) })
    }
    const { text, stop } = this.#stops.push(this.#detokenizer.push(token))
    this.#give(text)
    return stop !== undefined
  }

  /** Gives out what was held back. */
  finish(): void {
    if (this.#stops.stopped !== undefined) return
    const { text } = this.#stops.push(this.#detokenizer.finish())
    this.#give(text + this.#stops.finish())
  }

  #give(text: string): void {
    if (text === '') return
    this.#text += text
    const tokens = this.#tokens.slice(this.#given)
    const logprobs = this.#logprobs.slice(this.#given)
    this.#given = this.#tokens.length
    this.#init.onPiece({ text, tokens, ...(logprobs.length === 0 ? {} : { logprobs }) })
  }
}
