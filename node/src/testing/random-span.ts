/**
 * Spans with random weights for the tests of the runtime, written by the graph builder's own plan.
 *
 * @packageDocumentation
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@skein/protocol'
import type { Random, WeightDtype } from '@skein/protocol'
import type { ModelConfig } from '../checkpoint/model.ts'
import { blockShape, buildGroupGraph, buildHeadGraph } from '../graph/group-graph.ts'
import type { PlannedGraph } from '../graph/group-graph.ts'
import { ropeFrequencies, ropeRows } from '../graph/rope.ts'
import type { PreparedGraph, PreparedSpan } from '../graph/span-graph.ts'

/** A model small enough for tests: four blocks, grouped queries. */
export const tinyConfig: ModelConfig = {
  family: 'llama',
  blocks: 4,
  hiddenSize: 64,
  ffnSize: 160,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  vocabSize: 96,
  contextTokens: 600,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: { kind: 'none' },
  tiedEmbeddings: false,
  attentionBias: false,
  outputBias: false,
  mlpBias: false,
  eosTokenIds: [0]
}

/** A folder that is removed by `remove`. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'skein-runtime-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Values of about `scale / 2` in size, row-major. */
export function randomFloats(random: Random, count: number, scale: number): Float32Array {
  const values = new Float32Array(count)
  const drawn = Math.min(count, mostDrawn)
  for (let i = 0; i < drawn; i++) values[i] = (random.float() - 0.5) * scale
  // Large tensors repeat themselves: drawing every value would take longer than the benchmark.
  for (let i = drawn; i < count; i *= 2) values.copyWithin(i, 0, Math.min(i, count - i))
  return values
}

const mostDrawn = 1 << 18

/** Each tensor is drawn by its own name, so that a block is the same in whichever group it stands. */
function fillWeights(graph: PlannedGraph, scale: number): Uint8Array {
  const bytes = new Uint8Array(graph.weightsBytes)
  const put = (offset: number, values: Float32Array): void => bytes.set(new Uint8Array(values.buffer), offset)
  for (const weight of graph.plan) {
    const name = weight.tensors.join(' ')
    const random = seededRandom(name)
    if (weight.kind === 'quantized') {
      const data = Uint8Array.from(randomFloats(random, Math.min(weight.data.byteLength, mostDrawn), 1), (value) => (value + 0.5) * 256)
      for (let i = 0; i < weight.data.byteLength; i += data.length) {
        bytes.set(data.subarray(0, weight.data.byteLength - i), weight.data.offset + i)
      }
      put(weight.scales.offset, new Float32Array(weight.scales.byteLength / 4).fill(scale / 2 ** weight.bits))
    } else {
      const isNorm = name.includes('norm')
      const values = randomFloats(random, weight.data.byteLength / 4, isNorm ? 0.2 : scale)
      put(weight.data.offset, isNorm ? values.map((value) => value + 1) : values)
    }
  }
  return bytes
}

function writeGraph(folder: string, graph: PlannedGraph, config: ModelConfig, scale: number): PreparedGraph {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'model.onnx'), graph.model)
  writeFileSync(join(folder, 'weights.bin'), fillWeights(graph, scale))
  if (graph.rope !== undefined) {
    const { cos, sin } = graph.rope
    const bytes = new Uint8Array(Math.max(cos.offset + cos.byteLength, sin.offset + sin.byteLength))
    for (const [part, slice] of Object.entries({ cos, sin })) {
      const rows = ropeRows(ropeFrequencies(config), part as 'cos' | 'sin', 0, config.contextTokens)
      bytes.set(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), slice.offset)
    }
    writeFileSync(join(folder, cos.file), bytes)
  }
  return { folder, modelFile: 'model.onnx' }
}

export interface RandomSpanOptions {
  readonly config?: ModelConfig
  readonly dtype?: WeightDtype
  readonly lanes?: number
  /** Spread of the matrices' values. @default 3 / sqrt(hiddenSize), which keeps activations near their size */
  readonly scale?: number
  /** Borders of the groups. @default two blocks a group */
  readonly borders?: readonly number[]
}

/** Writes a span whose block `k` has the same weights however the span is cut into groups. */
export function writeRandomSpan(folder: string, options: RandomSpanOptions = {}): PreparedSpan {
  const config = options.config ?? tinyConfig
  const dtype = options.dtype ?? 'f32'
  const lanes = options.lanes ?? 3
  const borders = options.borders ?? [0, 2, 4]
  const scale = options.scale ?? 3 / Math.sqrt(config.hiddenSize)
  const groups = borders.slice(1).map((end, i) => {
    const blocks = { start: borders[i] as number, end }
    const graph = buildGroupGraph(config, { blocks, lanes, dtype })
    return { ...writeGraph(join(folder, `${blocks.start}-${end}`), graph, config, scale), blocks }
  })
  const span = { start: borders[0] as number, end: borders.at(-1) as number }
  return { span, groups, shape: blockShape(config), dtype, lanes }
}

/** Writes the head with random weights. */
export function writeRandomHead(folder: string, config: ModelConfig = tinyConfig, dtype: WeightDtype = 'f32'): PreparedGraph {
  return writeGraph(folder, buildHeadGraph(config, dtype), config, 0.3)
}
