import { SkeinError } from '@skein/protocol'

/** The runtime as a whole can compute nothing any more: its worker died, or it was stopped. */
export class RuntimeFailedError extends SkeinError<'ERR_SKEIN_RUNTIME_FAILED'> {
  constructor(message: string, cause?: unknown) {
    super('ERR_SKEIN_RUNTIME_FAILED', message, { cause })
  }
}
