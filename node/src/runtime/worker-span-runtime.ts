import type { AbortOptions, BlockRange } from '@skein/protocol'
import { ortApi } from './ort/api.ts'
import { OrtRunOptions } from './ort/session.ts'
import type { SpanEngineInit } from './ort/span-engine.ts'
import type { CacheKey, SpanRuntime, SpanRuntimeInfo, TurnEntry, TurnResult } from './span-runtime.ts'
import { transferable } from './worker/messages.ts'
import type { SpanAnswer, SpanReady, SpanRequest, SpanWorkerInit } from './worker/messages.ts'
import { spanCodecs } from './worker/span-mail.ts'
import { spawnWorker } from './worker/spawn-worker.ts'
import { cancelTurn, makeGate } from './worker/turn-gate.ts'
import { WorkerClient } from './worker/worker-client.ts'

/** A runtime that has a worker, and may lose it. */
export interface WorkerSpanRuntime extends SpanRuntime {
  /** Why the runtime can compute nothing any more; undefined while all is well. */
  readonly failure: Error | undefined
}

/**
 * Opens a span in a worker thread.
 *
 * A turn whose signal fires resolves, with outputs that failed with `ERR_SKEIN_ABORTED`, after the operator under way.
 *
 * @throws OrtError when a graph cannot be loaded, OrtUnavailableError, RuntimeFailedError when the worker dies
 */
export async function startSpanRuntime(init: SpanEngineInit): Promise<WorkerSpanRuntime> {
  const gate = makeGate()
  const workerInit: SpanWorkerInit = { ...init, gate }
  const worker = spawnWorker(new URL('./worker/span-worker.js', import.meta.url), workerInit, 'skein-span')
  const client = new WorkerClient(worker, `blocks ${init.prepared.span.start}:${init.prepared.span.end}`, spanCodecs)
  const ready = await client.ready<SpanReady>()
  return new SpanRuntimeInWorker(client, ready, gate)
}

class SpanRuntimeInWorker implements WorkerSpanRuntime {
  readonly info: SpanRuntimeInfo
  readonly #runOptions: bigint
  #freeKvTokens: number
  #lastTurn = 0

  constructor(
    private readonly client: WorkerClient<SpanRequest, SpanAnswer>,
    ready: SpanReady,
    private readonly gate: SharedArrayBuffer
  ) {
    this.info = ready.info
    this.#runOptions = ready.runOptions
    this.#freeKvTokens = ready.info.kvTokens
  }

  get failure(): Error | undefined {
    return this.client.failure
  }

  freeKvTokens(): number {
    return this.failure === undefined ? this.#freeKvTokens : 0
  }

  async reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    await this.#call(() => ({ request: { kind: 'reserve', cache, tokens, span }, transfer: [] }))
  }

  async run(entries: readonly TurnEntry[], options: AbortOptions = {}): Promise<TurnResult> {
    const { signal } = options
    this.#lastTurn = (this.#lastTurn % 0x3fff_ffff) + 1
    const turn = this.#lastTurn
    const cancel = (): void => cancelTurn(this.gate, turn, () => OrtRunOptions.terminate(this.#runOptions))
    // Loaded here so that giving up a turn does not wait for it.
    if (signal !== undefined) ortApi()
    try {
      const answer = await this.#call(() => {
        // Until it is handed over, a turn is given up by this flag; from then on by the gate, which knows one turn.
        const cancelled = signal?.aborted === true
        if (!cancelled) signal?.addEventListener('abort', cancel)
        return { request: { kind: 'run', turn, entries, cancelled }, transfer: transferable(entries.map((entry) => entry.input)) }
      })
      return answer.result as TurnResult
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  async release(cache: CacheKey): Promise<void> {
    try {
      await this.#call(() => ({ request: { kind: 'release', cache }, transfer: [] }))
    } catch (error) {
      // Nothing is left to release once the worker is gone.
      if (this.failure === undefined) throw error
    }
  }

  async stop(): Promise<void> {
    await this.client.stop({ kind: 'stop' })
  }

  async #call(makeRequest: () => { request: SpanRequest; transfer: ArrayBuffer[] }): Promise<SpanAnswer> {
    const answer = await this.client.call<SpanAnswer>(makeRequest)
    this.#freeKvTokens = answer.freeKvTokens
    return answer
  }
}
