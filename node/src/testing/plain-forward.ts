/**
 * Runs prepared graphs in the plainest way, apart from the runtime: KV caches are copied into windows and back, lanes are
 * chosen by the caller, nothing is planned. For tests of the graphs.
 *
 * @packageDocumentation
 */
import { groupGraphNames, headGraphNames, type BlockShape, type PreparedGraph, type PreparedSpan } from '../graph/span-graph.ts'
import { OrtEnvironment } from '../runtime/ort/environment.ts'
import { heapMemory, type NativeMemory } from '../runtime/ort/memory.ts'
import { OrtSession } from '../runtime/ort/session.ts'
import { OrtTensor } from '../runtime/ort/tensor.ts'

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

/** A tensor by value, on memory that ONNX Runtime reads and writes. */
interface Feed {
  readonly type: 'f32' | 'i32' | 'i64'
  readonly shape: readonly number[]
  readonly memory: NativeMemory
}

type Feeds = Record<string, Feed>

/** A span with a KV cache per session. Blocks the thread. */
export class PlainForward {
  readonly #caches = new Map<string, Cache>()
  readonly #environment = new OrtEnvironment({ threads: 1 })
  readonly #sessions: readonly OrtSession[]

  /** @param capacity rows that a session's cache can hold */
  constructor(
    private readonly span: PreparedSpan,
    private readonly capacity: number
  ) {
    this.#sessions = span.groups.map(({ folder, modelFile }) => OrtSession.openSync(this.#environment, folder, modelFile))
  }

  /** Computes a turn. @returns f32 `[rows, hiddenSize]` per entry, in order */
  run(entries: readonly ForwardEntry[]): Float32Array[] {
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
    for (const [index, { blocks }] of groups.entries()) {
      const size = [total, shape.hiddenSize]
      const inputs: Feeds = { ...turn, [groupGraphNames.hidden]: feed('f32', hidden, size) }
      const outputs: Feeds = { [groupGraphNames.output]: feed('f32', new Float32Array(total * shape.hiddenSize), size) }
      for (let block = blocks.start; block < blocks.end; block++) this.#feedCaches(inputs, outputs, parts, block)
      runSession(this.#environment, this.#sessions[index] as OrtSession, inputs, outputs)
      for (let block = blocks.start; block < blocks.end; block++) this.#keepCaches(outputs, parts, block)
      hidden = floatsOf(outputs[groupGraphNames.output] as Feed)
    }
    for (const { entry, cache } of parts) cache.rows += entry.rows
    return parts.map(({ entry, firstRow }) => hidden.slice(firstRow * shape.hiddenSize, (firstRow + entry.rows) * shape.hiddenSize))
  }

  /** Cuts a session's cache back to `rows`. */
  cut(session: string, rows: number): void {
    const cache = this.#cache(session)
    cache.rows = Math.min(cache.rows, rows)
  }

  close(): void {
    for (const session of this.#sessions) session.release()
    this.#environment.close()
  }

  #cache(session: string): Cache {
    const known = this.#caches.get(session)
    if (known !== undefined) return known
    const cache: Cache = { rows: 0, tensors: new Map() }
    this.#caches.set(session, cache)
    return cache
  }

  /** One window per lane, key and value, which attention reads and to which it appends in place. */
  #feedCaches(inputs: Feeds, outputs: Feeds, parts: readonly Part[], block: number): void {
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
        const window = feed('f32', data, [slots, kvHeads, this.capacity, headDim])
        inputs[groupGraphNames[kind](block, lane)] = window
        outputs[presentName(kind, block, lane)] = window
      }
    }
  }

  #keepCaches(outputs: Feeds, parts: readonly Part[], block: number): void {
    const { kvHeads, headDim } = this.span.shape
    const slot = kvHeads * this.capacity * headDim
    for (let lane = 0; lane < this.span.lanes; lane++) {
      const mine = parts.filter(({ entry }) => entry.lane === lane)
      for (const kind of ['key', 'value'] as const) {
        const data = floatsOf(outputs[presentName(kind, block, lane)] as Feed)
        for (const [index, { cache }] of mine.entries()) cache.tensors.set(`${block}${kind}`, data.slice(index * slot, (index + 1) * slot))
      }
    }
  }
}

/** Logits f32 `[rows, vocabSize]` of `hidden` f32 `[rows, hiddenSize]`. */
export function plainHead(head: PreparedGraph, shape: BlockShape, vocabSize: number, hidden: Float32Array): Float32Array {
  const rows = hidden.length / shape.hiddenSize
  const environment = new OrtEnvironment({ threads: 1 })
  const session = OrtSession.openSync(environment, head.folder, head.modelFile)
  try {
    const logits = feed('f32', new Float32Array(rows * vocabSize), [rows, vocabSize])
    const inputs = { [headGraphNames.hidden]: feed('f32', hidden, [rows, shape.hiddenSize]) }
    runSession(environment, session, inputs, { [headGraphNames.logits]: logits })
    return floatsOf(logits)
  } finally {
    session.release()
    environment.close()
  }
}

function runSession(environment: OrtEnvironment, session: OrtSession, inputs: Feeds, outputs: Feeds): void {
  const tensors = new Map<Feed, OrtTensor>()
  const handleOf = (value: Feed) => {
    let tensor = tensors.get(value)
    if (tensor === undefined) tensors.set(value, (tensor = new OrtTensor(environment, value.memory, value.type, value.shape)))
    return tensor.handle
  }
  try {
    const binding = session.bind(Object.keys(inputs), Object.keys(outputs))
    for (const [index, value] of Object.values(inputs).entries()) binding.inputs[index] = handleOf(value)
    for (const [index, value] of Object.values(outputs).entries()) binding.outputs[index] = handleOf(value)
    binding.run()
  } finally {
    for (const tensor of tensors.values()) tensor.release()
  }
}

function presentName(kind: 'key' | 'value', block: number, lane: number): string {
  return kind === 'key' ? groupGraphNames.presentKey(block, lane) : groupGraphNames.presentValue(block, lane)
}

function feed(type: Feed['type'], values: Float32Array | Int32Array | BigInt64Array, shape: readonly number[]): Feed {
  const memory = heapMemory(values.byteLength)
  memory.bytes(0, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return { type, shape, memory }
}

function floatsOf({ memory }: Feed): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint8Array.from(memory.bytes(0, memory.byteLength)).buffer)
}

/** The inputs that describe a turn. A lane without entries gets one idle slot. */
function turnFeeds(parts: readonly Part[], total: number, lanes: number): Feeds {
  const int64 = (values: readonly number[], shape: readonly number[]) => feed('i64', BigInt64Array.from(values, BigInt), shape)
  const positions = parts.flatMap(({ entry, cache }) => Array.from({ length: entry.rows }, (_, row) => cache.rows + row))
  const feeds: Feeds = { [groupGraphNames.positions]: int64(positions, [1, total]) }
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
    feeds[groupGraphNames.laneSeqlens(lane)] = feed('i32', Int32Array.from(after), [slots])
    feeds[groupGraphNames.laneTotal(lane)] = feed('i32', Int32Array.of(Math.max(...after) + 1), [])
  }
  feeds[groupGraphNames.order] = int64(order, [total])
  return feeds
}
