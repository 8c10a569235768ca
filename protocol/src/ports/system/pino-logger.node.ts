import { destination as openDestination, type Level, type Logger as PinoLogger, pino } from 'pino'
import { describeError, isSkeinError } from '../../errors.ts'
import type { Clock } from '../clock.ts'
import type { LogContext, Logger } from '../logger.ts'

export interface LoggerInit {
  readonly clock: Clock
  /** Lines below it are dropped. @default 'warn' */
  readonly level?: 'silent' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
  /** One JSON object a line, for programs, instead of text for people. @default false */
  readonly json?: boolean
  /** Where lines go. @default standard error */
  readonly destination?: { write(line: string): void }
}

/** The log of a process. Times come from the clock; lines are written at once, so that a crash loses none. */
export function createLogger(init: LoggerInit): Logger {
  const destination = init.destination ?? openDestination({ fd: 2, sync: true })
  const lines = init.json === true ? destination : { write: (line: string) => void destination.write(readable(line)) }
  const root = pino(
    {
      level: init.level ?? 'warn',
      base: null,
      timestamp: () => `,"time":"${new Date(init.clock.wallMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) }
    },
    lines
  )
  return wrap(root)
}

function wrap(log: PinoLogger): Logger {
  const write = (level: Level, message: string, context: LogContext = {}, error?: unknown): void => {
    if (log.isLevelEnabled(level)) log[level](error === undefined ? context : { ...context, error: errorFields(error) }, message)
  }
  return {
    error: (message, context, error) => write('error', message, context, error),
    warn: (message, context, error) => write('warn', message, context, error),
    info: (message, context) => write('info', message, context),
    debug: (message, context) => write('debug', message, context),
    trace: (message, context) => write('trace', message, context),
    child: (context) => wrap(log.child(context))
  }
}

function errorFields(error: unknown): Record<string, unknown> {
  const stack = error instanceof Error ? { stack: error.stack } : {}
  return isSkeinError(error)
    ? { code: error.code, message: describeError(error), ...error.detail, ...stack }
    : { message: describeError(error), ...stack }
}

/** `12:34:56.789 warn  a message key=value`, with an error's text behind a colon. Control characters cannot leave their line. */
function readable(line: string): string {
  const { level, time, msg, error, ...context } = JSON.parse(line) as Record<string, unknown>
  const clock = String(time).slice(11, 23)
  const pairs = Object.entries(context).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`
  )
  const reason = error === undefined ? '' : `: ${clean(String((error as { message?: unknown }).message))}`
  return `${clock} ${String(level).padEnd(5)} ${clean(String(msg))}${reason}${pairs.join('')}\n`
}

function quoted(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text)
}

function clean(text: string): string {
  // eslint-disable-next-line no-control-regex -- the point of the function
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
}
