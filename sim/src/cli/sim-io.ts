import { AbortError } from '@skein/protocol'
import { ProgressLine, type Style, styleFor, type TextSink } from '@skein/coordinator'
import type { SimEngine } from './engine.ts'

/** How another process of this command ended. */
export interface ChildResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** All that the command reaches beyond its arguments, so that a test can hand over its own. */
export interface SimComponents {
  readonly version: string
  readonly stdout: TextSink
  readonly stderr: TextSink
  readonly env: Readonly<Record<string, string | undefined>>
  readonly engine: SimEngine
  /** Runs the same command with other arguments in a process of its own. */
  readonly runChild: (argv: readonly string[], signal: AbortSignal) => Promise<ChildResult>
  /** How many processes run at a time when nobody says. */
  readonly parallelism: number
  /** Calls the listener at each interrupt (Ctrl-C, SIGTERM); returns the function that ends that. */
  readonly onInterrupt: (listener: () => void) => () => void
}

/** What one run of a command has at hand. */
export class SimContext {
  readonly components: SimComponents
  readonly signal: AbortSignal
  readonly progress: ProgressLine
  readonly style: Style

  constructor(components: SimComponents, signal: AbortSignal) {
    this.components = components
    this.signal = signal
    this.progress = new ProgressLine(components.stderr, styleFor(components.stderr, components.env))
    this.style = styleFor(components.stdout, components.env)
  }

  /** One JSON object, or lines for people. */
  print(json: boolean, object: unknown, lines: readonly string[]): void {
    this.progress.clear()
    this.components.stdout.write(json ? `${JSON.stringify(object)}\n` : `${lines.join('\n')}\n`)
  }

  /** @throws AbortError as soon as the signal fires, however long `work` goes on */
  async interruptible<T>(work: Promise<T>): Promise<T> {
    const { signal } = this
    let onAbort: (() => void) | undefined
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(new AbortError('interrupted'))
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
    })
    try {
      return await Promise.race([work, aborted])
    } finally {
      if (onAbort !== undefined) signal.removeEventListener('abort', onAbort)
      this.progress.clear()
    }
  }
}
