/**
 * The KV caches of all sessions of a node. A cache lives in a slot; the slots of one capacity class lie side by side, per
 * block and per key or value, as one f32 tensor `[slots, kvHeads, capacityRows, headDim]`. Consecutive slots are therefore a
 * window that attention reads and appends to in place, and nothing is copied from step to step.
 *
 * @packageDocumentation
 */
import { WireError, WireErrorCode, blockCount, containsRange, formatBlockRange } from '@skein/protocol'
import type { BlockRange } from '@skein/protocol'
import { pageMemory } from './ort/memory.ts'
import type { NativeMemory } from './ort/memory.ts'
import type { CacheKey } from './span-runtime.ts'

export interface KvStoreInit {
  /** The hosted span. */
  readonly span: BlockRange
  readonly kvHeads: number
  readonly headDim: number
  /** The model's context: no cache can be larger. */
  readonly contextTokens: number
  /** Rows that may be reserved in all. */
  readonly kvTokens: number
  /** The smallest capacity class, in rows; each further one has twice as many. @default 256 */
  readonly smallestClassTokens?: number
  /** The most slots that lie side by side, and so the widest window. @default 8 */
  readonly slotsPerSegment?: number
  /** Where memory comes from: zeroed, and taken only where it is touched. @default pageMemory */
  readonly allocate?: (byteLength: number) => NativeMemory
  /** Called before a segment's memory is given back. */
  readonly onSegmentFreed?: (segment: KvSegment) => void
}

/** Slots of one capacity class that lie side by side, for every block of the span. */
export interface KvSegment {
  /** Unique in its store; never used again. */
  readonly id: number
  readonly slots: number
  /** Rows of a slot, the spare one included: `C` of the graph's inputs. */
  readonly capacityRows: number
  readonly memory: NativeMemory
}

/** A view of consecutive slots: f32 `[slots, kvHeads, capacityRows, headDim]`. */
export interface KvWindow {
  readonly memory: NativeMemory
  readonly byteOffset: number
  readonly shape: readonly [number, number, number, number]
}

interface Cache {
  readonly span: BlockRange
  tokens: number
  rows: number
  segment: Segment
  slot: number
}

interface Segment extends KvSegment {
  readonly classTokens: number
  /** Per slot, the cache in it. */
  readonly caches: (Cache | undefined)[]
}

const floatBytes = 4

/** See the top of this file. All methods are synchronous; a store belongs to one thread. */
export class KvStore {
  readonly #init: Required<Omit<KvStoreInit, 'onSegmentFreed'>> & Pick<KvStoreInit, 'onSegmentFreed'>
  readonly #caches = new Map<CacheKey, Cache>()
  /** By capacity class, in the order of their making. */
  readonly #segments = new Map<number, Segment[]>()
  readonly #segmentsById = new Map<number, Segment>()
  #reservedTokens = 0
  #nextSegmentId = 0

  constructor(init: KvStoreInit) {
    this.#init = { smallestClassTokens: 256, slotsPerSegment: 8, allocate: pageMemory, ...init }
  }

  /** Rows that nobody has reserved. */
  get freeTokens(): number {
    return this.#init.kvTokens - this.#reservedTokens
  }

  /** Caches that are reserved. */
  get size(): number {
    return this.#caches.size
  }

  has(key: CacheKey): boolean {
    return this.#caches.has(key)
  }

  /**
   * Reserves an empty cache for `tokens` rows of the blocks of `span`.
   *
   * @throws WireError `ERR_SKEIN_TOO_LONG` when the model's context is shorter, `ERR_SKEIN_KV_FULL` when the budget is used
   * up, `ERR_SKEIN_SESSION_EXISTS`, `ERR_SKEIN_WRONG_SPAN`
   */
  reserve(key: CacheKey, tokens: number, span: BlockRange): void {
    if (this.#caches.has(key)) throw new WireError(WireErrorCode.SessionExists, 'this session has a KV cache already')
    if (!containsRange(this.#init.span, span)) {
      throw new WireError(WireErrorCode.WrongSpan, `blocks ${formatBlockRange(span)} are not in ${formatBlockRange(this.#init.span)}`)
    }
    this.#checkBudget(tokens, tokens)
    const { segment, slot } = this.#takeSlot(tokens)
    const cache: Cache = { span, tokens, rows: 0, segment, slot }
    segment.caches[slot] = cache
    this.#caches.set(key, cache)
    this.#reservedTokens += tokens
  }

  /** Raises a reservation to `tokens` rows; the rows are copied when the cache needs a larger slot. @throws as `reserve` does */
  grow(key: CacheKey, tokens: number): void {
    const cache = this.#cache(key)
    if (tokens <= cache.tokens) return
    this.#checkBudget(tokens, tokens - cache.tokens)
    if (tokens > cache.segment.classTokens) {
      const old = { ...cache }
      const { segment, slot } = this.#takeSlot(tokens)
      segment.caches[slot] = cache
      cache.segment = segment
      cache.slot = slot
      this.#copyRows(old, cache, cache.rows)
      this.#freeSlot(old.segment, old.slot)
    }
    this.#reservedTokens += tokens - cache.tokens
    cache.tokens = tokens
  }

  /** Drops a cache and gives its memory back. It need not exist. */
  release(key: CacheKey): void {
    const cache = this.#caches.get(key)
    if (cache === undefined) return
    this.#caches.delete(key)
    this.#reservedTokens -= cache.tokens
    this.#freeSlot(cache.segment, cache.slot)
  }

  /** Rows that the cache holds. @throws WireError `ERR_SKEIN_UNKNOWN_SESSION` */
  rows(key: CacheKey): number {
    return this.#cache(key).rows
  }

  /** Rows that were reserved. @throws WireError `ERR_SKEIN_UNKNOWN_SESSION` */
  reservedTokens(key: CacheKey): number {
    return this.#cache(key).tokens
  }

  /** The blocks that the cache was reserved for. @throws WireError `ERR_SKEIN_UNKNOWN_SESSION` */
  span(key: CacheKey): BlockRange {
    return this.#cache(key).span
  }

  /** Drops the rows from `rows` on. The bytes stay until they are overwritten. @throws WireError */
  cut(key: CacheKey, rows: number): void {
    const cache = this.#cache(key)
    requireRows(rows, cache.rows, 'the rows that the cache holds')
    cache.rows = rows
  }

  /** Says that attention has written rows up to `rows`. @throws WireError */
  fill(key: CacheKey, rows: number): void {
    const cache = this.#cache(key)
    requireRows(rows, cache.tokens, 'the reservation')
    cache.rows = rows
  }

  /** Makes the first `rows` rows of `to` those of `from`, whose blocks must include those of `to`. @throws WireError */
  copyPrefix(from: CacheKey, to: CacheKey, rows: number): void {
    const source = this.#cache(from)
    const target = this.#cache(to)
    if (!containsRange(source.span, target.span)) {
      throw new WireError(
        WireErrorCode.WrongSpan,
        `a cache of ${formatBlockRange(source.span)} has no rows of ${formatBlockRange(target.span)}`
      )
    }
    requireRows(rows, source.rows, 'the rows that the cache holds')
    requireRows(rows, target.tokens, 'the reservation')
    if (source !== target) this.#copyRows(source, target, rows)
    target.rows = rows
  }

  /**
   * A copy of the rows `[start, end)`: per block of the cache's span its keys and then its values, each f32
   * `[kvHeads, end - start, headDim]`. @throws WireError
   */
  export(key: CacheKey, start: number, end: number): Uint8Array {
    const cache = this.#cache(key)
    requireRows(end, cache.rows, 'the rows that the cache holds')
    requireRows(start, end, 'the end of the range')
    const partBytes = (end - start) * this.#rowBytes
    const out = new Uint8Array(2 * blockCount(cache.span) * this.#init.kvHeads * partBytes)
    let offset = 0
    for (const part of this.#parts(cache, start, partBytes)) {
      out.set(part, offset)
      offset += partBytes
    }
    return out
  }

  /** Writes rows from `start` on, in the form of `export`; what lay beyond is dropped. @throws WireError */
  import(key: CacheKey, start: number, bytes: Uint8Array): void {
    const cache = this.#cache(key)
    requireRows(start, cache.rows, 'the rows that the cache holds')
    const bytesPerToken = 2 * blockCount(cache.span) * this.#init.kvHeads * this.#rowBytes
    if (bytes.byteLength % bytesPerToken !== 0) {
      throw new WireError(WireErrorCode.Malformed, `${bytes.byteLength} bytes are no whole number of KV rows of ${bytesPerToken} bytes`)
    }
    const count = bytes.byteLength / bytesPerToken
    requireRows(start + count, cache.tokens, 'the reservation')
    const partBytes = count * this.#rowBytes
    let offset = 0
    for (const part of this.#parts(cache, start, partBytes)) {
      part.set(bytes.subarray(offset, offset + partBytes))
      offset += partBytes
    }
    cache.rows = start + count
  }

  /** Where a cache lies. @throws WireError `ERR_SKEIN_UNKNOWN_SESSION` */
  place(key: CacheKey): { readonly segment: KvSegment; readonly slot: number } {
    const { segment, slot } = this.#cache(key)
    return { segment, slot }
  }

  /** Rows that the cache in a slot holds; 0 for a free slot. */
  rowsInSlot(segmentId: number, slot: number): number {
    return this.#segmentsById.get(segmentId)?.caches[slot]?.rows ?? 0
  }

  /** @throws RangeError when there is no such segment */
  segment(segmentId: number): KvSegment {
    const segment = this.#segmentsById.get(segmentId)
    if (segment === undefined) throw new RangeError(`there is no KV segment ${segmentId}`)
    return segment
  }

  /** The keys or values of one block in `count` consecutive slots. @throws RangeError */
  window(segment: KvSegment, block: number, part: 'key' | 'value', slot: number, count: number): KvWindow {
    if (slot < 0 || count < 1 || slot + count > segment.slots || block < this.#init.span.start || block >= this.#init.span.end) {
      throw new RangeError(`block ${block}, slots ${slot} to ${slot + count} are not in a segment of ${segment.slots} slots`)
    }
    const { kvHeads, headDim } = this.#init
    return {
      memory: segment.memory,
      byteOffset: this.#slotOffset(segment, block, part === 'key' ? 0 : 1, slot),
      shape: [count, kvHeads, segment.capacityRows, headDim]
    }
  }

  /** Drops everything. */
  close(): void {
    for (const segment of [...this.#segmentsById.values()]) this.#freeSegment(segment)
    this.#caches.clear()
    this.#reservedTokens = 0
  }

  get #rowBytes(): number {
    return this.#init.headDim * floatBytes
  }

  #cache(key: CacheKey): Cache {
    const cache = this.#caches.get(key)
    if (cache === undefined) throw new WireError(WireErrorCode.UnknownSession, 'this session has no KV cache here: open it first')
    return cache
  }

  #checkBudget(tokens: number, more: number): void {
    const { contextTokens, kvTokens } = this.#init
    if (!Number.isSafeInteger(tokens) || tokens < 1) {
      throw new WireError(WireErrorCode.Malformed, `a KV cache needs at least 1 row, not ${tokens}`)
    }
    if (tokens > contextTokens) {
      const message = `a KV cache of ${tokens} rows is larger than the model's context of ${contextTokens} tokens`
      throw new WireError(WireErrorCode.TooLong, message, { detail: { tokens, contextTokens } })
    }
    const freeTokens = this.freeTokens
    if (more > freeTokens) {
      const message = `${more} rows of KV cache were asked for, but only ${freeTokens} of ${kvTokens} are free`
      throw new WireError(WireErrorCode.KvFull, message, { detail: { freeTokens, kvTokens } })
    }
  }

  #classOf(tokens: number): number {
    let classTokens = this.#init.smallestClassTokens
    while (classTokens < tokens) classTokens *= 2
    return Math.min(classTokens, this.#init.contextTokens)
  }

  /** The lowest free slot of the first segment that has one, so that caches lie close together. */
  #takeSlot(tokens: number): { segment: Segment; slot: number } {
    const classTokens = this.#classOf(tokens)
    const segments = this.#segments.get(classTokens) ?? []
    this.#segments.set(classTokens, segments)
    for (const segment of segments) {
      const slot = segment.caches.indexOf(undefined)
      if (slot >= 0) return { segment, slot }
    }
    const segment = this.#makeSegment(classTokens)
    segments.push(segment)
    this.#segmentsById.set(segment.id, segment)
    return { segment, slot: 0 }
  }

  #makeSegment(classTokens: number): Segment {
    const { span, kvHeads, kvTokens, slotsPerSegment, smallestClassTokens, allocate } = this.#init
    // No more slots than the budget could ever fill: all but the smallest class hold more than half their capacity.
    const fewest = classTokens <= smallestClassTokens ? 1 : Math.floor(classTokens / 2) + 1
    const slots = Math.max(1, Math.min(slotsPerSegment, Math.floor(kvTokens / fewest)))
    const capacityRows = classTokens + 1
    const byteLength = 2 * blockCount(span) * slots * kvHeads * capacityRows * this.#rowBytes
    const caches = new Array<Cache | undefined>(slots).fill(undefined)
    return { id: this.#nextSegmentId++, slots, capacityRows, classTokens, caches, memory: allocate(byteLength) }
  }

  #freeSlot(segment: Segment, slot: number): void {
    segment.caches[slot] = undefined
    if (segment.caches.every((cache) => cache === undefined)) {
      this.#freeSegment(segment)
      return
    }
    const slotBytes = this.#slotBytes(segment)
    for (let block = this.#init.span.start; block < this.#init.span.end; block++) {
      for (const part of [0, 1] as const) segment.memory.discard(this.#slotOffset(segment, block, part, slot), slotBytes)
    }
  }

  #freeSegment(segment: Segment): void {
    this.#init.onSegmentFreed?.(segment)
    const segments = this.#segments.get(segment.classTokens) ?? []
    segments.splice(segments.indexOf(segment), 1)
    this.#segmentsById.delete(segment.id)
    segment.memory.free()
  }

  #slotBytes(segment: KvSegment): number {
    return this.#init.kvHeads * segment.capacityRows * this.#rowBytes
  }

  #slotOffset(segment: KvSegment, block: number, part: 0 | 1, slot: number): number {
    return ((2 * (block - this.#init.span.start) + part) * segment.slots + slot) * this.#slotBytes(segment)
  }

  /** Views of `byteLength` bytes from row `start` on, per block, key and value, and head. */
  *#parts(place: Pick<Cache, 'segment' | 'slot' | 'span'>, start: number, byteLength: number): Generator<Uint8Array> {
    const { segment, slot, span } = place
    const headBytes = segment.capacityRows * this.#rowBytes
    for (let block = span.start; block < span.end; block++) {
      for (const part of [0, 1] as const) {
        const offset = this.#slotOffset(segment, block, part, slot) + start * this.#rowBytes
        for (let head = 0; head < this.#init.kvHeads; head++) yield segment.memory.bytes(offset + head * headBytes, byteLength)
      }
    }
  }

  #copyRows(from: Cache, to: Cache, rows: number): void {
    const byteLength = rows * this.#rowBytes
    const sources = this.#parts({ ...from, span: to.span }, 0, byteLength)
    for (const target of this.#parts(to, 0, byteLength)) target.set(sources.next().value as Uint8Array)
  }
}

function requireRows(rows: number, most: number, what: string): void {
  if (!Number.isSafeInteger(rows) || rows < 0) throw new WireError(WireErrorCode.Malformed, `${rows} is no number of rows`)
  if (rows > most) throw new WireError(WireErrorCode.TooLong, `${rows} rows are more than ${what}, ${most}`, { detail: { rows, most } })
}
