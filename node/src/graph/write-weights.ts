/**
 * Fills the external data files of a graph from a checkpoint, in pieces, so that no tensor need be in memory whole.
 *
 * @packageDocumentation
 */
import type { FileHandle } from 'node:fs/promises'
import { AbortError } from '@skein/protocol'
import { dtypeBytes, toFloat32 } from '../checkpoint/dtypes.ts'
import type { ModelConfig } from '../checkpoint/model.ts'
import { missingTensor, type TensorFiles } from '../checkpoint/tensor-files.ts'
import { writeAt } from '../util/files.ts'
import { ConversionError, ConversionErrorCode } from './errors.ts'
import { quantizeRows } from './quantize.ts'
import type { RopeTable } from './lanes.ts'
import { ropeFrequencies, ropeRows } from './rope.ts'
import type { PlannedWeight } from './weights.ts'

/** What is held in memory at a time, as f32 values. */
const pieceValues = 4 * 1024 * 1024

type Target = Pick<FileHandle, 'write'>

export interface WriteOptions {
  readonly signal?: AbortSignal
  /** Told the bytes of the checkpoint that each piece took. */
  readonly onBytes?: (bytes: number) => void
}

/** @throws CheckpointError, ConversionError when a weight is not finite, AbortError, or the system's error of a write */
export async function writeWeights(
  target: Target,
  plan: readonly PlannedWeight[],
  files: TensorFiles,
  options: WriteOptions = {}
): Promise<void> {
  for (const weight of plan) {
    let done = 0 // rows for integers, values for f32: of the tensors before
    for (const tensor of weight.tensors) {
      const info = files.info(tensor)
      if (info === undefined) throw missingTensor(tensor, files.folder)
      const width = weight.kind === 'quantized' ? weight.columns : 1
      const count = info.byteLength / dtypeBytes[info.dtype] / width
      const step = Math.max(1, Math.floor(pieceValues / width))
      for (let from = 0; from < count; from += step) {
        if (options.signal?.aborted) throw new AbortError('the conversion was aborted')
        const rows = Math.min(step, count - from)
        const unit = width * dtypeBytes[info.dtype]
        const values = toFloat32(await files.readRange(tensor, from * unit, rows * unit), info.dtype)
        refuseNotFinite(values, tensor, files)
        await writePiece(target, weight, values, done + from, rows)
        options.onBytes?.(rows * unit)
      }
      done += count
    }
  }
}

async function writePiece(target: Target, weight: PlannedWeight, values: Float32Array, from: number, rows: number): Promise<void> {
  if (weight.kind === 'float32') {
    await writeAt(target, asBytes(values), weight.data.offset + 4 * from)
    return
  }
  const { data, scales } = quantizeRows(values, rows, weight.columns, weight.bits)
  await writeAt(target, data, weight.data.offset + (data.byteLength / rows) * from)
  await writeAt(target, asBytes(scales), weight.scales.offset + (scales.byteLength / rows) * from)
}

/** Writes the tables of the rotary embedding. @throws AbortError, or the system's error of a write */
export async function writeRopeTable(target: Target, config: ModelConfig, table: RopeTable, options: WriteOptions = {}): Promise<void> {
  const frequencies = ropeFrequencies(config)
  const half = config.headDim / 2
  const step = Math.max(1, Math.floor(pieceValues / 8 / half))
  for (const part of ['cos', 'sin'] as const) {
    for (let from = 0; from < config.contextTokens; from += step) {
      if (options.signal?.aborted) throw new AbortError('the conversion was aborted')
      const to = Math.min(from + step, config.contextTokens)
      await writeAt(target, asBytes(ropeRows(frequencies, part, from, to)), table[part].offset + from * half * 4)
    }
  }
}

/** A NaN in a weight makes every output NaN, and a block's scale with it: better told at once than by strange text. */
function refuseNotFinite(values: Float32Array, tensor: string, files: TensorFiles): void {
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) {
      throw new ConversionError(
        ConversionErrorCode.BadWeight,
        `tensor ${tensor} in ${files.pathOf(tensor)} holds NaN or infinity; download it again`,
        {
          detail: { tensor }
        }
      )
    }
  }
}

function asBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
