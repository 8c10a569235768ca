/**
 * Huge pages for the heap of a simulation, on Linux. An event touches objects of peers at random, which no cache holds; in
 * pages of 4 KiB the processor has to look up first where they are, in tables that no cache holds either. V8 takes its memory in
 * pieces of 256 KiB and puts each at a random address of 46 bits, so that none can be part of a page of 2 MiB. Here these addresses
 * are reserved, which takes no memory: the kernel then lays the pieces side by side, and is asked to join them now and then.
 *
 * A simulation computes the same without. Nodes do not do this: addresses that nobody can guess protect them.
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'

const hugePageBytes = 2 ** 21
/** Beyond the program and what C libraries allocate, up to the highest address at which V8 would put something. */
const firstAddress = 2 ** 34
const endAddress = 2 ** 46
/** A piece of V8's that is there already. Below it, nothing is worth to be reserved. */
const pieceBytes = 2 ** 18
/** While addresses are reserved, other threads take some. */
const attempts = 10

const [PROT_NONE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE] = [0, 0x2, 0x20, 0x4000, 0x100000]
const MAP_FAILED = 2n ** 64n - 1n
const [MADV_HUGEPAGE, MADV_COLLAPSE] = [14, 25]

/** After so many events the pieces are joined for the first time, then after twice as many, up to {@link mostEvents}. */
const firstEvents = 50_000
const mostEvents = 400_000

/** A range of the process's memory. */
export interface Mapping {
  readonly start: number
  readonly end: number
  /** Private memory without a file that can be written. */
  readonly isHeap: boolean
  readonly residentBytes: number
  readonly hugeBytes: number
}

/** Reads `/proc/self/smaps`. */
export function parseMappings(smaps: string): Mapping[] {
  const mappings: { -readonly [Name in keyof Mapping]: Mapping[Name] }[] = []
  for (const line of smaps.split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)$/.exec(line)
    if (range !== null) {
      const [start, end] = [Number.parseInt(range[1] as string, 16), Number.parseInt(range[2] as string, 16)]
      const isHeap = range[3] === 'rw-p' && range[4] === '0' && range[5] === ''
      mappings.push({ start, end, isHeap, residentBytes: 0, hugeBytes: 0 })
      continue
    }
    const last = mappings.at(-1)
    const field = /^(Rss|AnonHugePages): +(\d+) kB$/.exec(line)
    if (last === undefined || field === null) continue
    if (field[1] === 'Rss') last.residentBytes = 1024 * Number(field[2])
    else last.hugeBytes = 1024 * Number(field[2])
  }
  return mappings
}

/** The gaps between mappings that V8 would use, ascending. */
export function gapsOf(mappings: readonly Pick<Mapping, 'start' | 'end'>[]): { start: number; end: number }[] {
  const gaps: { start: number; end: number }[] = []
  let at = firstAddress
  for (const { start, end } of [...mappings].sort((a, b) => a.start - b.start)) {
    if (Math.min(start, endAddress) - at >= pieceBytes) gaps.push({ start: at, end: Math.min(start, endAddress) })
    at = Math.max(at, end)
  }
  if (endAddress - at >= pieceBytes) gaps.push({ start: at, end: endAddress })
  return gaps
}

/** Whole huge pages within memory that is in use, most of which are none yet. Stacks of threads are hardly in use. */
export function joinable(mappings: readonly Mapping[]): { start: number; bytes: number }[] {
  return mappings.flatMap(({ start, end, isHeap, residentBytes, hugeBytes }) => {
    const first = Math.ceil(start / hugePageBytes) * hugePageBytes
    const bytes = Math.floor(end / hugePageBytes) * hugePageBytes - first
    const isWorthIt = isHeap && residentBytes >= 0.75 * (end - start) && residentBytes - hugeBytes >= hugePageBytes
    return bytes > 0 && isWorthIt ? [{ start: first, bytes }] : []
  })
}

export interface HugePages {
  /** To be called as the simulation goes on. @param events handled so far */
  onEvents(events: number): void
}

const none: HugePages = { onEvents: () => {} }

/** Prepares the process for a simulation. Where the system has no huge pages, or its owner does not want them, nothing happens. */
export async function prepareHugePages(): Promise<HugePages> {
  if (process.platform !== 'linux') return none
  try {
    if (readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').includes('[never]')) return none
    // Reserved addresses count where a process may have so many.
    if (!/^Max address space +unlimited/m.test(readFileSync('/proc/self/limits', 'utf8'))) return none
    const { default: koffi } = await import('koffi')
    const libc = koffi.load('libc.so.6')
    const mmap = libc.func('uintptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int file, int64_t offset)')
    const munmap = libc.func('int munmap(uintptr_t address, size_t bytes)')
    const madvise = libc.func('int madvise(uintptr_t address, size_t bytes, int advice)')
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE
    const readMappings = (): Mapping[] => parseMappings(readFileSync('/proc/self/smaps', 'utf8'))
    for (let attempt = 0; attempt < attempts; attempt++) {
      const gaps = gapsOf(readMappings())
      const reserved = gaps.filter(({ start, end }) => {
        const at = BigInt(mmap(start, end - start, PROT_NONE, flags, -1, 0) as number | bigint)
        // Before Linux 4.17 the address is a wish.
        if (at !== BigInt(start) && at !== MAP_FAILED) munmap(at, end - start)
        return at === BigInt(start)
      })
      if (reserved.length === gaps.length) break
    }
    let nextEvents = firstEvents
    return {
      onEvents: (events) => {
        if (events < nextEvents) return
        nextEvents = events + Math.min(events, mostEvents)
        for (const { start, bytes } of joinable(readMappings())) {
          madvise(start, bytes, MADV_HUGEPAGE)
          // Before Linux 6.1 that was all: the kernel joins them in its own time.
          madvise(start, bytes, MADV_COLLAPSE)
        }
      }
    }
  } catch {
    return none
  }
}
