import { parentPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { toErrorMessage } from './messages.ts'
import type { Reply } from './messages.ts'

/** What came of a request. */
export interface Served {
  readonly value: unknown
  readonly transfer?: readonly ArrayBuffer[]
  /** Whether the worker ends after this reply. */
  readonly last?: boolean
}

/**
 * The worker's loop: `open` gives the first message and the handler of requests. When `open` throws, the error is the first
 * message and the worker ends.
 */
export function serve<Request>(open: () => { ready: unknown; handle: (request: Request) => Served }): void {
  const port = parentPort as MessagePort
  const answer = (act: () => Served): boolean => {
    let served: Served
    try {
      served = act()
    } catch (error) {
      port.postMessage({ ok: false, error: toErrorMessage(error) } satisfies Reply<unknown>)
      return false
    }
    port.postMessage({ ok: true, value: served.value } satisfies Reply<unknown>, served.transfer ?? [])
    if (served.last === true) port.close()
    return true
  }
  let handle: ((request: Request) => Served) | undefined
  const opened = answer(() => {
    const { ready, handle: handler } = open()
    handle = handler
    return { value: ready }
  })
  if (!opened) return
  port.on('message', (request: Request) => answer(() => (handle as (request: Request) => Served)(request)))
}
