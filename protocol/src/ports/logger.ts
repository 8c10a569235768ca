/** Facts that belong to a line. The message itself is constant text, so that lines can be searched and counted. */
export type LogContext = Readonly<Record<string, unknown>>

/**
 * Level policy. `error`: a person must act. `warn`: something is wrong and was handled. `info`: what a volunteer wants to
 * see in a quiet log: states, spans, sessions' ends. `debug`: one line per session or link event. `trace`: per step.
 * Nothing that a peer has sent is logged at `info` or above, and no activations or tokens at any level.
 */
export interface Logger {
  error(message: string, context?: LogContext, error?: unknown): void
  warn(message: string, context?: LogContext, error?: unknown): void
  info(message: string, context?: LogContext): void
  debug(message: string, context?: LogContext): void
  trace(message: string, context?: LogContext): void
  /** A logger whose lines all carry the context. */
  child(context: LogContext): Logger
}

const nothing = (): void => {}

/** Drops every line: the default of libraries and tests. */
export const silentLogger: Logger = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  trace: nothing,
  child: () => silentLogger
}
