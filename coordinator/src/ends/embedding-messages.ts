import type { ModelId } from '@skein/protocol'

/** `workerData` of the embedding's worker. */
export interface EmbeddingWorkerInit {
  readonly folder: string
  readonly modelId: ModelId
}

export type EmbeddingRequest = { readonly kind: 'embed'; readonly tokens: Uint32Array } | { readonly kind: 'stop' }
