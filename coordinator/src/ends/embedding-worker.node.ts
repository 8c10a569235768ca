/**
 * The worker that keeps a model's table of embeddings and takes rows of it: widening a prefill chunk's rows is work for
 * milliseconds, and the table is large.
 *
 * @packageDocumentation
 */
import { workerData } from 'node:worker_threads'
import { loadEmbedding, openTensors, serve, transferable, type Embedding, type Served } from '@skein/node'
import type { EmbeddingRequest, EmbeddingWorkerInit } from './embedding-messages.ts'

async function load({ folder, modelId }: EmbeddingWorkerInit): Promise<Embedding> {
  const { config, files } = await openTensors(folder)
  try {
    const checkpoint = {
      ...{ config, modelId, folder },
      tensor: (name: string) => files.info(name),
      readBytes: (name: string) => files.readBytes(name),
      readFloat32: (name: string) => files.readFloat32(name),
      close: () => files.close()
    }
    return await loadEmbedding({ checkpoint })
  } finally {
    await files.close()
  }
}

const loaded = await load(workerData as EmbeddingWorkerInit).catch((error: unknown) => ({ error }))

serve<EmbeddingRequest>(() => {
  if ('error' in loaded) throw loaded.error
  const handle = (request: EmbeddingRequest): Served => {
    if (request.kind === 'stop') return { value: undefined, last: true }
    const rows = loaded.embeddingRows(request.tokens)
    return { value: rows, transfer: transferable([rows]) }
  }
  return { ready: undefined, handle }
})
