import { addAbortSignal } from 'node:stream'
import { AbortError, InvalidArgumentError } from '@skein/protocol'
import type { TextSource } from './cli-io.ts'

/** More than the context of any model; what is larger was piped in by mistake. */
const maxPromptBytes = 16 * 2 ** 20

/**
 * The prompt that a command was given; `-` reads standard input to its end. The newline that ends the input is not part of the
 * prompt, unless the text is to be sent `raw`.
 *
 * @param say tells a person at a terminal what is waited for
 * @throws InvalidArgumentError on an empty prompt, on bytes that are no UTF-8
 * @throws AbortError when the signal fires before the end of the input
 */
export async function readPrompt(
  argument: string,
  raw: boolean,
  stdin: TextSource,
  signal: AbortSignal,
  say: (line: string) => void
): Promise<string> {
  if (argument === '-' && stdin.isTTY === true) say('reads the prompt until Ctrl-D on a line of its own')
  const given = argument === '-' ? await readAll(stdin, signal) : argument
  const text = argument === '-' && !raw ? given.replace(/\r?\n$/, '') : given
  if (raw ? text === '' : text.trim() === '') throw new InvalidArgumentError('the prompt is empty')
  return text
}

async function readAll(stdin: TextSource, signal: AbortSignal): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const part of addAbortSignal(signal, stdin) as AsyncIterable<Uint8Array | string>) {
      const chunk = typeof part === 'string' ? new TextEncoder().encode(part) : part
      bytes += chunk.byteLength
      if (bytes > maxPromptBytes) throw new InvalidArgumentError(`the prompt on standard input is longer than ${maxPromptBytes} bytes`)
      parts.push(chunk)
    }
  } catch (error) {
    if (signal.aborted) throw new AbortError('interrupted')
    throw error
  }
  return decodeUtf8(Buffer.concat(parts))
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new InvalidArgumentError('the prompt on standard input is not UTF-8 text')
  }
}
