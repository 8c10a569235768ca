import type { HeadEngineInit } from './ort/head-engine.ts'
import { headCodecs } from './worker/head-mail.ts'
import { transferable } from './worker/messages.ts'
import { spawnWorker } from './worker/spawn-worker.ts'
import { WorkerClient } from './worker/worker-client.ts'

/** The final norm and the LM head, computed off the event loop. */
export interface HeadRuntime {
  readonly vocabSize: number
  /**
   * @param hidden - f32 `[R, hiddenSize]`, `R` at least 1; ownership passes to the runtime
   * @returns f32 `[R, vocabSize]`
   * @throws WireError `ERR_SKEIN_MALFORMED`, `ERR_SKEIN_NOT_FINITE`; RuntimeFailedError when the worker died
   */
  run(hidden: Float32Array): Promise<Float32Array>
  /** Ends the worker once it is idle. Idempotent. */
  stop(): Promise<void>
}

/** Opens a head graph in a worker thread. @throws OrtError when the graph cannot be loaded, OrtUnavailableError */
export async function startHeadRuntime(init: HeadEngineInit): Promise<HeadRuntime> {
  const worker = spawnWorker(new URL('./worker/head-worker.js', import.meta.url), init, 'skein-head')
  const client = new WorkerClient(worker, 'the LM head', headCodecs)
  await client.ready<undefined>()
  return {
    vocabSize: init.vocabSize,
    run: (hidden) => client.call<Float32Array>(() => ({ request: { kind: 'run', hidden }, transfer: transferable([hidden]) })),
    stop: () => client.stop({ kind: 'stop' })
  }
}
