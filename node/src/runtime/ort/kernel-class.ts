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
  /** The level-2 cache, by which attention sizes its blocks; undefined where the system does not tell. */
  readonly l2Bytes: number | undefined
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

/** The class of kernels of a CPU: `x64-avx512-vnni-l2.1024k`. Where flags are unknown, the model's name stands for all. */
export function cpuClass({ arch, flags, model, l2Bytes }: CpuDescription): string {
  if (flags === undefined || l2Bytes === undefined) {
    const name = model
      .toLowerCase()
      .replaceAll(/\((r|tm)\)/g, '')
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '')
    return `${arch}-${name === '' ? 'unknown' : name}`
  }
  const level = (levels[arch] ?? []).find(([, needed]) => needed.every((flag) => flags.has(flag)))
  return `${level === undefined ? arch : `${arch}-${level[0]}`}-l2.${Math.round(l2Bytes / 1024)}k`
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

/** By the call that ONNX Runtime itself makes. */
function readL2Bytes(): number | undefined {
  if (process.platform !== 'linux') return undefined
  const sysconf = koffi.load('libc.so.6').func('sysconf', 'int64_t', ['int'])
  const bytes = Number(sysconf(SC_LEVEL2_CACHE_SIZE) as number | bigint)
  return bytes > 0 ? bytes : undefined
}

let known: string | undefined

/**
 * The class of kernels of this machine and this ONNX Runtime, for `Numerics.kernels`:
 * `ort-1.30.0/x64-avx512-vnni-l2.1024k`. From `/proc/cpuinfo` and the C library on Linux; elsewhere from the CPU's model
 * name, which splits classes more finely than needed. The level-2 cache belongs to it because attention (MlasFlashAttention)
 * sums in blocks of a size that follows from it: beyond the first block, another size gives other last bits.
 *
 * @throws OrtUnavailableError when onnxruntime-node is not installed
 */
export function kernelClass(): string {
  const model = cpus()[0]?.model ?? ''
  known ??= `ort-${ortVersion()}/${cpuClass({ arch: process.arch, flags: readFlags(), model, l2Bytes: readL2Bytes() })}`
  return known
}
