import { createInterface, type Interface } from 'node:readline'
import { exitCodes } from '@skein/node'
import { AbortError, describeError, isSkeinError } from '@skein/protocol'
import type { ChatSession, Generation, GenerationResult, SwarmClient } from '../client/types.ts'
import type { CliComponents } from './cli-io.ts'
import { CommandContext, interruptible } from './command-context.ts'
import { toGenerateOptions, type GenerationFlags, type OutputFlags, type SwarmFlags } from './flags.ts'
import { generationReport, logprobLines, statsLines } from './report.ts'
import { streamAnswer } from './run.ts'
import { printable } from './terminal.ts'

export interface ChatFlags extends SwarmFlags, GenerationFlags, OutputFlags {
  /** Room for the whole conversation. */
  readonly maxContextTokens?: number
}

const help = [
  '/help    this list',
  '/reset   forget the conversation and begin a new one',
  '/stats   the chain, the times and the length of the conversation',
  '/quit    leave (so does Ctrl-D)',
  '//...    say something that begins with a /',
  'Ctrl-C stops an answer; at the prompt, twice, it leaves.'
]

/**
 * `skein chat`: a conversation, one line a turn. Where standard input is no terminal, each of its lines is a turn and the first
 * failure ends the command.
 *
 * @returns the exit code: 0 at the end of the input, 130 when Ctrl-C ended it
 */
export async function chat(flags: ChatFlags, components: CliComponents): Promise<number> {
  const context = new CommandContext(components, flags)
  await context.privacyNotice(flags)
  // Ctrl-C gives up connecting; once there is a prompt, it has other meanings.
  const { client, session } = await interruptible(context, exitCodes.interrupted, (signal) => open(flags, context, signal))
  try {
    return await new Chat(client, session, flags, context).run()
  } finally {
    await client.close()
  }
}

async function open(
  flags: ChatFlags,
  context: CommandContext,
  signal: AbortSignal
): Promise<{ client: SwarmClient; session: ChatSession }> {
  const client = await context.connect(flags, signal)
  try {
    return { client, session: await openSession(client, flags, signal) }
  } catch (error) {
    await client.close()
    if (signal.aborted) throw new AbortError('interrupted')
    throw error
  }
}

async function openSession(client: SwarmClient, flags: ChatFlags, signal?: AbortSignal): Promise<ChatSession> {
  return client.session({
    ...(flags.system === undefined ? {} : { system: flags.system }),
    ...(flags.maxContextTokens === undefined ? {} : { maxContextTokens: flags.maxContextTokens }),
    ...(signal === undefined ? {} : { signal })
  })
}

class Chat {
  readonly #client: SwarmClient
  readonly #flags: ChatFlags
  readonly #context: CommandContext
  readonly #interactive: boolean
  #session: ChatSession
  #last: GenerationResult | undefined
  #answer: Generation | undefined
  #stopping = false
  /** One Ctrl-C came at the prompt: the next one leaves. */
  #armed = false
  #ended: number | undefined
  /** No more lines will come; those that are there are still answered. */
  #closed = false
  /** Lines that were typed during an answer. */
  #typedAhead = 0
  #awaitsLine = false

  constructor(client: SwarmClient, session: ChatSession, flags: ChatFlags, context: CommandContext) {
    this.#client = client
    this.#session = session
    this.#flags = flags
    this.#context = context
    const { stdin, stderr } = context.components
    this.#interactive = stdin.isTTY === true && stderr.isTTY === true
  }

  async run(): Promise<number> {
    const { stdin, stderr, onInterrupt } = this.#context.components
    const reader = createInterface({ input: stdin, output: this.#interactive ? stderr : undefined, terminal: this.#interactive })
    const interrupt = (): void => this.#onInterrupt(reader)
    // A terminal in raw mode gives Ctrl-C to the reader; otherwise it is a signal.
    reader.on('SIGINT', interrupt)
    reader.on('close', () => (this.#closed = true))
    reader.on('line', () => {
      if (!this.#awaitsLine) this.#typedAhead++
      this.#awaitsLine = false
    })
    const stopListening = onInterrupt(interrupt)
    const leave = (): void => this.#leave(reader, exitCodes.done)
    this.#context.out.broken.addEventListener('abort', leave)
    try {
      if (this.#interactive) this.#context.say(this.#context.style('dim', 'type /help for help, Ctrl-D to leave'))
      await this.#turns(reader)
      await this.#context.out.flush()
      return this.#ended ?? exitCodes.done
    } finally {
      this.#context.out.broken.removeEventListener('abort', leave)
      stopListening()
      reader.close()
      await this.#session.close()
    }
  }

  async #turns(reader: Interface): Promise<void> {
    reader.setPrompt(this.#context.style('bold', '> '))
    // Taken before the first await: lines that come before an iterator exists are lost.
    const lines = reader[Symbol.asyncIterator]()
    let prompted: boolean
    for (;;) {
      const isThere = this.#typedAhead > 0
      this.#awaitsLine = !isThere
      // After Ctrl-D during an answer there is nothing to wait for. The beginning of a line that was typed during it stays.
      prompted = this.#interactive && !this.#closed && !isThere
      if (prompted) reader.prompt(true)
      const next = await lines.next()
      if (next.done === true || this.#ended !== undefined) break
      this.#armed = false
      if (isThere) {
        this.#typedAhead--
        // The terminal has shown it in the middle of the answer.
        if (this.#interactive) this.#context.say(`${reader.getPrompt()}${printable(next.value)}`)
      }
      try {
        await this.#turn(next.value.trim(), reader)
      } catch (error) {
        if (!this.#interactive) throw error
        const isFull = isSkeinError(error) && 'contextTokens' in error.detail
        this.#context.say(`skein: ${describeError(error)}${isFull ? '; /reset begins a new conversation' : ''}`)
      }
    }
    // The prompt that Ctrl-D was typed at has no newline.
    if (prompted) this.#context.say('')
  }

  async #turn(line: string, reader: Interface): Promise<void> {
    if (line === '') return
    if (line.startsWith('/') && !line.startsWith('//')) return this.#command(line, reader)
    const generation = this.#session.send(line.startsWith('//') ? line.slice(1) : line, {
      ...toGenerateOptions(this.#flags),
      onEvent: (event) => this.#context.onEvent(event)
    })
    this.#answer = generation
    this.#stopping = false
    try {
      this.#last = await streamAnswer(generation, this.#context, !this.#flags.json)
    } finally {
      this.#answer = undefined
    }
    await this.#report(this.#last)
  }

  async #report(result: GenerationResult): Promise<void> {
    if (this.#flags.json) await this.#context.json(generationReport(result))
    else if (result.logprobs !== undefined) logprobLines(result.logprobs).forEach((line) => this.#context.say(line))
    if (this.#flags.stats) statsLines(result).forEach((line) => this.#context.say(line))
    if (result.finishReason === 'cancelled' && !this.#context.out.broken.aborted) this.#context.say(this.#context.style('dim', '(stopped)'))
  }

  async #command(line: string, reader: Interface): Promise<void> {
    switch (line) {
      case '/help':
        return help.forEach((text) => this.#context.say(text))
      case '/reset':
        await this.#session.close()
        this.#session = await openSession(this.#client, this.#flags)
        this.#last = undefined
        return this.#context.say('a new conversation')
      case '/stats':
        if (this.#last !== undefined) statsLines(this.#last).forEach((text) => this.#context.say(text))
        return this.#context.say(
          `conversation     ${this.#session.messages.length} messages, ${this.#session.tokens} of ${this.#session.maxContextTokens} tokens`
        )
      case '/quit':
      case '/exit':
        return this.#leave(reader, exitCodes.done)
      default:
        return this.#context.say(`there is no ${line.split(/\s/)[0]}; /help lists the commands`)
    }
  }

  #onInterrupt(reader: Interface): void {
    if (this.#answer !== undefined) {
      // The first has had no effect yet, so the caches on the nodes are left to the end of their lease.
      if (this.#stopping) return this.#context.components.exit(exitCodes.interrupted)
      this.#stopping = true
      void this.#cancel(this.#answer)
    } else if (this.#armed || !this.#interactive) {
      this.#leave(reader, exitCodes.interrupted)
    } else {
      this.#armed = true
      // What was typed is dropped, as a shell does.
      reader.write(null, { ctrl: true, name: 'e' })
      reader.write(null, { ctrl: true, name: 'u' })
      this.#context.say(`\n${this.#context.style('dim', '(Ctrl-C again or Ctrl-D leaves)')}`)
      reader.prompt()
    }
  }

  async #cancel(answer: Generation): Promise<void> {
    try {
      await answer.cancel()
    } catch (error) {
      this.#context.say(`skein: ${describeError(error)}`)
    }
  }

  #leave(reader: Interface, code: number): void {
    this.#ended ??= code
    if (this.#answer !== undefined) void this.#cancel(this.#answer)
    reader.close()
  }
}
