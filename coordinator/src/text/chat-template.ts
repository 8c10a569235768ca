import * as z from 'zod'
import type { ChatMessage } from './chat-message.ts'
import { ChatTemplateError } from './errors.ts'
import { jinjaEnvironment, parseJinja, runJinja, type JinjaEnvironment, type JinjaProgram } from './huggingface.ts'
import { strftime } from './strftime.ts'

/** Bounds on rendering, which runs on the event loop and cannot be interrupted. */
export const chatTemplateLimits = {
  /** The largest published template has about 20 KiB. */
  maxTemplateChars: 256 * 1024,
  /** All texts of all messages and tools, as JSON. */
  maxInputChars: 8 * 1024 * 1024,
  maxOutputChars: 16 * 1024 * 1024,
  /** Messages are at most so many, and so is what a template's `range()` may give. */
  maxItems: 100_000
} as const

export interface ChatTemplateFiles {
  /** The parsed `tokenizer_config.json`, or `{}`. */
  readonly config: unknown
  /** The text of `chat_template.jinja`, which goes before the template in `tokenizer_config.json`. */
  readonly template?: string
}

export interface RenderOptions {
  /** Ends the prompt with the head of an assistant's message. @default true */
  readonly addGenerationPrompt?: boolean
  /** Passed to the template as they are. A model may have a template of its own for prompts with tools. */
  readonly tools?: readonly unknown[]
  /** The wall clock, for templates that write the date. Without it a template sees no `strftime_now`. */
  readonly nowMs?: number
}

const tokenSchema = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish()
const configSchema = z.looseObject({
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
  bos_token: tokenSchema,
  eos_token: tokenSchema,
  pad_token: tokenSchema,
  unk_token: tokenSchema
})

/** A model's chat template: turns a conversation into the text of a prompt, as Hugging Face's `apply_chat_template` does. */
export class ChatTemplate {
  readonly #sources: ReadonlyMap<string, string>
  readonly #tokens: Readonly<Record<string, string>>
  readonly #parsed = new Map<string, JinjaProgram>()

  /** Parses nothing yet, so that a model whose template is broken or missing can still be used without it. */
  constructor(files: ChatTemplateFiles) {
    const config = configSchema.safeParse(files.config)
    const given = config.data?.chat_template
    const named = typeof given === 'string' ? [{ name: 'default', template: given }] : (given ?? [])
    const sources = new Map(named.map(({ name, template }) => [name, template]))
    if (files.template !== undefined) sources.set('default', files.template)
    this.#sources = sources
    this.#tokens = config.success ? namedTokens(config.data) : {}
  }

  /** Whether the model has a template. */
  get exists(): boolean {
    return this.#sources.size > 0
  }

  /**
   * The prompt of a conversation. It holds its special tokens itself: encode it with `addSpecialTokens: false`.
   *
   * @throws ChatTemplateError, whose `reason` says why
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const tools = options.tools !== undefined && options.tools.length > 0 ? options.tools : undefined
    const program = this.#program(tools !== undefined && this.#sources.has('tool_use') ? 'tool_use' : 'default')
    checkInput(messages, tools)
    const environment = makeEnvironment(options.nowMs)
    for (const [name, text] of Object.entries(this.#tokens)) environment.set(name, text)
    environment.set('messages', messages)
    if (tools !== undefined) environment.set('tools', tools)
    environment.set('add_generation_prompt', options.addGenerationPrompt ?? true)
    let text: unknown
    try {
      text = runJinja(program, environment)
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error)
      throw new ChatTemplateError('refused', `the model's chat template refused the conversation: ${cause}`, { cause: error })
    }
    if (typeof text !== 'string') throw new ChatTemplateError('invalid', "the model's chat template gave no text")
    if (text.length > chatTemplateLimits.maxOutputChars) throw tooLong('the prompt', text.length, chatTemplateLimits.maxOutputChars)
    return text
  }

  #program(name: string): JinjaProgram {
    const cached = this.#parsed.get(name)
    if (cached !== undefined) return cached
    const source = this.#sources.get(name)
    if (source === undefined) {
      throw new ChatTemplateError(
        'missing',
        this.exists
          ? `the model has no chat template named '${name}', only ${[...this.#sources.keys()].join(', ')}`
          : 'the model has no chat template: send the prompt as plain text (raw), or use a model that was trained for chat'
      )
    }
    if (source.length > chatTemplateLimits.maxTemplateChars) {
      throw tooLong("the model's chat template", source.length, chatTemplateLimits.maxTemplateChars)
    }
    let program: JinjaProgram
    try {
      program = parseJinja(source)
    } catch (error) {
      throw new ChatTemplateError('invalid', "the model's chat template cannot be parsed", { cause: error })
    }
    this.#parsed.set(name, program)
    return program
  }
}

/** The globals that chat templates are written against; `range` has a bound, and time is handed in. */
function makeEnvironment(nowMs: number | undefined): JinjaEnvironment {
  const environment = jinjaEnvironment()
  for (const [name, value] of Object.entries({ false: false, true: true, none: null, False: false, True: true, None: null })) {
    environment.set(name, value)
  }
  environment.set('raise_exception', (message: unknown) => {
    throw new Error(String(message))
  })
  environment.set('range', boundedRange)
  if (nowMs !== undefined) environment.set('strftime_now', (format: unknown) => strftime(String(format), nowMs))
  return environment
}

function boundedRange(first: number, second?: number | null, step: number | null = 1): number[] {
  const [start, end] = typeof second === 'number' ? [first, second] : [0, first]
  const by = typeof step === 'number' ? step : 1
  const count = Math.max(0, Math.ceil((end - start) / by))
  if (!Number.isFinite(count) || count > chatTemplateLimits.maxItems) {
    throw new Error(`range() of ${count} numbers: at most ${chatTemplateLimits.maxItems} are allowed`)
  }
  return Array.from({ length: count }, (_, index) => start + index * by)
}

function namedTokens(config: z.infer<typeof configSchema>): Record<string, string> {
  const tokens: Record<string, string> = {}
  for (const name of ['bos_token', 'eos_token', 'pad_token', 'unk_token'] as const) {
    const token = config[name]
    if (token !== null && token !== undefined) tokens[name] = typeof token === 'string' ? token : token.content
  }
  return tokens
}

function checkInput(messages: readonly ChatMessage[], tools: readonly unknown[] | undefined): void {
  const { maxItems, maxInputChars } = chatTemplateLimits
  if (messages.length > maxItems) throw tooLong('the conversation', messages.length, maxItems, 'messages')
  let chars = tools === undefined ? 0 : JSON.stringify(tools).length
  for (const message of messages) {
    chars += typeof message.content === 'string' ? message.content.length : JSON.stringify(message).length
    if (chars > maxInputChars) throw tooLong('the conversation', chars, maxInputChars)
  }
}

function tooLong(what: string, length: number, bound: number, unit = 'characters'): ChatTemplateError {
  return new ChatTemplateError('too-long', `${what} has ${length} ${unit}: at most ${bound} are allowed`, {
    detail: { length, bound }
  })
}
