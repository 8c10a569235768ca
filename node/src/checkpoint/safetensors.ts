/**
 * Headers of safetensors files: eight bytes of length, JSON, then the tensors' bytes. A header is data from outside: every
 * number in it is checked before anything is allocated or read by it.
 *
 * @see https://github.com/huggingface/safetensors#format
 * @packageDocumentation
 */
import type { FileHandle } from 'node:fs/promises'
import { z } from 'zod'
import { readAt } from '../util/files.ts'
import { dtypeBytes } from './dtypes.ts'
import { CheckpointError, CheckpointErrorCode } from './errors.ts'
import type { TensorDtype } from './model.ts'

/** A tensor as a header tells it. Offsets are from the file's beginning. */
export interface TensorEntry {
  readonly name: string
  /** Undefined for a dtype that skein does not read; `rawDtype` has its name. */
  readonly dtype: TensorDtype | undefined
  readonly rawDtype: string
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/** The format's own limit on a header. */
const maxHeaderBytes = 100_000_000

const dtypes: ReadonlyMap<string, TensorDtype> = new Map([
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16']
])

const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const entrySchema = z.object({ dtype: z.string().max(32), shape: z.array(whole).max(16), data_offsets: z.tuple([whole, whole]) })

/** @throws CheckpointError, which names the file and, where there is one, the tensor */
export async function readSafetensorsHeader(handle: FileHandle, file: string): Promise<TensorEntry[]> {
  const { size } = await handle.stat()
  if (size < 8) {
    throw new CheckpointError(CheckpointErrorCode.Truncated, `${file} has ${size} bytes, too few for a safetensors file`, {
      detail: { file }
    })
  }
  const prefix = await readAt(handle, 0, 8)
  const headerBytes = Number(new DataView(prefix.buffer).getBigUint64(0, true))
  if (headerBytes < 2 || headerBytes > maxHeaderBytes) {
    throw badHeader(file, `its header would have ${headerBytes} bytes (at most ${maxHeaderBytes}); it is no safetensors file, or damaged`)
  }
  if (headerBytes > size - 8) {
    throw new CheckpointError(
      CheckpointErrorCode.Truncated,
      `${file} ends inside its header: it has ${size} bytes and the header alone ${headerBytes}; download it again`,
      { detail: { file } }
    )
  }
  const header = await readAt(handle, 8, headerBytes)
  if (header.byteLength !== headerBytes) throw badHeader(file, 'it changed while it was read')
  return parseSafetensorsHeader(header, size - 8 - headerBytes, 8 + headerBytes, file)
}

/**
 * @param header the JSON's bytes
 * @param dataBytes how many bytes follow the header in the file
 * @param dataStart where they begin in the file
 */
export function parseSafetensorsHeader(header: Uint8Array, dataBytes: number, dataStart: number, file: string): TensorEntry[] {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(header))
  } catch (error) {
    throw badHeader(file, 'it is not JSON', error)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw badHeader(file, 'it is not a JSON object')
  const entries: TensorEntry[] = []
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue
    entries.push(parseEntry(name, value, dataBytes, dataStart, file))
  }
  refuseOverlaps(entries, file)
  return entries
}

function parseEntry(name: string, value: unknown, dataBytes: number, dataStart: number, file: string): TensorEntry {
  const parsed = entrySchema.safeParse(value)
  const shown = JSON.stringify(name.slice(0, 160))
  if (!parsed.success) throw badHeader(file, `the entry of tensor ${shown} is not valid`)
  const { dtype: rawDtype, shape, data_offsets: offsets } = parsed.data
  const [begin, end] = offsets
  if (begin > end) throw badHeader(file, `tensor ${shown} ends at ${end}, before it begins at ${begin}`)
  if (end > dataBytes) {
    throw new CheckpointError(
      CheckpointErrorCode.Truncated,
      `${file} is truncated: tensor ${shown} ends at byte ${end} of the data, of which there are ${dataBytes}; download it again`,
      { detail: { file, tensor: name } }
    )
  }
  const dtype = dtypes.get(rawDtype)
  if (dtype !== undefined) {
    const expected = shape.reduce((product, size) => product * size, dtypeBytes[dtype])
    if (expected !== end - begin) {
      throw badHeader(file, `tensor ${shown} of ${rawDtype} [${shape.join(', ')}] has ${end - begin} bytes instead of ${expected}`)
    }
  }
  return { name, dtype, rawDtype, shape, begin: dataStart + begin, end: dataStart + end }
}

function refuseOverlaps(entries: readonly TensorEntry[], file: string): void {
  const sorted = entries.filter((entry) => entry.end > entry.begin).sort((a, b) => a.begin - b.begin)
  for (let index = 1; index < sorted.length; index++) {
    const [before, after] = [sorted[index - 1] as TensorEntry, sorted[index] as TensorEntry]
    if (after.begin < before.end) {
      throw badHeader(file, `tensors ${JSON.stringify(before.name.slice(0, 160))} and ${JSON.stringify(after.name.slice(0, 160))} overlap`)
    }
  }
}

function badHeader(file: string, text: string, cause?: unknown): CheckpointError {
  return new CheckpointError(CheckpointErrorCode.BadHeader, `the header of ${file} cannot be used: ${text}`, { cause, detail: { file } })
}
