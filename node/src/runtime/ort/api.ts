/**
 * The part of ONNX Runtime's C API that skein calls, through koffi. The stock binding of onnxruntime-node copies every
 * fetched output on every run, which for KV caches costs by their capacity; here values stand on our own buffers.
 *
 * `OrtApi` is a struct of function pointers that only ever grows at its end, so a member's index is stable. The indexes
 * were counted in `onnxruntime_c_api.h` (struct `OrtApi`) and agree with the static assertions in ONNX Runtime's own
 * `onnxruntime_c_api.cc`.
 *
 * @packageDocumentation
 */
import koffi from 'koffi'
import type { LibraryHandle } from 'koffi'
import { SkeinError } from '@skein/protocol'
import { OrtUnavailableError, ortLibraryPath, ortVersion } from './library.ts'

/** The address of something that ONNX Runtime owns. */
export type Handle = bigint

/** Memory that a call reads or writes in place: a typed array on an ArrayBuffer of its own, or an address. */
export type Memory = NodeJS.TypedArray | bigint

/** Version of the API that is asked for: the highest index used needs version 12 (ONNX Runtime 1.12). */
const apiVersion = 16

/** ONNX Runtime refused a call; the message is its own. The detail has `ortCode` and `call`. */
export class OrtError extends SkeinError<'ERR_SKEIN_ORT'> {
  constructor(call: string, ortCode: number, message: string) {
    super('ERR_SKEIN_ORT', `ONNX Runtime's ${call} failed: ${message}`, { detail: { call, ortCode } })
  }
}

type ArgumentType = 'ptr' | 'str' | 'path' | 'int' | 'size'

/** Index in `OrtApi`, then the types of the arguments. All of these return an `OrtStatus*`, null for success. */
const statusCalls = {
  DisableTelemetryEvents: [6, 'ptr'],
  Run: [9, 'ptr', 'ptr', 'ptr', 'ptr', 'size', 'ptr', 'size', 'ptr'],
  CreateSession: [7, 'ptr', 'path', 'ptr', 'ptr'],
  CreateSessionOptions: [10, 'ptr'],
  SetOptimizedModelFilePath: [11, 'ptr', 'path'],
  EnableMemPattern: [16, 'ptr'],
  DisableMemPattern: [17, 'ptr'],
  DisableCpuMemArena: [19, 'ptr'],
  SetSessionLogSeverityLevel: [22, 'ptr', 'int'],
  SetSessionGraphOptimizationLevel: [23, 'ptr', 'int'],
  SetIntraOpNumThreads: [24, 'ptr', 'int'],
  SessionGetInputCount: [30, 'ptr', 'ptr'],
  SessionGetOutputCount: [31, 'ptr', 'ptr'],
  SessionGetInputName: [36, 'ptr', 'size', 'ptr', 'ptr'],
  SessionGetOutputName: [37, 'ptr', 'size', 'ptr', 'ptr'],
  CreateRunOptions: [39, 'ptr'],
  RunOptionsSetTerminate: [46, 'ptr'],
  RunOptionsUnsetTerminate: [47, 'ptr'],
  CreateTensorWithDataAsOrtValue: [49, 'ptr', 'ptr', 'size', 'ptr', 'size', 'int', 'ptr'],
  CreateCpuMemoryInfo: [69, 'int', 'int', 'ptr'],
  AllocatorFree: [76, 'ptr', 'ptr'],
  GetAllocatorWithDefaultOptions: [78, 'ptr'],
  CreateEnvWithGlobalThreadPools: [119, 'int', 'str', 'ptr', 'ptr'],
  DisablePerSessionThreads: [120, 'ptr'],
  CreateThreadingOptions: [121, 'ptr'],
  AddSessionConfigEntry: [130, 'ptr', 'str', 'str'],
  SetGlobalIntraOpNumThreads: [147, 'ptr', 'int'],
  SetGlobalInterOpNumThreads: [148, 'ptr', 'int'],
  SetGlobalSpinControl: [149, 'ptr', 'int'],
  CreateAndRegisterAllocator: [144, 'ptr', 'ptr', 'ptr'],
  CreateArenaCfg: [156, 'size', 'int', 'int', 'int', 'ptr']
} as const satisfies Record<string, readonly [number, ...ArgumentType[]]>

const releaseCalls = {
  ReleaseEnv: 92,
  ReleaseStatus: 93,
  ReleaseMemoryInfo: 94,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseRunOptions: 97,
  ReleaseSessionOptions: 100,
  ReleaseThreadingOptions: 122,
  ReleaseArenaCfg: 157
} as const

interface ArgumentOf {
  ptr: Memory | null
  str: string
  path: string
  int: number
  size: number
}
type Arguments<T extends readonly unknown[]> = { [K in keyof T]: T[K] extends ArgumentType ? ArgumentOf[T[K]] : never }
type TypesOf<T> = T extends readonly [number, ...infer Rest] ? Arguments<Rest> : never

/** Each call throws {@link OrtError} when ONNX Runtime returns a status. */
export type OrtApi = {
  readonly [Name in keyof typeof statusCalls]: (...args: TypesOf<(typeof statusCalls)[Name]>) => void
} & {
  readonly [Name in keyof typeof releaseCalls]: (handle: Handle) => void
} & {
  /** `CreateSession` on a thread of its own. What the arguments point to must stay until it settles. */
  readonly createSessionInBackground: (...args: TypesOf<(typeof statusCalls)['CreateSession']>) => Promise<void>
}

const pointerBytes = 8
const highestIndex = 160

function koffiType(type: ArgumentType): string {
  switch (type) {
    case 'ptr':
      return 'void *'
    case 'str':
      return 'str'
    // ORTCHAR_T is wchar_t on Windows.
    case 'path':
      return process.platform === 'win32' ? 'str16' : 'str'
    case 'int':
      return 'int'
    case 'size':
      return 'size_t'
  }
}

const RTLD_NOW = 2

/**
 * Keeps the library in the process for good. Koffi unloads a library when its handle is collected or its worker ends, and
 * ONNX Runtime's threads would then run into nothing.
 */
function pin(path: string): void {
  if (process.platform === 'win32') {
    koffi.load('kernel32.dll').func('LoadLibraryW', 'void *', ['str16'])(path)
    return
  }
  const linux = process.platform === 'linux'
  const noDelete = linux ? 0x1000 : 0x80
  const open = (library: string): unknown => koffi.load(library).func('dlopen', 'void *', ['str', 'int'])(path, RTLD_NOW | noDelete)
  if (!linux) open('/usr/lib/libSystem.B.dylib')
  else {
    try {
      open('libc.so.6')
    } catch {
      // Before glibc 2.34 it was not in the C library.
      open('libdl.so.2')
    }
  }
}

/** Sets a variable of the process, also from a worker thread, whose `process.env` is a copy. */
function setNativeVariable(name: string, value: string): void {
  if (process.platform === 'win32') {
    koffi.load('kernel32.dll').func('SetEnvironmentVariableW', 'int', ['str16', 'str16'])(name, value)
    return
  }
  const libc = koffi.load(process.platform === 'linux' ? 'libc.so.6' : '/usr/lib/libSystem.B.dylib')
  // Other threads may be reading the environment, so it is written once in a process.
  if (libc.func('getenv', 'str', ['str'])(name) !== value) libc.func('setenv', 'int', ['str', 'str', 'int'])(name, value, 1)
}

/**
 * Whether ONNX Runtime's tiled attention gives the same bits for all chunkings. On arm64 its softmax takes what is left of
 * four columns in another order, so that a row's bits depend on the rows behind it in the run; the plain path does not.
 */
const tiledAttentionIsExact = process.arch === 'x64'

// Held because its functions end with it.
let library: LibraryHandle | undefined

function loadTable(): BigUint64Array {
  const path = ortLibraryPath()
  try {
    // Since 1.30 the library reports every session to Microsoft, under an id that it keeps in the user's cache folder. It reads
    // the command line for that, and runs out of stack on a long one.
    setNativeVariable('ORT_DISABLE_TELEMETRY', '1')
    // Read when a session is made.
    if (!tiledAttentionIsExact) setNativeVariable('ORT_GQA_DISABLE_FLASH_ATTENTION', '1')
    library = koffi.load(path)
    pin(path)
    const base = library.func('OrtGetApiBase', 'void *', [])() as bigint
    const getApi = koffi.decode(base, 0, 'void *') as bigint
    const api = koffi.call(getApi, koffi.proto('void *', ['uint32_t']), apiVersion) as bigint | null
    if (api === null) throw new Error(`it does not know version ${apiVersion} of its C API`)
    return new BigUint64Array(koffi.view(api, highestIndex * pointerBytes).slice(0))
  } catch (error) {
    throw new OrtUnavailableError(`ONNX Runtime ${ortVersion()} could not be loaded from ${path}`, error)
  }
}

interface NativeFunction {
  (...args: unknown[]): unknown
  /** The same on a thread of libuv's pool; the last argument is a callback. */
  readonly async: (...args: unknown[]) => void
}

function buildApi(): OrtApi {
  const table = loadTable()
  const native = (index: number, result: string, args: string[]): NativeFunction =>
    koffi.decode(table[index], koffi.proto(result, args)) as NativeFunction
  const errorCode = native(1, 'int', ['void *'])
  const errorMessage = native(2, 'str', ['void *'])
  const releaseStatus = native(releaseCalls.ReleaseStatus, 'void', ['void *'])
  const check = (name: string, status: Handle | null): void => {
    if (status === null) return
    const error = new OrtError(name, errorCode(status) as number, errorMessage(status) as string)
    releaseStatus(status)
    throw error
  }
  const api: Record<string, (...args: never[]) => unknown> = {}
  for (const [name, [index, ...types]] of Object.entries(statusCalls)) {
    const call = native(index, 'void *', types.map(koffiType))
    api[name] = (...args: unknown[]) => check(name, call(...args) as Handle | null)
  }
  const [createSession, ...createSessionTypes] = statusCalls.CreateSession
  const create = native(createSession, 'void *', createSessionTypes.map(koffiType))
  api['createSessionInBackground'] = (...args: unknown[]) =>
    new Promise<Handle | null>((resolve, reject) => {
      create.async(...args, (error: Error | null, status: Handle | null) => (error === null ? resolve(status) : reject(error)))
    }).then((status) => check('CreateSession', status))
  for (const [name, index] of Object.entries(releaseCalls)) api[name] = native(index, 'void', ['void *'])
  return api as unknown as OrtApi
}

let loaded: OrtApi | undefined

/** The C API, loaded at the first call in a thread. @throws OrtUnavailableError */
export function ortApi(): OrtApi {
  loaded ??= buildApi()
  return loaded
}

/** Memory for one pointer, which a call fills. */
export function newPlace(): BigUint64Array {
  return new BigUint64Array(new ArrayBuffer(pointerBytes))
}

/** Calls `create` with a place for a pointer and returns what was put there. */
export function outPointer(create: (place: BigUint64Array) => void): Handle {
  const place = newPlace()
  create(place)
  return place[0] as Handle
}

/** Addresses of C strings, for calls that take `const char* const*`. The result must live as long as it is used. */
export class NameTable {
  readonly pointers: BigUint64Array
  // Held only so that the garbage collector leaves the strings where they are.
  readonly #strings: readonly Uint8Array[]

  constructor(readonly names: readonly string[]) {
    this.#strings = names.map((name) => {
      const bytes = new TextEncoder().encode(`${name}\0`)
      const own = new Uint8Array(new ArrayBuffer(bytes.length))
      own.set(bytes)
      return own
    })
    this.pointers = new BigUint64Array(new ArrayBuffer(names.length * pointerBytes))
    this.#strings.forEach((bytes, i) => (this.pointers[i] = koffi.address(bytes)))
  }
}
