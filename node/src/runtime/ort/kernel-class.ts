import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import koffi from 'koffi'
import { ortVersion } from './library.ts'

/** What decides which kernels ONNX Runtime's MLAS picks on a CPU. */
export interface CpuDescription {
  readonly arch: string
  /** Feature flags as Linux names them; undefined where the system does not tell. */
  readonly flags: ReadonlySet<string> | undefined
  /** The CPU's model name. */
  readonly model: string
  /** The level-2 cache, by which tiled attention sizes its blocks; undefined where the system does not tell. */
  readonly l2Bytes: number | undefined
  /** Bytes of a vector of the Scalable Vector Extension; 0 without it. */
  readonly sveBytes: number
}

/** From the strongest: a CPU that has all of the flags picks these kernels (MLAS's platform.cpp). */
const levels: Readonly<Record<string, readonly (readonly [name: string, flags: readonly string[]])[]>> = {
  x64: [
    ['amx', ['amx_tile', 'amx_int8', 'avx512_vnni', 'avx512f']],
    ['avx512-vnni', ['avx512_vnni', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl']],
    ['avx512', ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl']],
    ['avx2-vnni', ['avx_vnni', 'avx2', 'fma']],
    ['avx2', ['avx2', 'fma']],
    ['avx', ['avx']]
  ],
  arm64: [
    ['i8mm', ['i8mm', 'asimddp']],
    ['dotprod', ['asimddp']]
  ]
}

/**
 * The class of kernels of a CPU: `x64-avx512-vnni-l2.1024k`, `arm64-i8mm-sve.256`. Where flags are unknown, the model's name
 * stands for all. On arm64 attention is not tiled, so the level-2 cache is no part of it; its softmax sums in vectors.
 */
export function cpuClass({ arch, flags, model, l2Bytes, sveBytes }: CpuDescription): string {
  if (flags === undefined || (arch !== 'arm64' && l2Bytes === undefined)) {
    const name = model
      .toLowerCase()
      .replaceAll(/\((r|tm)\)/g, '')
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '')
    return `${arch}-${name === '' ? 'unknown' : name}`
  }
  const level = (levels[arch] ?? []).find(([, needed]) => needed.every((flag) => flags.has(flag)))
  const parts = level === undefined ? [arch] : [arch, level[0]]
  if (arch !== 'arm64') return [...parts, `l2.${Math.round((l2Bytes ?? 0) / 1024)}k`].join('-')
  if (sveBytes > 0) parts.push(`sve.${8 * sveBytes}`)
  // The matrix products of a CPU with the Scalable Matrix Extension are of a library of their own.
  return [...parts, ...['sme', 'sme2'].filter((flag) => flags.has(flag))].join('-')
}

function readFlags(): ReadonlySet<string> | undefined {
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))
    return line === null ? undefined : new Set((line[1] as string).split(/\s+/))
  } catch {
    // Only Linux has the file; the model's name is the fallback.
    return undefined
  }
}

const SC_LEVEL2_CACHE_SIZE = 194
const PR_SVE_GET_VL = 51

/** By the call that ONNX Runtime itself makes on x64. */
function readL2Bytes(): number | undefined {
  if (process.platform !== 'linux') return undefined
  const sysconf = koffi.load('libc.so.6').func('sysconf', 'int64_t', ['int'])
  const bytes = Number(sysconf(SC_LEVEL2_CACHE_SIZE) as number | bigint)
  return bytes > 0 ? bytes : undefined
}

function readSveBytes(): number {
  if (process.platform !== 'linux' || process.arch !== 'arm64') return 0
  const prctl = koffi.load('libc.so.6').func('prctl', 'int', ['int', 'ulong', 'ulong', 'ulong', 'ulong'])
  // Below the length there are bits on how it is inherited; without the extension the call fails with -1.
  return Math.max(0, prctl(PR_SVE_GET_VL, 0, 0, 0, 0) as number) & 0xffff
}

let known: string | undefined

/**
 * The class of kernels of this machine and this ONNX Runtime, for `Numerics.kernels`:
 * `ort-1.30.0/x64-avx512-vnni-l2.1024k`. From `/proc/cpuinfo` and the C library on Linux; elsewhere from the CPU's model
 * name, which splits classes more finely than needed. On x64 the level-2 cache belongs to it because attention
 * (MlasFlashAttention) sums in blocks of a size that follows from it: beyond the first block, another size gives other last
 * bits.
 *
 * @throws OrtUnavailableError when onnxruntime-node is not installed
 */
export function kernelClass(): string {
  known ??= `ort-${ortVersion()}/${cpuClass({
    arch: process.arch,
    flags: readFlags(),
    model: cpus()[0]?.model ?? '',
    l2Bytes: readL2Bytes(),
    sveBytes: readSveBytes()
  })}`
  return known
}
