import assert from 'node:assert/strict'
import type { CacheKey, SpanRuntime, TurnEntry, TurnResult } from '@skein/node'
import type { BlockRange } from '@skein/protocol'
import type { Distribution } from '../scenario/scenario.ts'

export const exponential = (mean: number): Distribution => ({ kind: 'exponential', mean })

/** What a client asks in the worlds in which planted bugs must show. */
export const asking = {
  kind: 'closed',
  startMs: { kind: 'constant', value: 3_000 },
  thinkMs: exponential(500),
  promptTokens: exponential(60),
  outputTokens: exponential(60),
  maxRequests: 1_000
} as const

/** A bug in the runtime of every node. What it does not spoil goes through. */
export abstract class Mutant implements SpanRuntime {
  protected readonly inner: SpanRuntime

  constructor(inner: SpanRuntime) {
    this.inner = inner
  }

  get info() {
    return this.inner.info
  }

  freeKvTokens(): number {
    return this.inner.freeKvTokens()
  }

  reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    return this.inner.reserve(cache, tokens, span)
  }

  run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    return this.inner.run(entries)
  }

  release(cache: CacheKey): Promise<void> {
    return this.inner.release(cache)
  }

  stop(): Promise<void> {
    return this.inner.stop()
  }
}

/** A cut-back leaves the first of the rows that it should drop where it is: what follows comes after it. */
export class StaleRows extends Mutant {
  readonly #rows = new Map<CacheKey, number>()
  readonly #kept = new Map<CacheKey, number>()

  override run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const moved = entries.map((entry) => {
      const { cache, position, rows } = entry
      if (position < (this.#rows.get(cache) ?? 0)) this.#kept.set(cache, (this.#kept.get(cache) ?? 0) + 1)
      this.#rows.set(cache, position + rows)
      return { ...entry, position: position + (this.#kept.get(cache) ?? 0) }
    })
    return super.run(moved)
  }

  override release(cache: CacheKey): Promise<void> {
    this.#rows.delete(cache)
    this.#kept.delete(cache)
    return super.release(cache)
  }
}

/** Replaces a property of a prototype for a while: a bug that is planted in production code. @returns what takes it out again */
export function patched(prototype: object, name: string, make: (original: PropertyDescriptor) => PropertyDescriptor): () => void {
  const original = Object.getOwnPropertyDescriptor(prototype, name) ?? assert.fail(`there is no ${name} to plant a bug in`)
  Object.defineProperty(prototype, name, make(original))
  return () => void Object.defineProperty(prototype, name, original)
}
