/**
 * Writes random checkpoints in the layout of Hugging Face, for tests and benchmarks.
 *
 * @packageDocumentation
 */
import { mkdir, open, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { dtypeBytes } from '../checkpoint/dtypes.ts'
import type { TensorDtype } from '../checkpoint/model.ts'
import { familyOf } from '../graph/families/registry.ts'
import type { TensorSpec } from '../graph/weights.ts'
import { writeAt } from '../util/files.ts'

/** Keys of a `config.json`; what is left out is that of a small Llama. */
export type RandomConfig = Readonly<Record<string, unknown>>

export interface RandomCheckpointOptions {
  /** @default `bf16` */
  readonly dtype?: TensorDtype
  /** Files over which the tensors are spread. @default 1 */
  readonly files?: number
}

/** The shape of Llama 3.2 1B with four blocks and a small vocabulary: what the benchmarks run on. */
export const llama1bShape: RandomConfig = {
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 4,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  vocab_size: 4096,
  max_position_embeddings: 32768,
  rope_theta: 500000
}

const smallLlama: RandomConfig = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 128,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2
}

/** Values written at a time. */
const pieceValues = 1 << 20
const tableSize = 4096

/**
 * Writes `config.json` and the weights. The same arguments give the same bytes. Matrices have the variance that keeps the
 * scale of what goes through them; norms are 1.
 */
export async function makeRandomCheckpoint(
  folder: string,
  config: RandomConfig = {},
  seed = 1,
  options: RandomCheckpointOptions = {}
): Promise<void> {
  const { dtype = 'bf16', files = 1 } = options
  const raw = { ...smallLlama, ...config }
  const family = familyOf(String(raw['model_type']))
  const model = family.readConfig(raw)
  const ends = family.endTensors(model)
  const specs = [ends.embedding]
  for (let block = 0; block < model.blocks; block++) specs.push(...family.blockTensors(model, block))
  specs.push(ends.norm)
  if (!model.tiedEmbeddings) specs.push(ends.head)

  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'config.json'), `${JSON.stringify(raw, null, 2)}\n`)
  const next = xorshift(seed)
  const weightMap: Record<string, string> = {}
  for (let index = 0; index < files; index++) {
    const number = (value: number): string => String(value).padStart(5, '0')
    const name = files === 1 ? 'model.safetensors' : `model-${number(index + 1)}-of-${number(files)}.safetensors`
    const part = specs.filter((_, at) => at % files === index)
    for (const spec of part) weightMap[spec.name] = name
    await writeTensors(path.join(folder, name), part, dtype, next)
  }
  if (files > 1) await writeFile(path.join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
}

async function writeTensors(file: string, specs: readonly TensorSpec[], dtype: TensorDtype, next: () => number): Promise<void> {
  const header: Record<string, unknown> = {}
  let end = 0
  for (const { name, shape } of specs) {
    const begin = end
    end += shape.reduce((product, size) => product * size, dtypeBytes[dtype])
    header[name] = { dtype: dtype.toUpperCase(), shape, data_offsets: [begin, end] }
  }
  const text = JSON.stringify(header)
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8)) // data aligned to eight bytes, as the format asks for
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(BigInt(json.byteLength))
  const handle = await open(file, 'w')
  try {
    await writeAt(handle, prefix, 0)
    await writeAt(handle, json, 8)
    let at = 8 + json.byteLength
    for (const spec of specs) {
      const table = valueTable(spec, dtype, next)
      let left = spec.shape.reduce((product, size) => product * size, 1)
      while (left > 0) {
        const values = drawValues(table, Math.min(left, pieceValues), next)
        await writeAt(handle, new Uint8Array(values.buffer, 0, values.byteLength), at)
        at += values.byteLength
        left -= values.length
      }
    }
  } finally {
    await handle.close()
  }
}

type Bits = Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

/** Normally distributed values with the tensor's deviation, as bits of `dtype`: drawing from a table is fast. */
function valueTable({ name, shape }: TensorSpec, dtype: TensorDtype, next: () => number): Bits {
  const isNorm = shape.length === 1 && name.endsWith('norm.weight')
  const deviation = isNorm ? 0 : shape.length === 1 ? 0.1 : name.includes('embed') ? 1 : 1 / Math.sqrt(shape[1] as number)
  const singles = new Float32Array(tableSize)
  for (let index = 0; index < tableSize; index++) {
    const radius = Math.sqrt(-2 * Math.log((next() + 1) / 2 ** 32))
    singles[index] = isNorm ? 1 : deviation * radius * Math.cos((2 * Math.PI * next()) / 2 ** 32)
  }
  const bits = new Uint32Array(singles.buffer)
  if (dtype === 'f32') return bits
  return Uint16Array.from(bits, (value) => (dtype === 'bf16' ? value >>> 16 : toHalfBits(value)))
}

/** Cuts a single to a half, towards zero; what is too small for a normal half becomes zero. */
function toHalfBits(bits: number): number {
  const exponent = ((bits >>> 23) & 0xff) - 112
  const sign = (bits >>> 16) & 0x8000
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((bits >>> 13) & 0x3ff)
}

function drawValues(table: Bits, count: number, next: () => number): Bits {
  const values = table instanceof Uint16Array ? new Uint16Array(count) : new Uint32Array(count)
  for (let index = 0; index < count; index += 2) {
    const random = next()
    values[index] = table[random & (tableSize - 1)] as number
    if (index + 1 < count) values[index + 1] = table[(random >>> 16) & (tableSize - 1)] as number
  }
  return values
}

/** Marsaglia's xorshift, 32 bits. @see https://doi.org/10.18637/jss.v008.i14 */
function xorshift(seed: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state = (state ^ (state << 5)) >>> 0
    return state
  }
}
