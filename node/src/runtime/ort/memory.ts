/**
 * Memory that ONNX Runtime reads and writes in place.
 *
 * @packageDocumentation
 */
import koffi from 'koffi'
import { SkeinError } from '@skein/protocol'

/** There is no memory of the size that was asked for. The detail has `bytes`. */
class OutOfMemoryError extends SkeinError<'ERR_SKEIN_OUT_OF_MEMORY'> {
  constructor(bytes: number, cause?: unknown) {
    super('ERR_SKEIN_OUT_OF_MEMORY', `the system refused ${bytes} bytes of memory: lower --max-kv-tokens`, { detail: { bytes }, cause })
  }
}

export interface NativeMemory {
  readonly address: bigint
  readonly byteLength: number
  /** A view of a range. It must not be touched after `free`. @throws RangeError when the range is not inside */
  bytes(byteOffset: number, byteLength: number): Uint8Array
  /** Sets a range to zero and gives its pages back to the system where whole pages lie in it. */
  discard(byteOffset: number, byteLength: number): void
  /** Idempotent. */
  free(): void
}

/** Zeroed memory on the JavaScript heap's backing store: for small buffers that live as long as their owner. */
export function heapMemory(byteLength: number): NativeMemory {
  let buffer: ArrayBuffer
  try {
    buffer = new ArrayBuffer(byteLength)
  } catch (error) {
    throw new OutOfMemoryError(byteLength, error)
  }
  return {
    address: byteLength === 0 ? 0n : koffi.address(new Uint8Array(buffer)),
    byteLength,
    bytes: (offset, length) => new Uint8Array(buffer, offset, length),
    discard: (offset, length) => void new Uint8Array(buffer, offset, length).fill(0),
    free: () => undefined
  }
}

interface PageCalls {
  readonly pageBytes: number
  map(at: bigint | null, byteLength: number, fixed: boolean): bigint
  unmap(address: bigint, byteLength: number): void
  discard(address: bigint, byteLength: number): void
}

const PROT_READ_WRITE = 3
const MAP_PRIVATE = 2
const MAP_FIXED = 16
const MADV_DONTNEED = 4

function posixCalls(): PageCalls {
  const linux = process.platform === 'linux'
  const libc = koffi.load(linux ? 'libc.so.6' : '/usr/lib/libSystem.B.dylib')
  const mmap = libc.func('mmap', 'intptr_t', ['void *', 'size_t', 'int', 'int', 'int', 'int64_t'])
  const munmap = libc.func('munmap', 'int', ['void *', 'size_t'])
  const madvise = libc.func('madvise', 'int', ['void *', 'size_t', 'int'])
  const pageSize = libc.func('getpagesize', 'int', [])
  // Pools are sized for the worst case and filled as sessions grow, so no swap is set aside for them.
  const anonymous = linux ? 0x20 | 0x4000 : 0x1000 | 0x40
  const map = (at: bigint | null, byteLength: number, fixed: boolean): bigint => {
    const address = BigInt(
      mmap(at, byteLength, PROT_READ_WRITE, MAP_PRIVATE | anonymous | (fixed ? MAP_FIXED : 0), -1, 0) as number | bigint
    )
    if (address === -1n) throw new OutOfMemoryError(byteLength)
    return address
  }
  return {
    pageBytes: pageSize() as number,
    map,
    unmap: (address, byteLength) => void munmap(address, byteLength),
    // Linux zeroes and frees the pages of a private anonymous mapping; macOS only may, so there they are mapped anew.
    discard: (address, byteLength) => void (linux ? madvise(address, byteLength, MADV_DONTNEED) : map(address, byteLength, true))
  }
}

let pageCalls: PageCalls | undefined

/**
 * Zeroed pages straight from the system: untouched ones take no memory, and released ones are given back at once. On
 * Windows this falls back to {@link heapMemory}, which keeps touched pages until the garbage collector runs.
 *
 * @throws OutOfMemoryError
 */
export function pageMemory(byteLength: number): NativeMemory {
  if (process.platform === 'win32' || byteLength === 0) return heapMemory(byteLength)
  pageCalls ??= posixCalls()
  const { pageBytes, map, unmap, discard } = pageCalls
  const address = map(null, byteLength, false)
  let freed = false
  // A mapping may be larger than the largest ArrayBuffer, so views are made by range.
  const bytes = (offset: number, length: number): Uint8Array => {
    if (freed || offset < 0 || length < 0 || offset + length > byteLength) {
      throw new RangeError(`bytes ${offset} to ${offset + length} are not in this memory of ${freed ? 0 : byteLength} bytes`)
    }
    return length === 0 ? new Uint8Array(0) : new Uint8Array(koffi.view(address + BigInt(offset), length))
  }
  return {
    address,
    byteLength,
    bytes,
    discard: (offset, length) => {
      const end = offset + length
      const firstPage = Math.ceil(offset / pageBytes) * pageBytes
      const endPage = Math.floor(end / pageBytes) * pageBytes
      if (endPage <= firstPage) {
        bytes(offset, length).fill(0)
        return
      }
      bytes(offset, firstPage - offset).fill(0)
      discard(address + BigInt(firstPage), endPage - firstPage)
      bytes(endPage, end - endPage).fill(0)
    },
    free: () => {
      if (!freed) unmap(address, byteLength)
      freed = true
    }
  }
}
