import { blockCount, type BlockRange, WireError, WireErrorCode } from '@skein/protocol'
import type { CacheKey, SpanRuntime, SpanRuntimeInfo, TurnEntry, TurnOutput, TurnResult } from '@skein/node'
import { BytePool } from '../kernel/byte-pool.ts'
import { checksumBytes, mixThroughBlock, rowWords, stateWords } from './checksum-row.ts'

interface ChecksumCache {
  /** Reserved rows. */
  readonly tokens: number
  readonly span: BlockRange
  /** Per row, per block of the span: the block's state after the row. Grows with the rows. */
  states: Int32Array
  rows: number
}

export interface ChecksumRuntimeOptions {
  /** Takes the time of a turn; returns the microseconds that it says it took. @default none */
  readonly spend?: (entries: readonly TurnEntry[]) => Promise<number>
  /** Changes outputs before they go out: a lying node. */
  readonly tamper?: (output: Uint8Array) => void
}

/**
 * A runtime whose activations are checksums. Each block maps a row's 32 bytes to a mix of that value, the block's index
 * and all earlier rows in the session's cache. The last block's output therefore depends on every block and every cache
 * entry in order: a lost, doubled, swapped or stale entry anywhere changes it.
 */
export class ChecksumRuntime implements SpanRuntime {
  readonly info: SpanRuntimeInfo
  readonly #caches = new Map<CacheKey, ChecksumCache>()
  readonly #options: ChecksumRuntimeOptions
  #freeTokens: number

  constructor(info: SpanRuntimeInfo, options: ChecksumRuntimeOptions = {}) {
    this.info = info
    this.#freeTokens = info.kvTokens
    this.#options = options
  }

  /** Caches that are reserved. */
  get caches(): number {
    return this.#caches.size
  }

  cacheKeys(): IterableIterator<CacheKey> {
    return this.#caches.keys()
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
    this.#caches.set(cache, { tokens, span, states: new Int32Array(0), rows: 0 })
    return Promise.resolve()
  }

  async run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const outputs = entries.map((entry) => this.#compute(entry))
    const { spend } = this.#options
    return { outputs, computeUs: spend === undefined ? 0 : await spend(entries) }
  }

  release(cache: CacheKey): Promise<void> {
    this.#freeTokens += this.#caches.get(cache)?.tokens ?? 0
    this.#caches.delete(cache)
    return Promise.resolve()
  }

  stop(): Promise<void> {
    this.#caches.clear()
    this.#freeTokens = this.info.kvTokens
    return Promise.resolve()
  }

  #compute({ cache: key, position, rows, input }: TurnEntry): TurnOutput {
    const cache = this.#caches.get(key)
    if (cache === undefined) return { ok: false, code: WireErrorCode.Internal, message: 'there is no such cache' }
    if (position > cache.rows) return { ok: false, code: WireErrorCode.OutOfOrder, message: `position ${position} is beyond the cache` }
    if (position + rows > cache.tokens) return { ok: false, code: WireErrorCode.TooLong, message: 'the reservation is used up' }
    if (input.byteLength < rows * checksumBytes)
      return { ok: false, code: WireErrorCode.Internal, message: `${rows} rows came in ${input.byteLength} bytes` }
    const output = throughBlocks(cache, position, rows, input)
    cache.rows = position + rows
    this.#options.tamper?.(output)
    return { ok: true, output }
  }
}

const noState = new Int32Array(stateWords)
/** Histories keep outputs for as long as a session. */
const outputs = new BytePool()

function throughBlocks(cache: ChecksumCache, position: number, rows: number, input: Uint8Array): Uint8Array {
  const blocks = blockCount(cache.span)
  const perRow = blocks * stateWords
  grow(cache, (position + rows) * perRow)
  const { states, span } = cache
  const output = outputs.copy(input.subarray(0, rows * checksumBytes))
  const words = new Int32Array(output.buffer, output.byteOffset, rows * rowWords)
  for (let index = 0; index < rows; index++) {
    const rowAt = index * rowWords
    const at = (position + index) * perRow
    for (let block = 0; block < blocks; block++) {
      const here = at + block * stateWords
      if (here >= perRow) mixThroughBlock(words, rowAt, states, here - perRow, span.start + block)
      else mixThroughBlock(words, rowAt, noState, 0, span.start + block)
      for (let word = 0; word < stateWords; word++) states[here + word] = words[rowAt + word]!
    }
  }
  return output
}

function grow(cache: ChecksumCache, words: number): void {
  if (cache.states.length >= words) return
  const most = cache.tokens * blockCount(cache.span) * stateWords
  const larger = new Int32Array(Math.min(most, Math.max(words, 2 * cache.states.length)))
  larger.set(cache.states)
  cache.states = larger
}
