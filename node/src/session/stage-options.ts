import type { LinkDialerOptions, LinkSenderOptions } from '@skein/protocol'
import { limits } from '@skein/protocol'
import type { InputCredit } from './stage-input.ts'

export interface StageMachineOptions extends LinkSenderOptions, LinkDialerOptions, InputCredit {
  /** Bytes of one row of activations in the session's encoding. */
  readonly bytesPerRow: number
  /** Rows that one step may have. `maxStepRows * bytesPerRow` must not be more than `creditBytes`. */
  readonly maxStepRows: number
  /** Outputs that may wait for the successor's acknowledgement before the next step is computed. */
  readonly outputSlots: number
}

export const stageDefaults: Omit<StageMachineOptions, 'bytesPerRow'> = {
  creditSteps: limits.linkCreditSteps,
  creditBytes: limits.linkCreditBytes,
  maxStepRows: limits.maxStepRows,
  // As many as the successor takes before it has computed them, so that neither waits for the other's round trip.
  outputSlots: 2 * limits.linkCreditSteps,
  // A prefill chunk of common size: its time is known to the successor, and its memory was allowed for.
  replayChunkRows: 256,
  ackFloorMs: 5_000,
  ackFactor: 8,
  greetMs: 10_000,
  redials: 3,
  redialMs: 200
}
