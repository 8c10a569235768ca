/**
 * Calls a protocol's handler and contains what it throws, at once or later: an `async` function is a handler too, and its
 * rejection must not end the process.
 */
export function runHandler(handler: () => unknown, onFailure: (error: unknown) => void): void {
  try {
    const result = handler()
    if (result instanceof Promise) result.catch(onFailure)
  } catch (error) {
    onFailure(error)
  }
}
