import { embeddingOf, type Embedding, type EmbeddingTable } from '../graph/embedding.ts'
import type { EmbeddingRequest, EmbeddingWorkerInit } from './worker/messages.ts'
import { spawnWorker } from './worker/spawn-worker.ts'
import { WorkerClient } from './worker/worker-client.ts'

/** The table of embeddings, in memory that two threads share. */
export interface EmbeddingRuntime {
  /** Takes rows on the calling thread: for a few of them that is less than the way to another thread and back. */
  readonly table: Embedding
  /**
   * Takes rows off the event loop.
   *
   * @param tokens - ids below the vocabulary's size; ownership passes to the runtime
   * @returns f32 `[R, hiddenSize]`
   * @throws RuntimeFailedError when the worker died
   */
  rows(tokens: Uint32Array<ArrayBuffer>): Promise<Float32Array>
  /** Ends the worker once it is idle. Idempotent. */
  stop(): Promise<void>
}

/** Reads a model's table of embeddings in a worker thread. @throws CheckpointError */
export async function startEmbeddingRuntime(init: EmbeddingWorkerInit): Promise<EmbeddingRuntime> {
  const worker = spawnWorker(new URL('./worker/embedding-worker.js', import.meta.url), init, 'skein-embedding')
  const client = new WorkerClient<EmbeddingRequest>(worker, 'the embedding')
  const table = embeddingOf(await client.ready<EmbeddingTable>())
  return {
    table,
    rows: (tokens) => client.call<Float32Array>(() => ({ request: { kind: 'embed', tokens }, transfer: [tokens.buffer] })),
    stop: () => client.stop({ kind: 'stop' })
  }
}
