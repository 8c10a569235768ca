// eslint-disable-next-line no-restricted-imports -- no time is waited for
import { setImmediate as nextLoop } from 'node:timers/promises'
import { workerData } from 'node:worker_threads'
import { MailLine, messageCodecs } from './mailbox.ts'
import type { MailCodecs } from './mailbox.ts'
import { toErrorMessage } from './messages.ts'
import type { WorkerStart } from './spawn-worker.ts'

/** So often the event loop of a worker turns. */
const requestsPerLoop = 64

/** What came of a request. */
export interface Served<Value = unknown> {
  readonly value: Value
  readonly transfer?: readonly ArrayBuffer[]
  /** Whether the worker ends after this reply. */
  readonly last?: boolean
}

/** What a worker does once it is open. */
export interface Service<Request, Value = unknown> {
  /** The first message. */
  readonly ready: unknown
  /** @param request - valid until it returns */
  readonly handle: (request: Request) => Served<Value>
}

/**
 * The worker's loop: `open` gives the first message and the handler of requests. When `open` throws, the error is the first
 * message and the worker ends. Between requests the thread sleeps, and its event loop turns only now and then.
 *
 * @param open - given the worker's own `init`
 */
export async function serve<Init, Request, Value = unknown>(
  open: (init: Init) => Service<Request, Value> | Promise<Service<Request, Value>>,
  codecs: MailCodecs<Request, Value> = messageCodecs
): Promise<void> {
  const { init, port, requests: requestMemory, replies: replyMemory } = workerData as WorkerStart<Init>
  const requests = new MailLine(requestMemory, port, codecs.request)
  const replies = new MailLine(replyMemory, port, codecs.reply)
  const fail = (error: unknown): void => replies.send({ ok: false, error: toErrorMessage(error) })
  try {
    const { ready, handle } = await open(init)
    // The first message is of another kind, which no codec knows.
    replies.sendMessage({ ok: true, value: ready })
    for (let [last, count] = [false, 1]; !last; count++) {
      // Memory that JavaScript has let go of is freed by the event loop.
      if (count % requestsPerLoop === 0) await nextLoop()
      const request = requests.receive()
      try {
        const served = handle(request)
        replies.send({ ok: true, value: served.value }, served.transfer)
        last = served.last === true
      } catch (error) {
        fail(error)
      }
    }
  } catch (error) {
    fail(error)
  } finally {
    port.close()
  }
}
