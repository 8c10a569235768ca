import { SkeinError, type SkeinErrorOptions } from '@skein/protocol'
import type { ChainFailureCode } from './chain-events.ts'

/** A session could not be opened, or could not go on. The detail has what is known: `peer`, `start` and `end` of uncovered blocks, ... */
export class SessionError extends SkeinError<ChainFailureCode> {
  constructor(code: ChainFailureCode, message: string, options?: SkeinErrorOptions) {
    super(code, message, options)
  }
}

/** The session was closed while a step was under way, or is closed already. */
export class SessionClosedError extends SkeinError<'ERR_SKEIN_SESSION_CLOSED'> {
  constructor() {
    super('ERR_SKEIN_SESSION_CLOSED', 'the session is closed')
  }
}
