import { exitCodes } from '@skein/node'
import { InvalidArgumentError } from '@skein/protocol'
import type { ChatMessage } from '../text/chat-message.ts'
import type { Generation, GenerationResult, SwarmClient } from '../client/types.ts'
import type { CliComponents } from './cli-io.ts'
import { CommandContext, interruptible } from './command-context.ts'
import { toGenerateOptions, type GenerationFlags, type OutputFlags, type SwarmFlags } from './flags.ts'
import { readPrompt } from './read-prompt.ts'
import { generationReport, logprobLines, statsLines } from './report.ts'

export interface RunFlags extends SwarmFlags, GenerationFlags, OutputFlags {
  /** Send the text as it is, without the chat template. */
  readonly raw: boolean
}

/**
 * `skein run`: answers one prompt.
 *
 * @returns the exit code
 * @throws InvalidArgumentError, AbortError, and what the SDK throws
 */
export async function runPrompt(argument: string, flags: RunFlags, components: CliComponents): Promise<number> {
  if (flags.raw && flags.system !== undefined) {
    throw new InvalidArgumentError('--system needs the chat template, which --raw leaves out')
  }
  const context = new CommandContext(components, flags)
  return interruptible(context, exitCodes.interrupted, async (signal) => {
    const prompt = await readPrompt(argument, flags.raw, components.stdin, signal, (line) => context.say(context.style('dim', line)))
    await context.privacyNotice(flags)
    const client = await context.connect(flags, signal)
    try {
      const result = await answer(client, prompt, flags, context, signal)
      await report(result, flags, context)
      const interrupted = result.finishReason === 'cancelled' && !context.out.broken.aborted
      return interrupted ? exitCodes.interrupted : exitCodes.done
    } finally {
      context.progress.clear()
      await client.close()
    }
  })
}

async function answer(
  client: SwarmClient,
  prompt: string,
  flags: RunFlags,
  context: CommandContext,
  signal: AbortSignal
): Promise<GenerationResult> {
  const messages: ChatMessage[] = [
    { role: 'system', content: flags.system ?? '' },
    { role: 'user', content: prompt }
  ]
  const generation = client.generate(flags.system === undefined ? prompt : messages, {
    ...toGenerateOptions(flags),
    raw: flags.raw,
    signal,
    onEvent: (event) => context.onEvent(event)
  })
  return streamAnswer(generation, context, !flags.json)
}

/** Passes the pieces on as they come, and ends the line. */
export async function streamAnswer(generation: Generation, context: CommandContext, visible: boolean): Promise<GenerationResult> {
  // It rejects with what the loop throws, which would then be an unhandled rejection.
  generation.result.catch(() => undefined)
  try {
    for await (const piece of generation) {
      if (visible) await context.text(piece.text)
    }
    return await generation.result
  } finally {
    context.progress.clear()
    await context.out.endLine()
  }
}

async function report(result: GenerationResult, flags: RunFlags, context: CommandContext): Promise<void> {
  if (flags.json) await context.json(generationReport(result))
  else if (result.logprobs !== undefined) logprobLines(result.logprobs).forEach((line) => context.say(line))
  if (flags.stats) statsLines(result).forEach((line) => context.say(line))
  if (result.finishReason === 'cancelled' && !context.out.broken.aborted) context.say('skein: interrupted')
  await context.out.flush()
}
