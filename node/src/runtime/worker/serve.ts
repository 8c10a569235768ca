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

/** What a worker does once it is open. */
export interface Service<Request> {
  /** The first message. */
  readonly ready: unknown
  readonly handle: (request: Request) => Served
}

/**
 * The worker's loop: `open` gives the first message and the handler of requests. When `open` throws, the error is the first
 * message and the worker ends.
 */
export async function serve<Request>(open: () => Service<Request> | Promise<Service<Request>>): Promise<void> {
  const port = parentPort as MessagePort
  const fail = (error: unknown): void => port.postMessage({ ok: false, error: toErrorMessage(error) } satisfies Reply<unknown>)
  const answer = ({ value, transfer = [], last = false }: Served): void => {
    port.postMessage({ ok: true, value } satisfies Reply<unknown>, transfer)
    if (last) port.close()
  }
  let service: Service<Request>
  try {
    service = await open()
  } catch (error) {
    fail(error)
    return
  }
  const { ready, handle } = service
  answer({ value: ready })
  port.on('message', (request: Request) => {
    let served: Served
    try {
      served = handle(request)
    } catch (error) {
      fail(error)
      return
    }
    answer(served)
  })
}
