/**
 * Runs one long computation in a worker thread: the event loop never computes.
 *
 * @packageDocumentation
 */
import { Worker, type ResourceLimits } from 'node:worker_threads'
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
export type WorkerReply<Progress, Result> =
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

export function toThrownMessage(error: unknown): ThrownMessage {
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
