import { describeError, type LogContext, type Logger } from '@skein/protocol'

type Level = 'error' | 'warn' | 'info' | 'debug'

interface Line {
  readonly atMs: number
  readonly level: Level
  readonly message: string
  readonly contexts: readonly LogContext[]
  readonly error?: unknown
}

export interface PeerLogInit {
  readonly nowMs: () => number
  /** Lines that are kept. @default 40 */
  readonly capacity?: number
  /** A line at level `error`: production code writes one when a person must act, or when it caught a mistake of its own. */
  readonly onError?: (text: string) => void
}

/** What a simulated peer says of itself: the last lines are kept, and are formatted only when somebody reads them. */
export class PeerLog {
  readonly logger: Logger
  readonly #init: PeerLogInit
  readonly #capacity: number
  readonly #ring: Line[] = []
  #next = 0

  constructor(init: PeerLogInit) {
    this.#init = init
    this.#capacity = init.capacity ?? 40
    this.logger = new LoggerOn(this, [])
  }

  add(level: Level, message: string, contexts: readonly LogContext[], error?: unknown): void {
    this.#ring[this.#next % this.#capacity] = { atMs: this.#init.nowMs(), level, message, contexts, error }
    this.#next++
    if (level === 'error') this.#init.onError?.(describeLine(this.#ring[(this.#next - 1) % this.#capacity] as Line))
  }

  /** The last lines, oldest first. */
  last(count = this.#capacity): string[] {
    const held = Math.min(this.#next, this.#capacity, count)
    return Array.from({ length: held }, (_, index) => describeLine(this.#ring[(this.#next - held + index) % this.#capacity] as Line))
  }
}

function describeLine({ atMs, level, message, contexts, error }: Line): string {
  const facts = Object.entries(Object.assign({}, ...contexts) as Record<string, unknown>)
    .map(([name, value]) => ` ${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join('')
  const cause = error === undefined ? '' : `: ${error instanceof Error && error.stack !== undefined ? error.stack : describeError(error)}`
  return `${atMs.toFixed(3)} ms ${level} ${message}${facts}${cause}`
}

class LoggerOn implements Logger {
  readonly #log: PeerLog
  readonly #contexts: readonly LogContext[]

  constructor(log: PeerLog, contexts: readonly LogContext[]) {
    this.#log = log
    this.#contexts = contexts
  }

  error(message: string, context: LogContext = {}, error?: unknown): void {
    this.#log.add('error', message, [...this.#contexts, context], error)
  }

  warn(message: string, context: LogContext = {}, error?: unknown): void {
    this.#log.add('warn', message, [...this.#contexts, context], error)
  }

  info(message: string, context: LogContext = {}): void {
    this.#log.add('info', message, [...this.#contexts, context])
  }

  debug(message: string, context: LogContext = {}): void {
    this.#log.add('debug', message, [...this.#contexts, context])
  }

  trace(): void {
    // One line per step would push everything else out of the ring.
  }

  child(context: LogContext): Logger {
    return new LoggerOn(this.#log, [...this.#contexts, context])
  }
}
