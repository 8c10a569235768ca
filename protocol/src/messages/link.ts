/**
 * Messages of `/skein/link/1.0` (activations between neighbours) and `/skein/results/1.0` (from a stage whose successor
 * is the coordinator). Both carry the same messages. On a link the sender of activations opens the channel; towards the
 * coordinator the receiver opens it, since nobody can dial a coordinator. In either case the opener sends `hello` first,
 * then the receiver of activations sends `held`, and only then the sender sends steps.
 *
 * @packageDocumentation
 */
import type { ErrorDetail, WireErrorCode } from '../errors.ts'
import type { PeerId, SessionId } from '../ids.ts'
import type { Held } from './control.ts'

/** The first frame of the peer that opened the channel. */
export interface HelloMessage {
  readonly type: 'hello'
  /** The peer that controls the session; a session is keyed by both. */
  readonly coordinator: PeerId
  readonly session: SessionId
  readonly term: number
}

/** The receiver's first frame: what it holds, and how far the sender may go. The sender sends exactly what follows. */
export interface HeldMessage {
  readonly type: 'held'
  readonly term: number
  readonly held: Held
  /** As in `ack`. */
  readonly steps: number
  readonly bytes: number
}

/** Which rows of a step the tail returns. */
export type Want = 'none' | 'last' | 'all'

/** Rows that one seq wrote: `rows` of them, right behind those of the run before. */
export interface StepRun {
  readonly seq: number
  readonly rows: number
  readonly want: Want
}

/**
 * Activations, in the frame's body: `[sum of rows, hiddenSize]`, row-major, in the session's encoding.
 *
 * A live step has `from === to` and one run. A replay may carry several runs that are contiguous in position; seqs between
 * `from` and `to` that no run names are void: they were rolled back or skipped, and stay counted so that seq is dense. A
 * step without runs is a tombstone and has no body. `position` is where the first row goes: what the receiver holds beyond
 * it is cut off first. `after` is the seq that wrote the row before `position`, 0 when `position` is 0.
 *
 * On a results link the body has only the rows that were wanted, and `rows` in each run counts those.
 */
export interface StepMessage {
  readonly type: 'step'
  readonly from: number
  readonly to: number
  readonly position: number
  readonly after: number
  readonly runs: readonly StepRun[]
  /** Microseconds of compute that this step has cost so far, summed over the stages that it has passed. */
  readonly computeUs: number
}

/**
 * Progress and credit, from the receiver. `seq` is the last one computed. `steps` and `bytes` are totals counted from this
 * link's `held`: how much the sender may have sent altogether. Totals only rise, so that a lost or doubled ack does no harm.
 */
export interface AckMessage {
  readonly type: 'ack'
  readonly seq: number
  readonly steps: number
  readonly bytes: number
}

/** The last frame before an end: why this side gives up the link. */
export interface LinkRefusedMessage {
  readonly type: 'refused'
  readonly code: WireErrorCode
  readonly message: string
  readonly detail: ErrorDetail
}

export type LinkMessage = HelloMessage | HeldMessage | StepMessage | AckMessage | LinkRefusedMessage
