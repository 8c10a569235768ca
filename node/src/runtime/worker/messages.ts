/**
 * What the main thread and a runtime's worker say to each other. One request is under way at a time; each gets one reply.
 *
 * @packageDocumentation
 */
import { SkeinError, WireError, describeError, isSkeinError, isWireErrorCode } from '@skein/protocol'
import type { BlockRange, ErrorDetail, ModelId } from '@skein/protocol'
import type { PreparedGraph } from '../../graph/span-graph.ts'
import type { SpanEngineInit } from '../ort/span-engine.ts'
import type { CacheKey, SpanRuntimeInfo, TurnEntry, TurnResult } from '../span-runtime.ts'

/** An error that has crossed a thread. */
export interface ErrorMessage {
  readonly code: string
  readonly message: string
  readonly detail: ErrorDetail
}

export type Reply<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: ErrorMessage }

/** What the span's worker is given. */
export interface SpanWorkerInit extends SpanEngineInit {
  /** Shared with the main thread: see `turn-gate.ts`. */
  readonly gate: SharedArrayBuffer
}

export type SpanRequest =
  | { readonly kind: 'reserve'; readonly cache: CacheKey; readonly tokens: number; readonly span: BlockRange }
  | { readonly kind: 'run'; readonly turn: number; readonly entries: readonly TurnEntry[]; readonly cancelled: boolean }
  | { readonly kind: 'release'; readonly cache: CacheKey }
  | { readonly kind: 'stop' }

/** The first message of the span's worker. */
export interface SpanReady {
  readonly info: SpanRuntimeInfo
  /** Address of the `OrtRunOptions` that every run uses, with which the main thread ends one. */
  readonly runOptions: bigint
}

/** The reply to every later request. */
export interface SpanAnswer {
  readonly freeKvTokens: number
  /** Of `run`. */
  readonly result?: TurnResult
}

/** What the head's worker is given. */
export interface HeadWorkerInit {
  readonly graph: PreparedGraph
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly threads: number
}

/** What the embedding's worker is given. */
export interface EmbeddingWorkerInit {
  readonly folder: string
  readonly modelId: ModelId
}

export type EmbeddingRequest = { readonly kind: 'embed'; readonly tokens: Uint32Array } | { readonly kind: 'stop' }

export type HeadRequest = { readonly kind: 'run'; readonly hidden: Float32Array } | { readonly kind: 'stop' }

export function toErrorMessage(error: unknown): ErrorMessage {
  const message = describeError(error)
  return isSkeinError(error) ? { code: error.code, message, detail: error.detail } : { code: 'ERR_SKEIN_INTERNAL', message, detail: {} }
}

export function fromErrorMessage({ code, message, detail }: ErrorMessage): SkeinError {
  return isWireErrorCode(code) ? new WireError(code, message, { detail }) : new SkeinError(code, message, { detail })
}

/** The buffers behind views, each once, for a transfer list. A buffer that is only partly viewed is left to be copied. */
export function transferable(views: readonly (Uint8Array | Float32Array)[]): ArrayBuffer[] {
  const whole = new Map<ArrayBuffer, boolean>()
  for (const view of views) {
    if (!(view.buffer instanceof ArrayBuffer)) continue
    const only = view.byteOffset === 0 && view.byteLength === view.buffer.byteLength && !whole.has(view.buffer)
    whole.set(view.buffer, only)
  }
  return [...whole].filter(([, only]) => only).map(([buffer]) => buffer)
}
