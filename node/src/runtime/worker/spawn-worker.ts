import { Worker } from 'node:worker_threads'

/**
 * Starts a worker from a compiled module. Workers do not inherit loaders of TypeScript, so this and what it starts run
 * from `dist`.
 *
 * @param module - the module's URL, with the suffix `.js`: `new URL('./span-worker.js', import.meta.url)`
 * @param init - its `workerData`, structured-cloneable
 */
export function spawnWorker(module: URL, init: unknown, name: string): Worker {
  return new Worker(module, { workerData: init, name, stdout: false, stderr: false })
}
