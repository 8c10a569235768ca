import type { AbortOptions, BlockRange, Clock } from '@skein/protocol'
import { SpanEngine } from './ort/span-engine.ts'
import type { SpanEngineInit } from './ort/span-engine.ts'
import { RuntimeFailedError } from './runtime-errors.ts'
import type { CacheKey, SpanRuntime, SpanRuntimeInfo, TurnEntry, TurnResult } from './span-runtime.ts'

/** Computes on the calling thread, which it blocks: for tests and benchmarks. Everything else uses `startSpanRuntime`. */
export class OrtSpanRuntime implements SpanRuntime {
  readonly info: SpanRuntimeInfo
  readonly engine: SpanEngine
  #stopped = false

  /** @throws OrtError when a graph cannot be loaded */
  constructor(init: SpanEngineInit, components: { readonly clock: Pick<Clock, 'monotonicMs'> }) {
    this.engine = SpanEngine.openSync(init, components.clock)
    this.info = this.engine.info
  }

  freeKvTokens(): number {
    return this.#stopped ? 0 : this.engine.store.freeTokens
  }

  async reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    this.#requireRunning()
    this.engine.reserve(cache, tokens, span)
  }

  async run(entries: readonly TurnEntry[], options: AbortOptions = {}): Promise<TurnResult> {
    this.#requireRunning()
    const cancelled = (): boolean => options.signal?.aborted === true
    return this.engine.run(entries, { cancelled, runOptions: null })
  }

  async release(cache: CacheKey): Promise<void> {
    if (!this.#stopped) this.engine.release(cache)
  }

  async stop(): Promise<void> {
    if (!this.#stopped) this.engine.close()
    this.#stopped = true
  }

  #requireRunning(): void {
    if (this.#stopped) throw new RuntimeFailedError('the runtime has been stopped')
  }
}
