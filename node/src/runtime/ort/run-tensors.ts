/**
 * The inputs of a run that all groups share, on buffers that are made once. In steady decoding nothing is allocated.
 *
 * @packageDocumentation
 */
import type { BlockShape } from '../../graph/span-graph.ts'
import type { Lane, LaneRun } from '../plan-lanes.ts'
import type { OrtEnvironment } from './environment.ts'
import { heapMemory } from './memory.ts'
import type { NativeMemory } from './memory.ts'
import { OrtTensor } from './tensor.ts'
import type { ElementType } from './tensor.ts'

/** Shapes of one buffer that are kept: decoding cycles through a few row counts. */
const keptShapes = 32

/** Tensors of different lengths on one buffer: the first dimension varies. */
class GrowingTensor {
  readonly memory: NativeMemory
  readonly #tensors = new Map<number, OrtTensor>()

  constructor(
    private readonly environment: OrtEnvironment,
    private readonly type: ElementType,
    private readonly shapeOf: (length: number) => readonly number[],
    byteLength: number
  ) {
    this.memory = heapMemory(byteLength)
  }

  handle(length: number): bigint {
    let tensor = this.#tensors.get(length)
    if (tensor === undefined) {
      tensor = new OrtTensor(this.environment, this.memory, this.type, this.shapeOf(length))
      const oldest = this.#tensors.keys().next().value
      if (this.#tensors.size >= keptShapes && oldest !== undefined) {
        this.#tensors.get(oldest)?.release()
        this.#tensors.delete(oldest)
      }
      this.#tensors.set(length, tensor)
    }
    return tensor.handle
  }

  release(): void {
    for (const tensor of this.#tensors.values()) tensor.release()
    this.#tensors.clear()
  }
}

/** Writes non-negative int64 values of less than 2^31: on little-endian machines the lower half alone changes. */
function writeInt64(memory: NativeMemory, values: readonly number[]): void {
  const halves = new Int32Array(memory.bytes(0, 8 * values.length).buffer)
  for (let i = 0; i < values.length; i++) halves[2 * i] = values[i] as number
}

interface LaneTensors {
  readonly rows: GrowingTensor
  readonly shape: GrowingTensor
  readonly seqlens: GrowingTensor
  readonly total: GrowingTensor
}

export interface RunTensorsInit {
  readonly shape: BlockShape
  readonly lanes: number
  readonly maxRunRows: number
  readonly maxWindowSlots: number
}

/** Handles of a run's shared inputs, in the order: hidden, positions, order, then per lane rows, shape, seqlens, total. */
export class RunTensors {
  readonly handles: BigUint64Array
  /** f32 `[maxRunRows, hiddenSize]`: the rows that go in. */
  readonly input: Float32Array
  /** The same for those that come out. */
  readonly output: Float32Array
  readonly #input: GrowingTensor
  readonly #output: GrowingTensor
  readonly #positions: GrowingTensor
  readonly #order: GrowingTensor
  readonly #lanes: readonly LaneTensors[]
  #loaded: LaneRun | undefined

  constructor(environment: OrtEnvironment, init: RunTensorsInit) {
    const { hiddenSize } = init.shape
    const int64s = (length: number, shapeOf: (length: number) => readonly number[] = (n) => [n]): GrowingTensor =>
      new GrowingTensor(environment, 'i64', shapeOf, 8 * length)
    const rows = (): GrowingTensor => new GrowingTensor(environment, 'f32', (n) => [n, hiddenSize], 4 * init.maxRunRows * hiddenSize)
    this.#input = rows()
    this.#output = rows()
    this.input = floats(this.#input.memory)
    this.output = floats(this.#output.memory)
    this.#positions = int64s(init.maxRunRows, (n) => [1, n])
    this.#order = int64s(init.maxRunRows)
    this.#lanes = Array.from({ length: init.lanes }, () => ({
      rows: int64s(Math.max(init.maxRunRows, init.maxWindowSlots, 2)),
      shape: int64s(3),
      seqlens: new GrowingTensor(environment, 'i32', (n) => [n], 4 * init.maxWindowSlots),
      total: new GrowingTensor(environment, 'i32', () => [], 4)
    }))
    this.handles = new BigUint64Array(3 + 4 * init.lanes)
  }

  /** Fills in what `run` says; the rows themselves are the caller's to write. */
  load(run: LaneRun): void {
    if (this.#loaded === run) return
    this.#loaded = run
    writeInt64(this.#positions.memory, run.positions)
    writeInt64(this.#order.memory, run.order)
    this.handles[0] = this.#input.handle(run.rows)
    this.handles[1] = this.#positions.handle(run.rows)
    this.handles[2] = this.#order.handle(run.rows)
    this.#lanes.forEach((tensors, i) => this.#loadLane(tensors, run.lanes[i] as Lane, 3 + 4 * i))
  }

  /** The handle of the output of the loaded run. */
  outputHandle(): bigint {
    return this.#output.handle((this.#loaded as LaneRun).rows)
  }

  release(): void {
    for (const tensor of [this.#input, this.#output, this.#positions, this.#order]) tensor.release()
    for (const lane of this.#lanes) for (const tensor of [lane.rows, lane.shape, lane.seqlens, lane.total]) tensor.release()
  }

  #loadLane(tensors: LaneTensors, lane: Lane, at: number): void {
    writeInt64(tensors.rows.memory, lane.rows)
    new BigInt64Array(tensors.shape.memory.bytes(0, 24).buffer).set([BigInt(lane.slots), BigInt(lane.rowsPerSlot), -1n])
    new Int32Array(tensors.seqlens.memory.bytes(0, 4 * lane.slots).buffer).set(lane.seqlens)
    new Int32Array(tensors.total.memory.bytes(0, 4).buffer)[0] = lane.total
    this.handles[at] = tensors.rows.handle(lane.rows.length)
    this.handles[at + 1] = tensors.shape.handle(3)
    this.handles[at + 2] = tensors.seqlens.handle(lane.slots)
    this.handles[at + 3] = tensors.total.handle(1)
  }
}

function floats(memory: NativeMemory): Float32Array {
  const bytes = memory.bytes(0, memory.byteLength)
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
}
