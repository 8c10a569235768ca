import type { ChatMessage, ChatSession, Generation, GenerationEvent, SwarmClient } from '@skein/coordinator'
import type { Random, SessionId } from '@skein/protocol'
import type { WorldModel } from '../compute/world-model.ts'
import type { OpenGeneration } from '../record/recorder.ts'
import type { StageRecord } from '../record/run-record.ts'
import { ClientGoneError } from './client-life.ts'

/** What came of it. It was compared with the reference already: a wrong answer is in the world's violations. */
export interface SimAnswer {
  readonly outcome: 'completed' | 'failed' | 'unfinished'
  /** Printable text of what came, whole or not. */
  readonly text: string
  readonly tokens: readonly number[]
  /** One undisturbed machine's tokens for the prompt. */
  readonly expected: readonly number[]
  readonly error?: unknown
  readonly recoveries: number
}

/** A message of a simulated user. */
export interface SimMessage {
  /** @default a text of `promptTokens` characters, drawn from the seed, or of what there is room for */
  readonly text?: string
  /** @default 32 */
  readonly promptTokens?: number
  /** @default 16 */
  readonly outputTokens?: number
  /** The user stops the answer after so many tokens of it; 0: while the prompt is read. */
  readonly stopAfter?: number
}

/** An answer that is about to be asked for. */
export interface Asked {
  readonly record: OpenGeneration
  readonly prompt: string
  /** Asked for at once; the generation's tokens are compared with it. */
  readonly expected: readonly number[]
  readonly stopAfter?: number | undefined
  readonly ask: (onEvent: (event: GenerationEvent) => void) => Promise<Generation>
}

/** What a conversation needs of its client. */
export interface ConversationHost {
  readonly model: WorldModel
  readonly contextTokens: number
  /** @default the SDK's own */
  readonly roomTokens?: number | undefined
  readonly swarm: () => Promise<SwarmClient>
  /** Rejects as soon as the process that the conversation is in has ended. */
  readonly alive: <T>(promise: Promise<T>) => Promise<T>
  readonly wallMs: () => number
  /** Of the text of the next message. */
  readonly random: () => Random
  readonly begin: (promptTokens: number, turn: number) => OpenGeneration
  /** A turn goes on in a session that is open. */
  readonly resumed: (record: OpenGeneration, key: string, chain: readonly StageRecord[]) => void
  readonly keyOf: (session: SessionId) => string
  /** Follows the answer and judges it; never rejects. */
  readonly answer: (asked: Asked) => Promise<SimAnswer>
  readonly violated: (record: OpenGeneration, text: string) => void
}

/**
 * A user's conversation by the SDK's `client.session()`. What was said is kept here as well, as the user saw it: each answer must
 * be what one undisturbed machine gives for the whole of it, whatever the caches held before.
 */
export class SimConversation {
  readonly #host: ConversationHost
  #messages: ChatMessage[] = []
  #turns = 0
  #session: ChatSession | undefined
  #isClosed = false
  /** Of the session that is open, for the recorder. */
  #key: string | undefined
  #last: OpenGeneration | undefined

  constructor(host: ConversationHost) {
    this.#host = host
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages
  }

  /** Room for the whole of it, in tokens: what the nodes had left when it opened. */
  get maxContextTokens(): number {
    return this.#session?.maxContextTokens ?? Math.min(this.#host.contextTokens, this.#host.roomTokens ?? Infinity)
  }

  /** Says something and checks the answer. Never rejects. @returns undefined when there is no room for another message */
  async send(message: SimMessage = {}): Promise<SimAnswer | undefined> {
    const { model, begin, answer, violated } = this.#host
    const drawn = message.text ?? this.#draw(message.promptTokens ?? 32)
    if (drawn === undefined || !this.#fits(drawn)) return undefined
    const turn = ++this.#turns
    const record = begin(this.#encode(drawn).length, turn)
    // What a liar has spoilt in an earlier turn is in the caches still.
    for (const node of this.#last?.nodesEver ?? []) record.nodesEver.add(node)
    const failure = await this.#open()
    const text = this.#clipped(drawn)
    const prompt = this.#encode(text)
    Object.assign(record, { promptTokens: prompt.length })
    const maxTokens = Math.min(message.outputTokens ?? 16, this.maxContextTokens - prompt.length)
    let promptTokens: number | undefined
    const given = await answer({
      ...{ record, prompt: text, stopAfter: message.stopAfter },
      expected: await model.reference(prompt, maxTokens),
      ask: (onEvent) => {
        if (this.#session === undefined) return Promise.reject(failure ?? new Error('the conversation is closed'))
        const generation = this.#ask(this.#session, record, text, maxTokens, onEvent)
        void generation.result.then(
          (result) => (promptTokens = result.promptTokens),
          () => {}
        )
        return Promise.resolve(generation)
      }
    })
    this.#last = record
    if (given.outcome === 'completed') {
      this.#messages = [...this.#messages, { role: 'user', content: text }, { role: 'assistant', content: given.text }]
    }
    if (given.outcome === 'failed') this.#key = undefined
    if (promptTokens !== undefined && promptTokens !== prompt.length)
      violated(record, `the prompt has ${promptTokens} tokens by the client, and ${prompt.length} by what was said`)
    if (given.outcome !== 'unfinished' && this.#session !== undefined && !sameMessages(this.#session.messages, this.#messages))
      violated(record, 'the messages that the client keeps are not those that were said')
    return given
  }

  /** Frees what it holds in the swarm; what a process held that has ended, its leases free. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#session === undefined) return
    await this.#host.alive(this.#session.close()).catch((error: unknown) => {
      if (!(error instanceof ClientGoneError)) throw error
    })
  }

  async #open(): Promise<Error | undefined> {
    if (this.#session !== undefined || this.#isClosed) return undefined
    try {
      const { roomTokens, swarm, alive } = this.#host
      const opened = swarm().then((client) => client.session(roomTokens === undefined ? {} : { maxContextTokens: roomTokens }))
      this.#session = await alive(opened)
      return undefined
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  #ask(
    session: ChatSession,
    record: OpenGeneration,
    text: string,
    maxTokens: number,
    onEvent: (event: GenerationEvent) => void
  ): Generation {
    // Without rows it was lost, and is opened anew: that is an event of its own.
    if (this.#key !== undefined && session.tokens > 0) this.#host.resumed(record, this.#key, this.#last?.chain ?? [])
    return session.send(text, {
      maxTokens,
      onEvent: (event) => {
        if (event.type === 'chain-opened') this.#key = this.#host.keyOf(event.session)
        onEvent(event)
      }
    })
  }

  /** The whole prompt that a message makes, as the model's template has it. */
  #encode(text: string): number[] {
    const { chatTemplate, tokenizer } = this.#host.model.text
    const prompt = chatTemplate.render([...this.#messages, { role: 'user', content: text }], { nowMs: this.#host.wallMs() })
    return tokenizer.encode(prompt, { addSpecialTokens: false })
  }

  #fits(text: string): boolean {
    return this.#encode(text).length < this.maxContextTokens
  }

  #draw(tokens: number): string | undefined {
    const { model, random } = this.#host
    const room = this.maxContextTokens - this.#encode('').length - 1
    return room < 1 ? undefined : model.drawPrompt(Math.min(tokens, room), random())
  }

  /** The nodes may have had less room than the model's context: the user then says less. */
  #clipped(text: string): string {
    let clipped = text
    while (clipped.length > 1 && !this.#fits(clipped)) {
      clipped = clipped.slice(0, -Math.max(1, this.#encode(clipped).length - this.maxContextTokens + 1))
    }
    return clipped
  }
}

function sameMessages(a: readonly ChatMessage[], b: readonly ChatMessage[]): boolean {
  return a.length === b.length && a.every(({ role, content }, index) => role === b[index]?.role && content === b[index].content)
}
