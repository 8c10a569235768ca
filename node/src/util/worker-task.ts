/**
 * Runs one long computation in a worker thread: the event loop never computes.
 *
 * @packageDocumentation
 */
import { parentPort, Worker, workerData, type ResourceLimits } from 'node:worker_threads'
import { AbortError, isSkeinError, type ErrorDetail } from '@skein/protocol'
import { workerArguments } from './worker-arguments.ts'

/** An error in a form that crosses a thread with its code. */
export interface ThrownMessage {
  readonly name: string
  readonly code: string | undefined
  readonly message: string
  readonly detail: ErrorDetail
  /** Where an error that nobody expected was thrown. */
  readonly stack?: string
}

/** What a worker posts; it takes its input from `workerData`, and `'abort'` as a message. */
type WorkerReply<Progress, Result> =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'failed'; readonly error: ThrownMessage }

export interface WorkerTaskOptions<Progress> {
  readonly onProgress?: (progress: Progress) => void
  /** Asks the worker to stop; it cleans up first, so the call may take a moment to reject. */
  readonly signal?: AbortSignal
  /** Of the worker's heap. @default those of the process */
  readonly resourceLimits?: ResourceLimits
}

function toThrownMessage(error: unknown): ThrownMessage {
  if (isSkeinError(error)) return { name: error.name, code: error.code, message: error.message, detail: error.detail }
  if (error instanceof Error) {
    const stack = error.stack === undefined ? {} : { stack: error.stack }
    return { name: error.name, code: undefined, message: error.message, detail: {}, ...stack }
  }
  return { name: 'Error', code: undefined, message: String(error), detail: {} }
}

/**
 * Starts `entry` (a compiled module) with `input` as its `workerData` and waits for its one result.
 *
 * @param revive makes the error that a caller sees from one that the worker threw
 * @throws what `revive` makes, or AbortError
 */
export async function runWorkerTask<Input, Progress, Result>(
  entry: URL,
  input: Input,
  revive: (thrown: ThrownMessage) => Error,
  options: WorkerTaskOptions<Progress> = {}
): Promise<Result> {
  const { signal, onProgress, resourceLimits } = options
  if (signal?.aborted) throw new AbortError()
  const worker = new Worker(entry, {
    workerData: input,
    execArgv: workerArguments(),
    ...(resourceLimits === undefined ? {} : { resourceLimits })
  })
  const abort = (): void => worker.postMessage('abort')
  signal?.addEventListener('abort', abort)
  try {
    return await new Promise<Result>((resolve, reject) => {
      worker.on('message', (reply: WorkerReply<Progress, Result>) => {
        if (reply.kind === 'progress') onProgress?.(reply.progress)
        else if (reply.kind === 'done') resolve(reply.result)
        else reject(revive(reply.error))
      })
      worker.on('error', (error) => reject(error))
      worker.on('exit', (code) => reject(new Error(`the worker thread ended with code ${code} and no result`)))
    })
  } finally {
    signal?.removeEventListener('abort', abort)
    await worker.terminate()
  }
}

/** What a task is given in its thread. */
export interface WorkerTaskContext<Progress> {
  /** Fires when the caller gives up. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
}

/** The other side of {@link runWorkerTask}: all that the module of a task calls, in its thread. */
export async function serveWorkerTask<Input, Progress, Result>(
  run: (input: Input, context: WorkerTaskContext<Progress>) => Promise<Result>
): Promise<void> {
  const port = parentPort
  if (port === null) throw new Error('the module of a task must be started as a worker thread')
  const controller = new AbortController()
  port.on('message', (message: unknown) => {
    if (message === 'abort') controller.abort()
  })
  const post = (reply: WorkerReply<Progress, Result>): void => port.postMessage(reply)
  try {
    const onProgress = (progress: Progress): void => post({ kind: 'progress', progress })
    post({ kind: 'done', result: await run(workerData as Input, { signal: controller.signal, onProgress }) })
  } catch (error) {
    post({ kind: 'failed', error: toThrownMessage(error) })
  }
  port.close()
}
