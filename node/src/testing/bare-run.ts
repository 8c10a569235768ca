/**
 * The C API's Run on the graphs of a span, with every value made beforehand: what the runtime's own work is measured
 * against.
 *
 * @packageDocumentation
 */
import type { PreparedSpan } from '../graph/span-graph.ts'
import { OrtEnvironment } from '../runtime/ort/environment.ts'
import { groupNames } from '../runtime/ort/group-session.ts'
import { heapMemory } from '../runtime/ort/memory.ts'
import type { NativeMemory } from '../runtime/ort/memory.ts'
import { OrtSession } from '../runtime/ort/session.ts'
import type { OrtBinding } from '../runtime/ort/session.ts'
import { OrtTensor } from '../runtime/ort/tensor.ts'
import type { ElementType } from '../runtime/ort/tensor.ts'

export interface BareRun {
  /** One decode step at the position, through all blocks. Blocks the thread. */
  step(): void
  /** f32 `[hiddenSize]`: the last step's result. */
  output(): Float32Array
  close(): void
}

function memoryOf(values: Float32Array | Int32Array | BigInt64Array): NativeMemory {
  const memory = heapMemory(values.byteLength)
  memory.bytes(0, memory.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return memory
}

/**
 * Opens the graphs of a span for one decode step, in lane 0, at `position` of a cache of zeros.
 *
 * @param capacityRows - rows of the cache, more than `position`
 * @throws OrtError
 */
export function openBareRun(prepared: PreparedSpan, threads: number, row: Float32Array, position: number, capacityRows: number): BareRun {
  const { shape, lanes } = prepared
  const environment = new OrtEnvironment({ threads })
  const tensors: OrtTensor[] = []
  const tensor = (memory: NativeMemory, type: ElementType, dims: readonly number[]): bigint => {
    const made = new OrtTensor(environment, memory, type, dims)
    tensors.push(made)
    return made.handle
  }
  const int64s = (values: number[], dims: readonly number[]): bigint => tensor(memoryOf(BigInt64Array.from(values, BigInt)), 'i64', dims)
  const int32s = (values: number[], dims: readonly number[]): bigint => tensor(memoryOf(Int32Array.from(values)), 'i32', dims)

  // Lane 0 takes row 0; the others the row of zeros, index 1.
  const laneValues = Array.from({ length: lanes }, (_, lane) => [
    int64s([lane === 0 ? 0 : 1], [1]),
    int64s([1, 1, -1], [3]),
    int32s([lane === 0 ? position : 0], [1]),
    int32s([lane === 0 ? position + 1 : 1], [])
  ])
  const turn = [int64s([position], [1, 1]), int64s([0], [1]), ...laneValues.flat()]
  const hidden = [memoryOf(row), ...prepared.groups.map(() => heapMemory(row.byteLength))]
  const hiddenTensors = hidden.map((memory) => tensor(memory, 'f32', [1, shape.hiddenSize]))
  const sessions: OrtSession[] = []
  const bindings = prepared.groups.map((group, index): OrtBinding => {
    const session = OrtSession.openSync(environment, group.folder, group.modelFile)
    sessions.push(session)
    const { inputs, outputs } = groupNames(group.blocks, lanes)
    const binding = session.bind(inputs, outputs)
    const caches = Array.from({ length: lanes }, (_, lane) => {
      const rows = lane === 0 ? capacityRows : 1
      const dims = [1, shape.kvHeads, rows, shape.headDim]
      const count = 2 * (group.blocks.end - group.blocks.start)
      return Array.from({ length: count }, () => tensor(heapMemory(4 * shape.kvHeads * rows * shape.headDim), 'f32', dims))
    }).flat()
    binding.inputs.set([hiddenTensors[index] as bigint, ...turn, ...caches])
    binding.outputs.set([hiddenTensors[index + 1] as bigint, ...caches])
    return binding
  })
  const result = hidden.at(-1) as NativeMemory
  return {
    step: () => {
      for (const binding of bindings) binding.run()
    },
    output: () => new Float32Array(result.bytes(0, result.byteLength).slice().buffer),
    close: () => {
      for (const each of tensors) each.release()
      for (const session of sessions) session.release()
      environment.close()
    }
  }
}
