import { AbortError } from '@skein/protocol'
import type { GenerationEvent, SwarmClient } from '../client/types.ts'
import { type CliComponents, TextOutput } from './cli-io.ts'
import { toConnectOptions, type OutputFlags, type SwarmFlags } from './flags.ts'
import { showPrivacyNotice } from './privacy-notice.ts'
import { eventLine } from './report.ts'
import { printable, ProgressLine, safeText, styleFor, type Style } from './terminal.ts'

/** What one run of a command has at hand: text goes to `out`, all else goes to standard error by `say`. */
export class CommandContext {
  readonly components: CliComponents
  readonly out: TextOutput
  readonly progress: ProgressLine
  readonly style: Style
  /** Whether to tell a person what goes on. */
  readonly #talkative: boolean

  constructor(components: CliComponents, flags: OutputFlags) {
    this.components = components
    this.out = new TextOutput(components.stdout)
    this.style = styleFor(components.stderr, components.env)
    this.progress = new ProgressLine(components.stderr, this.style)
    this.#talkative = flags.stats || this.progress.enabled
  }

  /** A line on standard error. */
  say(line: string): void {
    this.progress.clear()
    this.components.stderr.write(`${line}\n`)
  }

  /** A piece of an answer on standard output. */
  async text(piece: string): Promise<void> {
    this.progress.clear()
    await this.out.write(this.out.isTTY ? safeText(piece) : piece)
  }

  /** One JSON object, in one line. */
  async json(value: unknown): Promise<void> {
    this.progress.clear()
    await this.out.write(`${JSON.stringify(value)}\n`)
  }

  onEvent(event: GenerationEvent): void {
    if (event.type === 'prefill-progress') {
      if (event.doneTokens < event.totalTokens) this.progress.show(`reading the prompt: ${event.doneTokens} of ${event.totalTokens} tokens`)
      else this.progress.clear()
    }
    const line = eventLine(event)
    if (line === undefined || !this.#talkative) return
    const newline = this.out.isTTY && this.progress.enabled ? '\n' : ''
    this.say(this.style('dim', `${newline}${line}`))
  }

  /** @throws AbortError with the command's own words when `signal` fired */
  async connect(flags: SwarmFlags, signal: AbortSignal, coverageTimeoutMs?: number): Promise<SwarmClient> {
    try {
      signal.throwIfAborted()
      return await this.components.connect({
        ...toConnectOptions(flags),
        ...(coverageTimeoutMs === undefined ? {} : { coverageTimeoutMs }),
        signal,
        onProgress: ({ phase, message, fraction }) => {
          if (phase === 'ready') this.progress.clear()
          else this.progress.show(fraction === undefined ? message : `${message} ${Math.round(100 * fraction)} %`)
        }
      })
    } catch (error) {
      if (signal.aborted) throw new AbortError('interrupted')
      throw error
    } finally {
      this.progress.clear()
    }
  }

  async privacyNotice(flags: SwarmFlags): Promise<void> {
    await showPrivacyNotice(await this.components.storage(flags.dataDir), (text) => this.say(this.style('yellow', printable(text))))
  }
}

/**
 * Runs `body` with a signal that the first interrupt fires; the second one ends the process, in case the first has not. The
 * signal also fires when nobody reads standard output any more.
 */
export async function interruptible<T>(
  { components, out }: CommandContext,
  exitCode: number,
  body: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  const stop = components.onInterrupt(() => (controller.signal.aborted ? components.exit(exitCode) : abort()))
  out.broken.addEventListener('abort', abort)
  try {
    return await body(controller.signal)
  } finally {
    out.broken.removeEventListener('abort', abort)
    stop()
  }
}
