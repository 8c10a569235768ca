import { describeError, type Logger } from '@skein/protocol'

/**
 * Tells a listener of the caller's. What it throws is logged and has no effect, also what an `async` one throws later: that would
 * end the process as an unhandled rejection, far from whoever could catch it.
 */
export function tell<T>(listener: ((value: T) => unknown) | undefined, value: T, logger: Logger, of: string): void {
  const failed = (error: unknown): void => logger.warn(`a listener of ${of} threw`, { reason: describeError(error) })
  try {
    const result = listener?.(value)
    if (result instanceof Promise) result.catch(failed)
  } catch (error) {
    failed(error)
  }
}
