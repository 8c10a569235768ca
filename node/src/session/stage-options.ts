import type { LinkDialerOptions, LinkSenderOptions, PeerId } from '@skein/protocol'
import { limits } from '@skein/protocol'
import type { InputCredit } from './stage-input.ts'

export interface StageMachineOptions extends LinkSenderOptions, LinkDialerOptions, InputCredit {
  /** Rows that one step may have. Their bytes must not be more than `creditBytes`, or such a step could never be sent. */
  readonly maxStepRows: number
  /** Outputs that may wait for the successor's acknowledgement before the next step is computed. */
  readonly outputSlots: number
  /** Bytes of results that may wait for the coordinator's acknowledgement, unless one step has more: nothing was reserved for them. */
  readonly resultBytes: number
  /** How long an acknowledgement may be put off while the predecessor has ample credit; well below its `ackFloorMs`. */
  readonly ackLaterMs: number
}

export interface StageMachineInit {
  /** The authenticated peer of the control channel. The shell has checked model, span and numerics of its `open` already. */
  readonly coordinator: PeerId
  readonly hiddenSize: number
  readonly options?: Partial<StageMachineOptions>
}

export const stageDefaults: StageMachineOptions = {
  creditSteps: limits.linkCreditSteps,
  creditBytes: limits.linkCreditBytes,
  maxStepRows: limits.maxStepRows,
  // As many as the successor takes before it has computed them, so that neither waits for the other's round trip.
  outputSlots: 2 * limits.linkCreditSteps,
  resultBytes: limits.resultBytes,
  // A prefill chunk of common size: its time is known to the successor, and its memory was allowed for.
  replayChunkRows: 256,
  ackLaterMs: limits.ackLaterMs,
  ackFloorMs: 5_000,
  ackFactor: 8,
  greetMs: 10_000,
  redials: 3,
  redialMs: 200
}
