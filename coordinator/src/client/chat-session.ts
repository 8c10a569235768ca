import { InvalidArgumentError } from '@skein/protocol'
import type { ChatMessage } from '../text/chat-message.ts'
import type { KeptSession } from './kept-session.ts'
import type { ChatSession, GenerateOptions, Generation } from './types.ts'

export interface ChatSessionComponents {
  readonly session: KeptSession
  /** The session's room. */
  readonly maxContextTokens: number
  /** Tokens of the prompt that the conversation makes. */
  readonly encode: (messages: readonly ChatMessage[], options: GenerateOptions) => number[]
  /** Generates on the conversation's session; the first `cachedTokens` of the prompt are in its caches. */
  readonly generate: (promptTokens: readonly number[], cachedTokens: number, options: GenerateOptions) => Generation
}

/**
 * A conversation on one session. Each turn renders the whole conversation anew and sends only what the caches do not hold:
 * what follows the longest common beginning of the new prompt and the tokens that were sent. So a template that changes the
 * past, or a text that is tokenized otherwise than it was generated, costs time and never correctness. Nor does a session that
 * was lost for good: the next turn opens another one and sends everything.
 */
export class CachedChatSession implements ChatSession {
  readonly #components: ChatSessionComponents
  readonly #messages: ChatMessage[]
  /** Tokens that were sent or sampled, in order; the caches hold a beginning of them. */
  #context: number[] = []
  #busy = false

  constructor(components: ChatSessionComponents, system: string | undefined) {
    this.#components = components
    this.#messages = system === undefined ? [] : [{ role: 'system', content: system }]
  }

  get messages(): readonly ChatMessage[] {
    return [...this.#messages]
  }

  get maxContextTokens(): number {
    return this.#components.maxContextTokens
  }

  get tokens(): number {
    return this.#components.session.rows
  }

  send(text: string, options: GenerateOptions = {}): Generation {
    if (this.#busy) throw new InvalidArgumentError('the turn before is still under way: await its result or cancel it')
    if (typeof text !== 'string') throw new InvalidArgumentError(`the argument of send is ${typeof text}: expected a text`)
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content: text }]
    const prompt = this.#components.encode(messages, options)
    const cached = Math.min(commonLength(prompt, this.#context, this.#components.session.rows), prompt.length - 1)
    const generation = this.#components.generate(prompt, cached, options)
    this.#busy = true
    void this.#follow(generation, messages, prompt)
    return generation
  }

  async close(): Promise<void> {
    await this.#components.session.close()
  }

  /** An answer that failed leaves the conversation as it was before the turn; the caches are cut back by the next one. */
  async #follow(generation: Generation, messages: readonly ChatMessage[], prompt: readonly number[]): Promise<void> {
    try {
      const { text, tokens } = await generation.result
      this.#messages.splice(0, this.#messages.length, ...messages, { role: 'assistant', content: text })
      this.#context = [...prompt, ...tokens]
    } catch {
      this.#context = []
    } finally {
      this.#busy = false
    }
  }
}

/** How many tokens two sequences begin with in common, at most `most`. */
function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  const end = Math.min(a.length, b.length, most)
  let length = 0
  while (length < end && a[length] === b[length]) length++
  return length
}
