import type { AbortOptions, PeerId, SessionId, Want } from '@skein/protocol'
import type { RecoveryReason } from './chain-events.ts'

/** A stage of the present chain, as callers see it. */
export interface SessionStage {
  readonly peer: PeerId
  readonly start: number
  readonly end: number
}

/** What came of a step. */
export interface StepOutput {
  readonly rows: number
  /** `[rows, hiddenSize]` in the session's encoding: the output of the last block. */
  readonly body: Uint8Array
  /** Microseconds of compute, summed over the stages. */
  readonly computeUs: number
}

/** What a session tells of itself besides the results of its steps. */
export type SessionEvent =
  | { readonly type: 'opened'; readonly session: SessionId; readonly chain: readonly SessionStage[] }
  | { readonly type: 'recovering'; readonly lost: readonly SessionStage[]; readonly cause: RecoveryReason; readonly reason: string }
  | { readonly type: 'recovered'; readonly chain: readonly SessionStage[] }
  | { readonly type: 'uncovered'; readonly blocks: readonly { readonly start: number; readonly end: number }[] }

/**
 * Tokens go in, hidden states come out: one session on a chain of stages, which repairs itself when stages are lost. The
 * code that generates text knows nothing below this.
 */
export interface TokenSession {
  readonly id: SessionId
  /** It has failed or was closed: no step can be sent any more. */
  readonly isOver: boolean
  /** Rows that are in the caches or under way. */
  readonly rows: number
  /** Rows that the caches have room for. */
  readonly maxRows: number
  readonly chain: readonly SessionStage[]
  readonly recoveries: number
  /**
   * Sends tokens as one step. Steps may be sent before earlier ones are answered; they go in the order of the calls.
   *
   * @param position - where the first token goes: at most `rows`; what lies beyond is rolled back
   * @throws SessionError when the session cannot go on, AbortError
   */
  step(tokens: readonly number[], position: number, want: Want, options?: AbortOptions): Promise<StepOutput>
  /** Frees every cache; resolves when each stage of the chain has answered or its deadline has passed. One that was lost before is told too. Idempotent. */
  close(): Promise<void>
}
