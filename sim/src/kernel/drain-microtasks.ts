/**
 * Resolves when every microtask that is queued, and every one that those queue, has run. The kernel is the one place of
 * the simulator that touches the real event loop; it takes about a microsecond and no virtual time.
 */
export async function drainMicrotasks(): Promise<void> {
  // eslint-disable-next-line no-restricted-globals -- no timer: the end of the current turn of the event loop
  await new Promise<void>((resolve) => void setImmediate(resolve))
}
