import type { Tokenizer } from './tokenizer.ts'

export interface StreamingDetokenizerInit {
  /**
   * The end of what comes before, usually the prompt's last tokens: it decides whether the first word keeps the blank before
   * it in tokenizers that drop a leading one. At most the last {@link maxContextTokens} are used. @default none
   */
  readonly contextTokens?: readonly number[]
  /** Leaves special tokens out. @default true */
  readonly skipSpecialTokens?: boolean
}

/** Enough context to end in a whole word. */
const maxContextTokens = 8

/**
 * Turns tokens into text as they come. A piece never holds a part of a character: bytes of an unfinished one are held back
 * until it is finished or cannot be any more. All pieces laid end to end are the text that `Tokenizer.decode` gives for all
 * the tokens. Each push costs the same, however long the answer is.
 */
export interface StreamingDetokenizer {
  /** The text that this token makes certain; may be empty. */
  push(token: number): string
  /** What was held back, with U+FFFD for an unfinished character. Nothing may be pushed afterwards. */
  finish(): string
}

export function streamingDetokenizer(tokenizer: Tokenizer, init: StreamingDetokenizerInit = {}): StreamingDetokenizer {
  return tokenizer.byteLevel ? new ByteDetokenizer(tokenizer, init) : new WindowDetokenizer(tokenizer, init)
}

/** Of byte-level tokenizers: a token is a row of bytes, and a streaming UTF-8 decoder holds back just what is unfinished. */
class ByteDetokenizer implements StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skip: boolean
  readonly #decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })

  constructor(tokenizer: Tokenizer, init: StreamingDetokenizerInit) {
    this.#tokenizer = tokenizer
    this.#skip = init.skipSpecialTokens ?? true
  }

  push(token: number): string {
    if (this.#skip && this.#tokenizer.specialIds.has(token)) return ''
    return this.#decoder.decode(this.#tokenizer.tokenBytes(token), { stream: true })
  }

  finish(): string {
    return this.#decoder.decode()
  }
}

const replacement = '\uFFFD'

/** More unfinished tokens than any character has bytes: the text is not going to become whole, so it is given out as it is. */
const maxPendingTokens = 8

/**
 * Of other tokenizers (SentencePiece with byte fallback, WordPiece), where a token's text depends on what stands before it:
 * decodes a window of a few tokens and gives out what has been added to its text. The window starts at the token after which
 * the text was whole, which serves as context. The method is that of vLLM's and Hugging Face TGI's detokenizers.
 */
class WindowDetokenizer implements StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skip: boolean
  #window: number[]
  /** Tokens at the head of the window that are context: their text is out. */
  #context: number
  /** Characters of the window's text that are out. */
  #emitted: number

  constructor(tokenizer: Tokenizer, init: StreamingDetokenizerInit) {
    this.#tokenizer = tokenizer
    this.#skip = init.skipSpecialTokens ?? true
    this.#window = (init.contextTokens ?? []).filter((token) => this.#shows(token)).slice(-maxContextTokens)
    this.#context = this.#window.length
    this.#emitted = this.#decode().length
  }

  push(token: number): string {
    if (!this.#shows(token)) return ''
    this.#window.push(token)
    const text = this.#decode()
    // An unfinished character decodes to one replacement character at the very end.
    const whole = !text.endsWith(replacement) || this.#window.length - this.#context > maxPendingTokens
    const piece = this.#take(whole ? text : text.slice(0, -replacement.length))
    if (whole) {
      this.#window = this.#window.slice(this.#context)
      this.#context = this.#window.length
      this.#emitted = this.#decode().length
    }
    return piece
  }

  finish(): string {
    return this.#take(this.#decode())
  }

  #take(text: string): string {
    const piece = text.slice(this.#emitted)
    this.#emitted = Math.max(this.#emitted, text.length)
    return piece
  }

  /** Tokens without a text would leave an empty window behind, before which a blank is dropped. */
  #shows(token: number): boolean {
    if (this.#skip && this.#tokenizer.specialIds.has(token)) return false
    return (this.#tokenizer.rawToken(token) ?? '') !== ''
  }

  #decode(): string {
    return this.#tokenizer.decode(this.#window, { skipSpecialTokens: false })
  }
}
