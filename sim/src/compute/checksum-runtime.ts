import { createHash } from 'node:crypto'
import { blockCount, type BlockRange, WireError, WireErrorCode } from '@skein/protocol'
import type { CacheKey, SpanRuntime, SpanRuntimeInfo, TurnEntry, TurnOutput, TurnResult } from '@skein/node'

/** Bytes of a row: the size of a SHA-256 digest, and of a row in `raw` encoding. */
export const checksumBytes = 32

interface ChecksumCache {
  readonly tokens: number
  readonly span: BlockRange
  /** Per block of the span, per row: a digest of that block's inputs up to the row. */
  readonly digests: Uint8Array[][]
}

/**
 * A runtime whose activations are checksums. Each block maps a row's 32 bytes to a digest of that value, the block's index
 * and all earlier rows in the session's cache. The last block's output therefore depends on every block and every cache
 * entry in order: a lost, doubled, swapped or stale entry anywhere changes it.
 *
 * `computeMs` turns a turn into time; the default takes none.
 */
export class ChecksumRuntime implements SpanRuntime {
  readonly info: SpanRuntimeInfo
  readonly #caches = new Map<CacheKey, ChecksumCache>()
  readonly #computeMs: (rows: number) => Promise<void>
  #freeTokens: number

  constructor(info: SpanRuntimeInfo, computeMs: (rows: number) => Promise<void> = () => Promise.resolve()) {
    this.info = info
    this.#freeTokens = info.kvTokens
    this.#computeMs = computeMs
  }

  /** Caches that are reserved. */
  get caches(): number {
    return this.#caches.size
  }

  freeKvTokens(): number {
    return this.#freeTokens
  }

  reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    if (tokens > this.#freeTokens) {
      const detail = { freeTokens: this.#freeTokens }
      return Promise.reject(
        new WireError(WireErrorCode.KvFull, `${tokens} tokens were asked for, ${this.#freeTokens} are free`, { detail })
      )
    }
    this.#freeTokens -= tokens
    this.#caches.set(cache, { tokens, span, digests: Array.from({ length: blockCount(span) }, () => []) })
    return Promise.resolve()
  }

  async run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const outputs = entries.map((entry) => this.#compute(entry))
    await this.#computeMs(entries.reduce((sum, entry) => sum + entry.rows, 0))
    return { outputs, computeUs: 0 }
  }

  release(cache: CacheKey): Promise<void> {
    this.#freeTokens += this.#caches.get(cache)?.tokens ?? 0
    this.#caches.delete(cache)
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  #compute({ cache: key, position, rows, input }: TurnEntry): TurnOutput {
    const cache = this.#caches.get(key)
    if (cache === undefined) return { ok: false, code: WireErrorCode.Internal, message: 'there is no such cache' }
    if (position > (cache.digests[0]?.length ?? 0)) {
      return { ok: false, code: WireErrorCode.OutOfOrder, message: `position ${position} is beyond the cache` }
    }
    if (position + rows > cache.tokens) return { ok: false, code: WireErrorCode.TooLong, message: 'the reservation is used up' }
    const output = new Uint8Array(rows * checksumBytes)
    for (let row = 0; row < rows; row++) {
      const value = input.subarray(row * checksumBytes, (row + 1) * checksumBytes)
      output.set(throughBlocks(cache, position + row, value), row * checksumBytes)
    }
    return { ok: true, output }
  }
}

function throughBlocks({ digests, span }: ChecksumCache, position: number, input: Uint8Array): Uint8Array {
  let value = input
  for (const [index, block] of digests.entries()) {
    block.length = position
    const earlier = block[position - 1] ?? new Uint8Array(checksumBytes)
    value = createHash('sha256')
      .update(earlier)
      .update(value)
      .update(String(span.start + index))
      .digest()
    block.push(value)
  }
  return value
}

/** The row that stands for a token before block 0. */
export function checksumEmbedding(token: number): Uint8Array {
  return createHash('sha256').update(`token ${token}`).digest()
}
