import { describeError } from '@skein/protocol'
import { RuntimeFailedError } from '../runtime-errors.ts'
import { MailLine, messageCodecs } from './mailbox.ts'
import type { MailCodecs } from './mailbox.ts'
import { fromErrorMessage } from './messages.ts'
import type { Reply } from './messages.ts'
import type { SpawnedWorker } from './spawn-worker.ts'

interface Call<Request> {
  /** Made when the call's turn has come. */
  readonly makeRequest: () => { request: Request; transfer: ArrayBuffer[] }
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

/** Calls a worker, one request after another, in order. Once the worker is gone every call fails, waiting ones too. */
export class WorkerClient<Request, Value = unknown> {
  readonly #requests: MailLine<Request>
  readonly #replies: MailLine<Reply<Value>>
  readonly #waiting: Call<Request>[] = []
  #current: Call<Request> | undefined
  #failure: Error | undefined
  #stopping = false
  readonly #exited: Promise<void>

  /**
   * @param what - names the worker in errors
   * @param codecs - what the worker serves with
   */
  constructor(
    private readonly spawned: SpawnedWorker,
    private readonly what: string,
    codecs: MailCodecs<Request, Value> = messageCodecs
  ) {
    const { worker, port, requests, replies } = spawned
    this.#requests = new MailLine(requests, port, codecs.request)
    this.#replies = new MailLine(replies, port, codecs.reply)
    worker.on('error', (error) => this.#fail(`failed: ${describeError(error)}`, error))
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#fail(this.#stopping ? 'has been stopped' : `ended by itself with code ${code}`)
        resolve()
      })
    })
  }

  /** Why no call can succeed any more; undefined while all is well. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** The worker's first message, which it sends unasked. */
  ready<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        return
      }
      this.#current = {
        makeRequest: () => {
          throw new Error('the first message is not asked for')
        },
        resolve,
        reject
      }
      this.#awaitReply()
    })
  }

  /** @throws what the worker threw, or RuntimeFailedError */
  call<T>(makeRequest: Call<Request>['makeRequest']): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        return
      }
      this.#waiting.push({ makeRequest, resolve, reject })
      this.#next()
    })
  }

  /** Sends `request` after all waiting calls, and waits until the worker has ended by itself. Idempotent. */
  async stop(request: Request): Promise<void> {
    if (!this.#stopping && this.#failure === undefined) {
      this.#stopping = true
      await this.call(() => ({ request, transfer: [] })).catch(() => undefined)
    }
    await this.#exited
  }

  #next(): void {
    if (this.#current !== undefined) return
    const call = this.#waiting.shift()
    if (call === undefined) return
    this.#current = call
    try {
      const { request, transfer } = call.makeRequest()
      this.#requests.send(request, transfer)
      this.#awaitReply()
    } catch (error) {
      this.#current = undefined
      call.reject(error as Error)
      this.#next()
    }
  }

  #awaitReply(): void {
    this.#replies.receiveAsync().then(
      (reply) => this.#onReply(reply),
      (error: unknown) => {
        this.#fail(`sent what cannot be read: ${describeError(error)}`, error)
        void this.spawned.worker.terminate()
      }
    )
  }

  #onReply(reply: Reply<Value>): void {
    const call = this.#current
    this.#current = undefined
    if (call !== undefined) {
      if (reply.ok) call.resolve(reply.value as never)
      else call.reject(fromErrorMessage(reply.error))
    }
    this.#next()
  }

  #fail(message: string, cause?: unknown): void {
    this.#failure ??= new RuntimeFailedError(`the worker of ${this.what} ${message}`, cause)
    const calls = this.#current === undefined ? this.#waiting.splice(0) : [this.#current, ...this.#waiting.splice(0)]
    this.#current = undefined
    for (const call of calls) call.reject(this.#failure)
  }
}
