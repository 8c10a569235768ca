import { MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { workerArguments } from '../../util/worker-arguments.ts'
import { makeMailMemory } from './mailbox.ts'

/** `workerData` of every worker that serves: what it is to do, and what its mail goes through. */
export interface WorkerStart<Init> {
  readonly init: Init
  readonly port: MessagePort
  readonly requests: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
}

/** A worker, and this end of its mail. */
export interface SpawnedWorker extends Omit<WorkerStart<unknown>, 'init'> {
  readonly worker: Worker
}

/**
 * Starts a worker from a compiled module that calls `serve`. Workers do not inherit loaders of TypeScript, so this and what
 * it starts run from `dist`.
 *
 * @param module - the module's URL, with the suffix `.js`: `new URL('./span-worker.js', import.meta.url)`
 * @param init - structured-cloneable
 */
export function spawnWorker(module: URL, init: unknown, name: string): SpawnedWorker {
  const { port1, port2 } = new MessageChannel()
  const mail = { requests: makeMailMemory(), replies: makeMailMemory() }
  const workerData: WorkerStart<unknown> = { init, port: port2, ...mail }
  const worker = new Worker(module, { workerData, transferList: [port2], name, execArgv: workerArguments(), stdout: false, stderr: false })
  return { worker, port: port1, ...mail }
}
