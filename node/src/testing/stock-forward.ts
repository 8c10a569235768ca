/**
 * Runs prepared graphs with the stock binding of ONNX Runtime: slow (it copies every cache on every run), but independent
 * of skein's own runtime. For tests of the graphs.
 *
 * @packageDocumentation
 */
import path from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { groupGraphNames, headGraphNames, type BlockShape, type PreparedGraph, type PreparedSpan } from '../graph/span-graph.ts'

/** Rows of one session in a turn, and the lane that takes them. Entries of one lane stand side by side, one row each. */
export interface ForwardEntry {
  readonly session: string
  readonly lane: number
  readonly rows: number
  /** f32 `[rows, hiddenSize]`. */
  readonly input: Float32Array
}

interface Cache {
  rows: number
  /** f32 `[kvHeads, capacity, headDim]` by block and `key` or `value`. */
  readonly tensors: Map<string, Float32Array>
}

interface Part {
  readonly entry: ForwardEntry
  readonly firstRow: number
  readonly cache: Cache
}

/** A span with a KV cache per session. */
export class StockForward {
  readonly #caches = new Map<string, Cache>()

  private constructor(
    private readonly span: PreparedSpan,
    private readonly sessions: readonly InferenceSession[],
    private readonly capacity: number
  ) {}

  static async open(span: PreparedSpan, capacity: number, options: InferenceSession.SessionOptions = {}): Promise<StockForward> {
    const sessions: InferenceSession[] = []
    for (const { folder, modelFile } of span.groups) sessions.push(await openGraph({ folder, modelFile }, options))
    return new StockForward(span, sessions, capacity)
  }

  /** Computes a turn. @returns f32 `[rows, hiddenSize]` per entry, in order */
  async run(entries: readonly ForwardEntry[]): Promise<Float32Array[]> {
    const { shape, lanes, groups } = this.span
    const parts: Part[] = []
    let total = 0
    for (const entry of entries) {
      parts.push({ entry, firstRow: total, cache: this.#cache(entry.session) })
      total += entry.rows
    }
    const turn = turnFeeds(parts, total, lanes)
    let hidden = new Float32Array(total * shape.hiddenSize)
    for (const { entry, firstRow } of parts) hidden.set(entry.input, firstRow * shape.hiddenSize)
    for (const [index, group] of groups.entries()) {
      const feeds: Record<string, Tensor> = { ...turn, [groupGraphNames.hidden]: new Tensor('float32', hidden, [total, shape.hiddenSize]) }
      for (let block = group.blocks.start; block < group.blocks.end; block++) this.#feedCaches(feeds, parts, block)
      const results = await (this.sessions[index] as InferenceSession).run(feeds)
      for (let block = group.blocks.start; block < group.blocks.end; block++) this.#keepCaches(results, parts, block)
      hidden = Float32Array.from((results[groupGraphNames.output] as Tensor).data as Float32Array)
    }
    for (const { entry, cache } of parts) cache.rows += entry.rows
    return parts.map(({ entry, firstRow }) => hidden.slice(firstRow * shape.hiddenSize, (firstRow + entry.rows) * shape.hiddenSize))
  }

  /** Cuts a session's cache back to `rows`. */
  cut(session: string, rows: number): void {
    const cache = this.#cache(session)
    cache.rows = Math.min(cache.rows, rows)
  }

  async close(): Promise<void> {
    for (const session of this.sessions) await session.release()
  }

  #cache(session: string): Cache {
    const known = this.#caches.get(session)
    if (known !== undefined) return known
    const cache: Cache = { rows: 0, tensors: new Map() }
    this.#caches.set(session, cache)
    return cache
  }

  #feedCaches(feeds: Record<string, Tensor>, parts: readonly Part[], block: number): void {
    const { kvHeads, headDim } = this.span.shape
    const slot = kvHeads * this.capacity * headDim
    for (let lane = 0; lane < this.span.lanes; lane++) {
      const mine = parts.filter(({ entry }) => entry.lane === lane)
      const slots = Math.max(1, mine.length)
      for (const kind of ['key', 'value'] as const) {
        const data = new Float32Array(slots * slot)
        for (const [index, { cache }] of mine.entries()) {
          const held = cache.tensors.get(`${block}${kind}`)
          if (held !== undefined) data.set(held, index * slot)
        }
        feeds[groupGraphNames[kind](block, lane)] = new Tensor('float32', data, [slots, kvHeads, this.capacity, headDim])
      }
    }
  }

  #keepCaches(results: InferenceSession.OnnxValueMapType, parts: readonly Part[], block: number): void {
    const { kvHeads, headDim } = this.span.shape
    const slot = kvHeads * this.capacity * headDim
    for (let lane = 0; lane < this.span.lanes; lane++) {
      const mine = parts.filter(({ entry }) => entry.lane === lane)
      for (const kind of ['key', 'value'] as const) {
        const name = kind === 'key' ? groupGraphNames.presentKey(block, lane) : groupGraphNames.presentValue(block, lane)
        const data = (results[name] as Tensor).data as Float32Array
        for (const [index, { cache }] of mine.entries()) cache.tensors.set(`${block}${kind}`, data.slice(index * slot, (index + 1) * slot))
      }
    }
  }
}

/** The head, as one function. */
export async function stockHead(head: PreparedGraph, shape: BlockShape): Promise<(hidden: Float32Array) => Promise<Float32Array>> {
  const session = await openGraph(head, {})
  return async (hidden) => {
    const rows = hidden.length / shape.hiddenSize
    const results = await session.run({ [headGraphNames.hidden]: new Tensor('float32', hidden, [rows, shape.hiddenSize]) })
    return (results[headGraphNames.logits] as Tensor).data as Float32Array
  }
}

function openGraph(graph: PreparedGraph, options: InferenceSession.SessionOptions): Promise<InferenceSession> {
  return InferenceSession.create(path.join(graph.folder, graph.modelFile), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'basic',
    logSeverityLevel: 3,
    ...options
  })
}

/** The inputs that describe a turn. A lane without entries gets one idle slot. */
function turnFeeds(parts: readonly Part[], total: number, lanes: number): Record<string, Tensor> {
  const int64 = (values: readonly number[], shape: readonly number[]) => new Tensor('int64', BigInt64Array.from(values, BigInt), shape)
  const positions = parts.flatMap(({ entry, cache }) => Array.from({ length: entry.rows }, (_, row) => cache.rows + row))
  const feeds: Record<string, Tensor> = { [groupGraphNames.positions]: int64(positions, [1, total]) }
  const order = new Array<number>(total).fill(0)
  let laid = 0
  for (let lane = 0; lane < lanes; lane++) {
    const mine = parts.filter(({ entry }) => entry.lane === lane)
    const rows = mine.flatMap(({ entry, firstRow }) => Array.from({ length: entry.rows }, (_, row) => firstRow + row))
    for (const row of rows) order[row] = laid++
    if (mine.length === 0) laid++
    const after = mine.length === 0 ? [0] : mine.map(({ entry, cache }) => cache.rows + entry.rows - 1)
    const slots = Math.max(1, mine.length)
    const used = rows.length === 0 ? [total] : rows
    feeds[groupGraphNames.laneRows(lane)] = int64(used, [used.length])
    feeds[groupGraphNames.laneShape(lane)] = int64([slots, used.length / slots, -1], [3])
    feeds[groupGraphNames.laneSeqlens(lane)] = new Tensor('int32', Int32Array.from(after), [slots])
    feeds[groupGraphNames.laneTotal(lane)] = new Tensor('int32', Int32Array.of(Math.max(...after) + 1), [])
  }
  feeds[groupGraphNames.order] = int64(order, [total])
  return feeds
}
