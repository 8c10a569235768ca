/**
 * The only way in to computation. Production runs ONNX Runtime in a worker thread; tests and the simulator hand over
 * others. Everything above (sessions, batching, the daemon) knows just this interface.
 *
 * @packageDocumentation
 */
import type { AbortOptions, BlockRange, Numerics, TensorEncoding } from '@skein/protocol'

/** Names a KV cache in a runtime: the session's key. */
export type CacheKey = string

export interface SpanRuntimeInfo {
  /** The hosted span, in blocks of the model. */
  readonly span: BlockRange
  /** Where a stage may begin or end, ascending, both ends of the span included. */
  readonly entryPoints: readonly number[]
  readonly hiddenSize: number
  readonly numerics: Numerics
  /** The model's context, in tokens: no cache can be larger. */
  readonly contextTokens: number
  /** Rows of KV cache in all. */
  readonly kvTokens: number
}

/** Rows of one session in a turn. */
export interface TurnEntry {
  readonly cache: CacheKey
  /** Where the first row goes in the cache; what lies beyond is cut off first. At most the cache's present row count. */
  readonly position: number
  readonly rows: number
  /** Blocks that these rows pass through: the same on every turn of a cache. */
  readonly span: BlockRange
  readonly exact: boolean
  readonly encoding: TensorEncoding
  /** `[rows, hiddenSize]`, row-major, in `encoding`. Ownership passes to the runtime. */
  readonly input: Uint8Array
}

/** What came of one entry: its output rows, or why there are none. An entry that fails leaves its cache at `position` rows. */
export type TurnOutput =
  | { readonly ok: true; readonly output: Uint8Array }
  /** `ERR_SKEIN_NOT_FINITE`, `ERR_SKEIN_TOO_LONG`, `ERR_SKEIN_INTERNAL`, ... */
  | { readonly ok: false; readonly code: string; readonly message: string }

export interface TurnResult {
  /** One per entry, in order; `[rows, hiddenSize]` in the entry's encoding. */
  readonly outputs: readonly TurnOutput[]
  /** Time that the computation itself took. */
  readonly computeUs: number
}

export interface SpanRuntime {
  readonly info: SpanRuntimeInfo
  /** Rows of KV cache that no session has reserved. */
  freeKvTokens(): number
  /** Reserves room for `tokens` rows. @throws WireError `ERR_SKEIN_KV_FULL`, `ERR_SKEIN_TOO_LONG` */
  reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void>
  /**
   * Computes one turn: rows of several caches at once, each cache at most once. Turns run one after another, in the order
   * of the calls. Rejects only when the runtime as a whole has failed.
   */
  run(entries: readonly TurnEntry[], options?: AbortOptions): Promise<TurnResult>
  /** Drops a cache; it need not exist. Takes effect after the turns already handed over. */
  release(cache: CacheKey): Promise<void>
  /** Ends the worker once the present turn is done. Idempotent. */
  stop(): Promise<void>
}
