import { InvalidArgumentError } from '@skein/protocol'
import { OrtError, ortApi, outPointer } from './api.ts'
import type { Handle } from './api.ts'

export interface OrtEnvironmentOptions {
  /** Threads that one operator may use, the calling one included. */
  readonly threads: number
  /** Whether idle threads spin: quicker by a little, at the price of a core each. @default false */
  readonly spinning?: boolean
}

// What goes wrong is thrown with its message; ONNX Runtime need not print it as well.
const LOG_FATAL = 4
const ARENA_ALLOCATOR = 1
const MEMORY_DEFAULT = 0
const EXTEND_AS_REQUESTED = 1

/**
 * ONNX Runtime's environment with one pool of threads for all sessions. ONNX Runtime keeps one environment per process,
 * counted: while one is open, another one (in any thread) shares its pool and its thread count is ignored.
 */
export class OrtEnvironment {
  readonly handle: Handle
  readonly memoryInfo: Handle
  #closed = false

  /** @throws OrtError, OrtUnavailableError, InvalidArgumentError */
  constructor(options: OrtEnvironmentOptions) {
    if (!Number.isSafeInteger(options.threads) || options.threads < 1 || options.threads > 1024) {
      throw new InvalidArgumentError(`the number of threads must be from 1 to 1024, not ${options.threads}`)
    }
    const api = ortApi()
    const threading = outPointer((place) => api.CreateThreadingOptions(place))
    try {
      api.SetGlobalIntraOpNumThreads(threading, options.threads)
      api.SetGlobalInterOpNumThreads(threading, 1)
      api.SetGlobalSpinControl(threading, options.spinning === true ? 1 : 0)
      this.handle = outPointer((place) => api.CreateEnvWithGlobalThreadPools(LOG_FATAL, 'skein', threading, place))
    } finally {
      api.ReleaseThreadingOptions(threading)
    }
    // On Windows the library tells the system's event tracing, whatever the environment says (`api.ts`).
    api.DisableTelemetryEvents(this.handle)
    this.memoryInfo = outPointer((place) => api.CreateCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, place))
    this.#shareArena()
  }

  /**
   * One arena for the scratch memory of all sessions. They run one after another, and a session per group with an arena each
   * would hold the scratch memory of its largest run for ever.
   */
  #shareArena(): void {
    const api = ortApi()
    const arena = outPointer((place) => api.CreateArenaCfg(0, EXTEND_AS_REQUESTED, -1, -1, place))
    try {
      api.CreateAndRegisterAllocator(this.handle, this.memoryInfo, arena)
    } catch (error) {
      // The environment is one per process: another thread has registered it.
      if (!(error instanceof OrtError) || !error.message.includes('already registered')) throw error
    } finally {
      api.ReleaseArenaCfg(arena)
    }
  }

  /** Every session and tensor must be released before. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    ortApi().ReleaseMemoryInfo(this.memoryInfo)
    ortApi().ReleaseEnv(this.handle)
  }
}
