/**
 * The worker that keeps a model's table of embeddings and takes rows of it: widening a prefill chunk's rows is work for
 * milliseconds, and the table is large.
 *
 * @packageDocumentation
 */
import { openTensors } from '../../checkpoint/open-checkpoint.ts'
import { embeddingOf, loadEmbeddingTable, type EmbeddingTable } from '../../graph/embedding.ts'
import type { EmbeddingRequest, EmbeddingWorkerInit } from './messages.ts'
import { transferable } from './messages.ts'
import { serve } from './serve.ts'
import type { Served } from './serve.ts'

/** Read at once into memory that is then shared: a whole table may be half a gigabyte, and is not to be there twice. */
const pieceBytes = 8 * 2 ** 20

async function load({ folder, modelId }: EmbeddingWorkerInit): Promise<EmbeddingTable> {
  const { config, files } = await openTensors(folder)
  const readShared = async (name: string): Promise<Uint8Array> => {
    const { byteLength = 0 } = files.info(name) ?? {}
    const bytes = new Uint8Array(new SharedArrayBuffer(byteLength))
    for (let offset = 0; offset < byteLength; offset += pieceBytes) {
      bytes.set(await files.readRange(name, offset, Math.min(pieceBytes, byteLength - offset)), offset)
    }
    return bytes
  }
  try {
    const checkpoint = {
      ...{ config, modelId, folder },
      tensor: (name: string) => files.info(name),
      readBytes: readShared,
      readFloat32: (name: string) => files.readFloat32(name),
      close: () => files.close()
    }
    return await loadEmbeddingTable({ checkpoint })
  } finally {
    await files.close()
  }
}

void serve<EmbeddingWorkerInit, EmbeddingRequest>(async (init) => {
  const loaded = await load(init)
  const embedding = embeddingOf(loaded)
  const handle = (request: EmbeddingRequest): Served => {
    if (request.kind === 'stop') return { value: undefined, last: true }
    const rows = embedding.embeddingRows(request.tokens)
    return { value: rows, transfer: transferable([rows]) }
  }
  return { ready: loaded, handle }
})
