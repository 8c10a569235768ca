import { join } from 'node:path'
import { NameTable, newPlace, ortApi, outPointer } from './api.ts'
import type { Handle } from './api.ts'
import type { OrtEnvironment } from './environment.ts'

// What goes wrong is thrown with its message; ONNX Runtime need not print it as well.
const LOG_FATAL = 4

/**
 * `basic` (constant folding and clean-up) is what spans run at: `extended` fuses a block's last addition with the next
 * block's norm, so that where a span is cut would change bits.
 */
const optimizationLevels = { none: 0, basic: 1, extended: 2, all: 99 } as const

export interface OrtSessionOptions {
  /** @default 'basic' */
  readonly optimization?: keyof typeof optimizationLevels
  /** Folder of the external data files. @default the folder of the model */
  readonly externalDataFolder?: string
  /** Config entries as in `onnxruntime_session_options_config_keys.h`. */
  readonly config?: Readonly<Record<string, string>>
  /** Writes the model as it is after optimization to this file. */
  readonly optimizedModelFile?: string
}

/** To be released by the caller. @throws OrtError */
function makeSettings(options: OrtSessionOptions): Handle {
  const api = ortApi()
  const settings = outPointer((place) => api.CreateSessionOptions(place))
  try {
    api.DisablePerSessionThreads(settings)
    api.SetSessionLogSeverityLevel(settings, LOG_FATAL)
    api.SetSessionGraphOptimizationLevel(settings, optimizationLevels[options.optimization ?? 'basic'])
    api.AddSessionConfigEntry(settings, 'session.intra_op.allow_spinning', '0')
    // Weights stay out of the arena, which never shrinks; scratch memory is shared by all sessions.
    api.AddSessionConfigEntry(settings, 'session.use_env_allocators', '1')
    api.AddSessionConfigEntry(settings, 'session.use_device_allocator_for_initializers', '1')
    // Patterns are kept per combination of shapes, of which turns have no end.
    api.DisableMemPattern(settings)
    if (options.externalDataFolder !== undefined) {
      api.AddSessionConfigEntry(settings, 'session.model_external_initializers_file_folder_path', options.externalDataFolder)
    }
    for (const [key, value] of Object.entries(options.config ?? {})) api.AddSessionConfigEntry(settings, key, value)
    if (options.optimizedModelFile !== undefined) api.SetOptimizedModelFilePath(settings, options.optimizedModelFile)
    return settings
  } catch (error) {
    api.ReleaseSessionOptions(settings)
    throw error
  }
}

/** Cancels a run from another thread. */
export class OrtRunOptions {
  readonly handle: Handle = outPointer((place) => ortApi().CreateRunOptions(place))

  /** Makes the run that uses these options, and later ones, end with an error after the present operator. */
  terminate(): void {
    OrtRunOptions.terminate(this.handle)
  }

  /** The same, for a thread that has only the handle. */
  static terminate(handle: Handle): void {
    ortApi().RunOptionsSetTerminate(handle)
  }

  /** Takes `terminate` back. */
  reset(): void {
    ortApi().RunOptionsUnsetTerminate(this.handle)
  }

  release(): void {
    ortApi().ReleaseRunOptions(this.handle)
  }
}

/** Handles of the values of a session's inputs and outputs, set before `run` in the order of the names. */
export class OrtBinding {
  readonly inputs: BigUint64Array
  readonly outputs: BigUint64Array
  readonly #inputNames: NameTable
  readonly #outputNames: NameTable
  readonly #session: Handle

  constructor(session: Handle, inputNames: readonly string[], outputNames: readonly string[]) {
    this.#session = session
    this.#inputNames = new NameTable(inputNames)
    this.#outputNames = new NameTable(outputNames)
    this.inputs = new BigUint64Array(new ArrayBuffer(8 * inputNames.length))
    this.outputs = new BigUint64Array(new ArrayBuffer(8 * outputNames.length))
  }

  /** Blocks the thread. Writes the outputs into the memory of their tensors. @throws OrtError */
  run(options: OrtRunOptions | null = null): void {
    ortApi().Run(
      this.#session,
      options === null ? null : options.handle,
      this.#inputNames.pointers,
      this.inputs,
      this.inputs.length,
      this.#outputNames.pointers,
      this.outputs.length,
      this.outputs
    )
  }
}

/** A loaded graph. */
export class OrtSession {
  readonly #handle: Handle
  #released = false

  private constructor(handle: Handle) {
    this.#handle = handle
  }

  /** Blocks the thread while weights are read and packed. @throws OrtError */
  static openSync(environment: OrtEnvironment, folder: string, modelFile: string, options: OrtSessionOptions = {}): OrtSession {
    const api = ortApi()
    const settings = makeSettings(options)
    try {
      return new OrtSession(outPointer((place) => api.CreateSession(environment.handle, join(folder, modelFile), settings, place)))
    } finally {
      api.ReleaseSessionOptions(settings)
    }
  }

  /** Reads and packs the weights on another thread, so that several graphs can be opened at once. @throws OrtError */
  static async open(environment: OrtEnvironment, folder: string, modelFile: string, options: OrtSessionOptions = {}): Promise<OrtSession> {
    const api = ortApi()
    const settings = makeSettings(options)
    const place = newPlace()
    try {
      await api.createSessionInBackground(environment.handle, join(folder, modelFile), settings, place)
      return new OrtSession(place[0] as Handle)
    } finally {
      api.ReleaseSessionOptions(settings)
    }
  }

  bind(inputNames: readonly string[], outputNames: readonly string[]): OrtBinding {
    return new OrtBinding(this.#handle, inputNames, outputNames)
  }

  /** Idempotent. No binding of it may run afterwards. */
  release(): void {
    if (this.#released) return
    this.#released = true
    ortApi().ReleaseSession(this.#handle)
  }
}
