import type { BlockRange } from '@skein/protocol'
import { groupGraphNames } from '../../graph/span-graph.ts'
import type { BlockShape, PreparedSpan } from '../../graph/span-graph.ts'
import type { KvSegment, KvStore } from '../kv-store.ts'
import type { LaneRun } from '../plan-lanes.ts'
import type { OrtEnvironment } from './environment.ts'
import { heapMemory } from './memory.ts'
import type { RunTensors } from './run-tensors.ts'
import type { OrtBinding, OrtRunOptions, OrtSession } from './session.ts'
import { OrtTensor } from './tensor.ts'

/** Tensors of one window, for all blocks of a group: key and value of the first block, of the second, ... */
class Window {
  readonly handles: BigUint64Array

  constructor(private readonly tensors: readonly OrtTensor[]) {
    this.handles = BigUint64Array.from(tensors, (tensor) => tensor.handle)
  }

  release(): void {
    for (const tensor of this.tensors) tensor.release()
  }
}

/** No window has so many slots: a factor for keys of windows. */
const slotLimit = 4096

/** Names of a group graph's inputs and outputs in the order of bindings: shared ones, then per lane the caches of its blocks. */
export function groupNames(blocks: BlockRange, lanes: number): { inputs: string[]; outputs: string[] } {
  const names = groupGraphNames
  const inputs: string[] = [names.hidden, names.positions, names.order]
  const outputs: string[] = [names.output]
  for (let lane = 0; lane < lanes; lane++) {
    inputs.push(names.laneRows(lane), names.laneShape(lane), names.laneSeqlens(lane), names.laneTotal(lane))
  }
  for (let lane = 0; lane < lanes; lane++) {
    for (let block = blocks.start; block < blocks.end; block++) {
      inputs.push(names.key(block, lane), names.value(block, lane))
      outputs.push(names.presentKey(block, lane), names.presentValue(block, lane))
    }
  }
  return { inputs, outputs }
}

/** One group of blocks as an ORT session, which it owns, with the windows of KV slots that it has used. */
export class GroupSession {
  readonly start: number
  readonly end: number
  readonly #session: OrtSession
  readonly #binding: OrtBinding
  readonly #windows = new Map<number, Map<number, Window>>()
  /** What unused lanes work on: one slot of one row, which nobody reads. */
  readonly #parking: Window
  readonly #lanes: number

  /** @throws OrtError */
  constructor(
    private readonly environment: OrtEnvironment,
    session: OrtSession,
    group: PreparedSpan['groups'][number],
    shape: BlockShape,
    lanes: number
  ) {
    this.start = group.blocks.start
    this.end = group.blocks.end
    this.#lanes = lanes
    this.#session = session
    const { inputs, outputs } = groupNames(group.blocks, lanes)
    this.#binding = this.#session.bind(inputs, outputs)
    const rowShape = [1, shape.kvHeads, 1, shape.headDim]
    const tensors: OrtTensor[] = []
    for (let i = 0; i < 2 * (this.end - this.start); i++) {
      tensors.push(new OrtTensor(environment, heapMemory(4 * shape.kvHeads * shape.headDim), 'f32', rowShape))
    }
    this.#parking = new Window(tensors)
  }

  /** Computes a run that `tensors` has loaded: from its input rows to its output rows, appending to the caches. @throws OrtError */
  run(run: LaneRun, tensors: RunTensors, store: KvStore, options: OrtRunOptions | null): void {
    const { inputs, outputs } = this.#binding
    inputs.set(tensors.handles)
    outputs[0] = tensors.outputHandle()
    const perLane = 2 * (this.end - this.start)
    for (let lane = 0; lane < this.#lanes; lane++) {
      const { segment, firstSlot, slots } = run.lanes[lane] as LaneRun['lanes'][number]
      const window = segment === undefined ? this.#parking : this.#window(store, store.segment(segment), firstSlot, slots)
      inputs.set(window.handles, tensors.handles.length + lane * perLane)
      outputs.set(window.handles, 1 + lane * perLane)
    }
    this.#binding.run(options)
  }

  /** Lets go of a segment's tensors, whose memory is about to go. */
  forget(segment: KvSegment): void {
    for (const window of this.#windows.get(segment.id)?.values() ?? []) window.release()
    this.#windows.delete(segment.id)
  }

  release(): void {
    for (const windows of this.#windows.values()) for (const window of windows.values()) window.release()
    this.#windows.clear()
    this.#parking.release()
    this.#session.release()
  }

  #window(store: KvStore, segment: KvSegment, firstSlot: number, slots: number): Window {
    let windows = this.#windows.get(segment.id)
    if (windows === undefined) this.#windows.set(segment.id, (windows = new Map<number, Window>()))
    const key = firstSlot * slotLimit + slots
    let window = windows.get(key)
    if (window === undefined) windows.set(key, (window = this.#makeWindow(store, segment, firstSlot, slots)))
    return window
  }

  #makeWindow(store: KvStore, segment: KvSegment, firstSlot: number, slots: number): Window {
    const tensors: OrtTensor[] = []
    for (let block = this.start; block < this.end; block++) {
      for (const part of ['key', 'value'] as const) {
        const { memory, shape, byteOffset } = store.window(segment, block, part, firstSlot, slots)
        tensors.push(new OrtTensor(this.environment, memory, 'f32', shape, byteOffset))
      }
    }
    return new Window(tensors)
  }
}
