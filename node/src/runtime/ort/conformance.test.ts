/**
 * The facts about ONNX Runtime that the runtime builds on (DESIGN.md, section 8). They are asserted at every upgrade.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '@skein/protocol'
import { GraphBuilder } from '../../graph/graph-builder.ts'
import { gemm, groupQueryAttention, matMulNBits, reshape } from '../../graph/operators.ts'
import { randomFloats, temporaryFolder } from '../../testing/random-span.ts'
import { OrtError } from './api.ts'
import { OrtEnvironment } from './environment.ts'
import { heapMemory } from './memory.ts'
import type { NativeMemory } from './memory.ts'
import { OrtRunOptions, OrtSession } from './session.ts'
import type { OrtBinding, OrtSessionOptions } from './session.ts'
import { OrtTensor } from './tensor.ts'
import type { ElementType } from './tensor.ts'

const heads = 4
const kvHeads = 2
const headDim = 16
const width = (heads + 2 * kvHeads) * headDim
const outWidth = heads * headDim
const random = seededRandom('conformance')

function floats(memory: NativeMemory): Float32Array {
  return new Float32Array(memory.bytes(0, memory.byteLength).buffer)
}

function memoryOf(values: Float32Array | Int32Array | BigInt64Array): NativeMemory {
  const memory = heapMemory(values.byteLength)
  memory.bytes(0, memory.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return memory
}

describe('ONNX Runtime conformance', function () {
  const folder = temporaryFolder()
  let environment: OrtEnvironment
  let attention: { session: OrtSession; binding: OrtBinding }
  const tensors: OrtTensor[] = []
  const tensor = (memory: NativeMemory, type: ElementType, shape: number[], byteOffset?: number): bigint => {
    const made = new OrtTensor(environment, memory, type, shape, byteOffset)
    tensors.push(made)
    return made.handle
  }

  function open(
    name: string,
    graph: GraphBuilder,
    weights: Uint8Array<ArrayBuffer> = new Uint8Array(0),
    options?: OrtSessionOptions
  ): OrtSession {
    const path = join(folder.path, name)
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, 'model.onnx'), graph.build())
    writeFileSync(join(path, 'weights.bin'), weights)
    return OrtSession.openSync(environment, path, 'model.onnx', options)
  }

  before(() => {
    environment = new OrtEnvironment({ threads: 2 })
    const graph = new GraphBuilder('attention')
    const qkv = graph.input('qkv', 'f32', ['B', 'S', width])
    const key = graph.input('key', 'f32', ['B', kvHeads, 'C', headDim])
    const value = graph.input('value', 'f32', ['B', kvHeads, 'C', headDim])
    const seqlens = graph.input('seqlens', 'i32', ['B'])
    const total = graph.input('total', 'i32', [])
    graph.output('present_key', 'f32', ['B', kvHeads, 'C', headDim])
    graph.output('present_value', 'f32', ['B', kvHeads, 'C', headDim])
    graph.output('out', 'f32', ['B', 'S', outWidth])
    const attended = groupQueryAttention(graph, 'attention', qkv, key, value, seqlens, total, {
      heads,
      kvHeads,
      localWindow: -1,
      presentKeyName: 'present_key',
      presentValueName: 'present_value'
    })
    graph.node('Identity', [attended], { name: 'copy', outputNames: ['out'] })
    const session = open('attention', graph)
    const names = ['qkv', 'key', 'value', 'seqlens', 'total']
    attention = { session, binding: session.bind(names, ['out', 'present_key', 'present_value']) }
  })

  after(() => {
    for (const made of tensors) made.release()
    attention.session.release()
    environment.close()
    folder.remove()
  })

  /** A cache of `slots` slots of `capacity` rows, keys and values. */
  function makeCache(slots: number, capacity: number): { key: NativeMemory; value: NativeMemory; capacity: number } {
    const bytes = 4 * slots * kvHeads * capacity * headDim
    return { key: heapMemory(bytes), value: heapMemory(bytes), capacity }
  }

  /** Appends rows in place to a window of `seqlens.length` slots from `firstSlot` on. @returns `[B, S, outWidth]` */
  function attend(cache: ReturnType<typeof makeCache>, firstSlot: number, rows: Float32Array, seqlens: number[]): Float32Array {
    const batch = seqlens.length
    const newRows = rows.length / width / batch
    const shape = [batch, kvHeads, cache.capacity, headDim]
    const offset = 4 * firstSlot * kvHeads * cache.capacity * headDim
    const key = tensor(cache.key, 'f32', shape, offset)
    const value = tensor(cache.value, 'f32', shape, offset)
    const out = heapMemory(4 * batch * newRows * outWidth)
    const lens = tensor(memoryOf(Int32Array.from(seqlens)), 'i32', [batch])
    const total = tensor(memoryOf(Int32Array.of(Math.max(...seqlens) + 1)), 'i32', [])
    attention.binding.inputs.set([tensor(memoryOf(rows), 'f32', [batch, newRows, width]), key, value, lens, total])
    attention.binding.outputs.set([tensor(out, 'f32', [batch, newRows, outWidth]), key, value])
    attention.binding.run()
    return floats(out).slice()
  }

  /** Appends rows in chunks of the given sizes to slot 0. */
  function attendInChunks(
    rows: Float32Array,
    chunks: readonly number[],
    capacity: number,
    dummy: boolean
  ): { out: Float32Array; key: Float32Array } {
    const cache = makeCache(1, capacity)
    const out: number[] = []
    let at = 0
    for (const chunk of chunks) {
      const slice = rows.slice(at * width, (at + chunk) * width)
      const padded = new Float32Array((chunk + (dummy ? chunk % 2 : 0)) * width)
      padded.set(slice)
      at += chunk
      out.push(...attend(cache, 0, padded, [at - chunk + padded.length / width - 1]).subarray(0, chunk * outWidth))
    }
    const rowsOf = floats(cache.key)
    const heldRows = (head: number): Float32Array => rowsOf.subarray(head * capacity * headDim, (head * capacity + at) * headDim)
    return { out: Float32Array.from(out), key: Float32Array.from([...heldRows(0), ...heldRows(1)]) }
  }

  it('appends in place when past and present are the same buffer, and touches nothing else', () => {
    const cache = makeCache(1, 8)
    const before = floats(cache.key)
    before.fill(7)
    const rows = randomFloats(random, 2 * width, 1)
    attend(cache, 0, rows.subarray(0, width), [0])
    attend(cache, 0, rows.subarray(width), [1])
    const keysOf = (row: number, head: number): Float32Array =>
      rows.subarray(row * width + (heads + head) * headDim, row * width + (heads + head + 1) * headDim)
    for (let head = 0; head < kvHeads; head++) {
      for (let row = 0; row < 8; row++) {
        const held = before.subarray((head * 8 + row) * headDim, (head * 8 + row + 1) * headDim)
        assert.deepEqual(held, row < 2 ? keysOf(row, head) : new Float32Array(headDim).fill(7))
      }
    }
  })

  it('computes a window with idle slots bit for bit as it computes each slot alone', () => {
    const capacity = 13
    const lengths = [5, 0, 11, 3]
    const histories = lengths.map((length) => randomFloats(random, length * width, 1))
    const rows = lengths.map(() => randomFloats(random, width, 1))
    rows[1] = new Float32Array(width)
    rows[3] = new Float32Array(width)
    const fill = (cache: ReturnType<typeof makeCache>, slot: number, index: number): void => {
      if (lengths[index] !== 0) attend(cache, slot, histories[index]!, [lengths[index]! - 1])
    }
    const together = makeCache(4, capacity)
    lengths.forEach((_, i) => fill(together, i, i))
    const all = attend(together, 0, Float32Array.from(rows.flatMap((row) => [...row])), lengths)
    for (const i of [0, 2]) {
      const alone = makeCache(1, capacity)
      fill(alone, 0, i)
      const out = attend(alone, 0, rows[i]!, [lengths[i]!])
      assert.deepEqual(all.subarray(i * outWidth, (i + 1) * outWidth), out)
      const slotFloats = kvHeads * capacity * headDim
      assert.deepEqual(floats(together.key).slice(i * slotFloats, (i + 1) * slotFloats), floats(alone.key))
    }
  })

  it('forgets the rows behind a smaller seqlens', () => {
    const rows = randomFloats(random, 6 * width, 1)
    const cut = makeCache(1, 9)
    attend(cut, 0, rows, [5])
    const fresh = makeCache(1, 9)
    attend(fresh, 0, rows.slice(0, 3 * width), [2])
    const next = randomFloats(random, 2 * width, 1)
    assert.deepEqual(attend(cut, 0, next, [4]), attend(fresh, 0, next, [4]))
    const one = randomFloats(random, width, 1)
    assert.deepEqual(attend(cut, 0, one, [2]), attend(fresh, 0, one, [2]))
  })

  it('gives the same bits for all chunkings, if a dummy row makes odd chunks even', () => {
    const count = 150
    const rows = randomFloats(random, count * width, 1)
    const whole = attendInChunks(rows, [count], count + 1, true)
    const ones = new Array<number>(count).fill(1)
    for (const chunks of [[2, 100, 48], [7, 64, 65, 14], [1, 149], [100, 1, 1, 48], [33, 65, 52], ones]) {
      const other = attendInChunks(rows, chunks, count + 1, true)
      assert.deepEqual(other.out, whole.out, `chunks ${chunks.slice(0, 5).join(', ')}`)
      assert.deepEqual(other.key, whole.key)
    }
    // Without it, the last row of a chunk of 33 differs in its last bits where attention is tiled, as does a single row.
    const odd = attendInChunks(rows, [33, 117], count + 1, false)
    const [last, same] = [odd.out, whole.out].map((out) => out.subarray(32 * outWidth, 33 * outWidth))
    if (process.arch === 'x64') assert.notDeepEqual(last, same)
    else assert.deepEqual(last, same)
    const bare = attendInChunks(rows, ones, count + 1, false)
    bare.out.forEach((value, i) => assert.ok(Math.abs(value - whole.out[i]!) < 1e-5))
  })

  it('does not let the capacity change bits', () => {
    const rows = randomFloats(random, 20 * width, 1)
    assert.deepEqual(attendInChunks(rows, [9, 1, 10], 21, true).out, attendInChunks(rows, [9, 1, 10], 400, true).out)
  })

  it('refuses a batch of several new rows on a past, which the planner never makes', () => {
    const cache = makeCache(2, 9)
    attend(cache, 0, randomFloats(random, 2 * width, 1), [0, 0])
    assert.throws(() => attend(cache, 0, randomFloats(random, 4 * width, 1), [2, 2]), OrtError)
  })

  // With AVX2 alone, a single row of 4-bit weights goes through a kernel of its own and sums otherwise. No span is stored in
  // 4 bits yet; one that is will need a second row beside a single one, as attention does, to be exact.
  for (const { kind, fewest } of [
    { kind: 'f32', fewest: 1 },
    { kind: 'q8', fewest: 1 },
    { kind: 'q4', fewest: 2 }
  ] as const) {
    it(`gives a row of a prepacked ${kind} product the same bits for ${fewest} to 512 rows at once`, () => {
      const columns = 96
      const outputs = 80
      const graph = new GraphBuilder(`product ${kind}`)
      const x = graph.input('x', 'f32', ['R', columns])
      graph.output('y', 'f32', ['R', outputs])
      if (kind === 'f32') gemm(graph, 'product', x, graph.external('w', 'f32', [outputs, columns], 'weights.bin').value, undefined, 'y')
      else {
        const bits = kind === 'q8' ? 8 : 4
        const w = graph.external('w', 'u8', [outputs, columns / 32, 4 * bits], 'weights.bin').value
        const scales = graph.external('s', 'f32', [outputs, columns / 32], 'weights.bin').value
        matMulNBits(graph, 'product', x, w, scales, undefined, { columns, rows: outputs, bits, blockSize: 32, outputName: 'y' })
      }
      const weights = Uint8Array.from(new Uint8Array(randomFloats(random, graph.fileBytes('weights.bin') / 4, 1).buffer))
      const session = open(`product-${kind}`, graph, weights)
      const binding = session.bind(['x'], ['y'])
      const most = 512
      const rows = memoryOf(randomFloats(random, most * columns, 1))
      const product = (from: number, count: number): Float32Array => {
        const out = heapMemory(4 * count * outputs)
        binding.inputs[0] = tensor(rows, 'f32', [count, columns], 4 * from * columns)
        binding.outputs[0] = tensor(out, 'f32', [count, outputs])
        binding.run()
        return floats(out)
      }
      const alone = Array.from({ length: most }, (_, i) => {
        const from = Math.min(i, most - fewest)
        return product(from, fewest).subarray((i - from) * outputs, (i - from + 1) * outputs)
      })
      for (const count of [2, 3, 4, 5, 7, 8, 12, 16, 31, 33, 64, 65, 100, 128, 200, 511, 512]) {
        const together = product(0, count)
        for (let i = 0; i < count; i++) {
          assert.deepEqual(together.subarray(i * outputs, (i + 1) * outputs), alone[i], `row ${i} of ${count}`)
        }
      }
      session.release()
    })
  }

  it('ends a run whose options say terminate, and runs again after a reset', () => {
    const options = new OrtRunOptions()
    attend(makeCache(1, 4), 0, randomFloats(random, width, 1), [0])
    options.terminate()
    assert.throws(() => attention.binding.run(options), /terminate/i)
    options.reset()
    attention.binding.run(options)
    options.release()
  })

  it('writes outputs into our memory and reads inputs from it at every run', () => {
    const graph = new GraphBuilder('reshape')
    const x = graph.input('x', 'f32', ['A', 'B'])
    graph.output('y', 'f32', ['B', 'A'])
    const turned = graph.node('Transpose', [reshape(graph, 'same', x, [2, 3])], {
      name: 't',
      attributes: { perm: { ints: [1, 0] } },
      outputNames: ['y']
    })
    assert.equal(turned.length, 1)
    const session = open('reshape', graph)
    const binding = session.bind(['x'], ['y'])
    const input = heapMemory(24)
    const output = heapMemory(24)
    binding.inputs[0] = tensor(input, 'f32', [2, 3])
    binding.outputs[0] = tensor(output, 'f32', [3, 2])
    for (const first of [1, 10]) {
      floats(input).set([first, 2, 3, 4, 5, 6])
      binding.run()
      assert.deepEqual([...floats(output)], [first, 4, 2, 5, 3, 6])
    }
    session.release()
  })

  it('opens a graph that was saved with its prepacked weights, and computes the same bits', () => {
    const graph = new GraphBuilder('to be packed')
    const x = graph.input('x', 'f32', ['R', 64])
    graph.output('y', 'f32', ['R', 128])
    gemm(graph, 'product', x, graph.external('w', 'f32', [128, 64], 'weights.bin').value, undefined, 'y')
    const optimizedModelFile = join(folder.path, 'packed.onnx')
    const config = {
      'session.save_external_prepacked_constant_initializers': '1',
      'session.optimized_model_external_initializers_file_name': 'packed.bin',
      'session.optimized_model_external_initializers_min_size_in_bytes': '1024'
    }
    const weights = Uint8Array.from(new Uint8Array(randomFloats(random, 128 * 64, 1).buffer))
    const plain = open('to-pack', graph, weights, { optimizedModelFile, config })
    const packed = OrtSession.openSync(environment, folder.path, 'packed.onnx')
    const input = tensor(memoryOf(randomFloats(random, 5 * 64, 1)), 'f32', [5, 64])
    const [first, second] = [plain, packed].map((session) => {
      const out = heapMemory(4 * 5 * 128)
      const binding = session.bind(['x'], ['y'])
      binding.inputs[0] = input
      binding.outputs[0] = tensor(out, 'f32', [5, 128])
      binding.run()
      session.release()
      return floats(out)
    })
    assert.deepEqual(second, first)
  })

  it('says in its own words why a model cannot be loaded', () => {
    assert.throws(() => OrtSession.openSync(environment, folder.path, 'nothing.onnx'), { code: 'ERR_SKEIN_ORT', message: /nothing\.onnx/ })
  })
})
