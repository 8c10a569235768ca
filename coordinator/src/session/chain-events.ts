/**
 * What goes into and comes out of a {@link ChainMachine}, the coordinator's side of one session. The machine does no I/O
 * and reads no clock: the shell feeds it events one at a time and carries out the effects of each, in their order, before
 * it feeds the next.
 *
 * Stages and channels are named by numbers that the machine gives and never uses twice within a session.
 * After each event the shell reads {@link ChainMachine.wakeAtMs} and sets one timer, which feeds `tick`.
 *
 * @packageDocumentation
 */
import type {
  AckMessage,
  BlockRange,
  ControlRequest,
  ControlResponse,
  ErrorDetail,
  HeldMessage,
  LinkMessage,
  LinkRefusedMessage,
  Numerics,
  PeerId,
  StepMessage,
  Want,
  WireErrorCode
} from '@skein/protocol'

/** A node as chosen by routing, and the part of its span that is to be used. */
export interface ChosenStage {
  readonly peer: PeerId
  readonly span: BlockRange
  /** What the node computes with. The stages of a chain may differ; a replacement should be as what it replaces. */
  readonly numerics: Numerics
  /** The peer's signed announcement, for neighbours that may not have heard it. */
  readonly record?: Uint8Array
}

/** A stage of the present chain. */
export interface ChainStage extends ChosenStage {
  readonly stage: number
}

/** Opens the chain. The stages must cover the model's blocks in order, once. The answer is `opened` or `failed`. */
export interface ChainStartEvent {
  readonly type: 'start'
  readonly stages: readonly ChosenStage[]
}

/**
 * A new step: it gets seq {@link ChainMachine.nextSeq}. Only while {@link ChainMachine.freeSlots} is above 0. The shell
 * must have put the tokens of rows `[position, position + rows)` into its token log before, since effects ask for them.
 *
 * A position below the present number of rows cuts the session back. That **renounces** results of cut rows that have not
 * arrived yet: they may come, come in part, or be void.
 */
export interface ChainSubmitEvent {
  readonly type: 'submit'
  readonly position: number
  readonly rows: number
  readonly want: Want
}

/**
 * All steps from `from` to the last one submitted are of no use any more; their results are renounced. The next step's
 * position must be at most the least position among them (the machine holds the caller to it).
 */
export interface ChainSkipEvent {
  readonly type: 'skip'
  readonly from: number
}

/** Ends the session: every stage is closed; `closed` follows once each has answered or its deadline has passed. */
export interface ChainCloseEvent {
  readonly type: 'close'
}

/** The control channel of a stage is open. */
export interface ChainConnectedEvent {
  readonly type: 'connected'
  readonly stage: number
}

/** The control channel of a stage could not be opened, ended or broke. */
export interface ChainControlClosedEvent {
  readonly type: 'controlClosed'
  readonly stage: number
  readonly message: string
}

/** A response or notice of a stage. */
export interface ChainControlEvent {
  readonly type: 'control'
  readonly stage: number
  readonly response: ControlResponse
}

/** The answer to `findReplacement`: nodes that cover the span in order, once. May also come later than a `noReplacement`. */
export interface ChainReplacementEvent {
  readonly type: 'replacement'
  readonly request: number
  readonly stages: readonly ChosenStage[]
}

/** The answer to `findReplacement`: there is nobody at present. The machine asks again until its coverage wait is over. */
export interface ChainNoReplacementEvent {
  readonly type: 'noReplacement'
  readonly request: number
  /** The blocks of the span that nobody can take. */
  readonly uncovered: readonly BlockRange[]
}

/** A channel that was asked for by `dial` is open; the machine sends `hello`. */
export interface ChainDialedEvent {
  readonly type: 'dialed'
  readonly channel: number
}

/** A decoded frame on a link. */
export interface ChainLinkEvent {
  readonly type: 'link'
  readonly channel: number
  readonly message: StepMessage | HeldMessage | AckMessage | LinkRefusedMessage
  /** The rows of a result; ownership passes to the machine. */
  readonly body?: Uint8Array
}

/** A link's channel ended or broke, or its dial failed (within the shell's own deadline). */
export interface ChainLinkClosedEvent {
  readonly type: 'linkClosed'
  readonly channel: number
  readonly message: string
}

/** {@link ChainMachine.wakeAtMs} has come. Harmless when early. */
export interface ChainTickEvent {
  readonly type: 'tick'
}

export type ChainEvent =
  | ChainStartEvent
  | ChainSubmitEvent
  | ChainSkipEvent
  | ChainCloseEvent
  | ChainConnectedEvent
  | ChainControlClosedEvent
  | ChainControlEvent
  | ChainReplacementEvent
  | ChainNoReplacementEvent
  | ChainDialedEvent
  | ChainLinkEvent
  | ChainLinkClosedEvent
  | ChainTickEvent

/** Open a control channel; then `connected` or `controlClosed`. */
export interface ConnectEffect {
  readonly type: 'connect'
  readonly stage: number
  readonly peer: PeerId
}

/** Send a request on a stage's control channel. */
export interface ControlEffect {
  readonly type: 'control'
  readonly stage: number
  readonly request: ControlRequest
}

/** End a stage's control channel (or give up its dial) once what was sent is out. No event of that stage matters any more. */
export interface DisconnectEffect {
  readonly type: 'disconnect'
  readonly stage: number
}

/** Open a link channel; then `dialed` or `linkClosed`. */
export interface ChainDialEffect {
  readonly type: 'dial'
  readonly channel: number
  readonly peer: PeerId
  /** `link`: this side will send activations. `results`: this side will receive them. */
  readonly protocol: 'link' | 'results'
}

/** Where the rows of an outgoing step come from. */
export type StepSource =
  /** Embeddings of the tokens that now stand at rows `[position, position + rows)` of the shell's token log. */
  | { readonly kind: 'tokens'; readonly position: number; readonly rows: number }
  /** Activations that came from another stage (the star); to be copied, not handed over. */
  | { readonly kind: 'bytes'; readonly parts: readonly Uint8Array[] }

/** Send a frame on a link. Frames of one channel go out in order, although embedding takes time. */
export interface ChainSendEffect {
  readonly type: 'send'
  readonly channel: number
  readonly message: LinkMessage
  /** Set for steps that have rows. */
  readonly source?: StepSource
}

/** Close a link's channel, or give up its dial, once what was sent is out. No event of that channel matters any more. */
export interface ChainHangUpEffect {
  readonly type: 'hangUp'
  readonly channel: number
}

/** Every stage is open: steps may be submitted. */
export interface OpenedEffect {
  readonly type: 'opened'
  readonly chain: readonly ChainStage[]
}

/**
 * What came of a step. Exactly one per submitted seq, in order.
 */
export interface ResultEffect {
  readonly type: 'result'
  readonly seq: number
  /** Rows that came: as many as were wanted unless `renounced`. With `all` these are the first rows of the step. */
  readonly rows: number
  /** `[rows, hiddenSize]` in the session's encoding: the output of the last block. */
  readonly body: Uint8Array
  /** A later step cut some of its rows back, or it was skipped, before this came: there may be fewer rows than wanted. */
  readonly renounced: boolean
  /** Microseconds of compute, summed over the stages; 0 when not known. */
  readonly computeUs: number
}

/** Choose nodes for a span; then `replacement` or `noReplacement`. A newer request for the same blocks replaces an older one. */
export interface FindReplacementEffect {
  readonly type: 'findReplacement'
  readonly request: number
  readonly span: BlockRange
  /** Peers that were lost or have refused in this recovery, or serve other blocks of this session. */
  readonly exclude: readonly PeerId[]
  /** What the lost stages computed with, where they were of one kind: with the same, the results stay the same. */
  readonly numerics?: Numerics
}

/**
 * Why a chain is mended: a stage's control channel is gone; a stage or a link lets nothing through; a stage did not answer
 * in time, or refused; what it sent was not finite; it has no history left for its successor.
 */
export type RecoveryReason = 'channel-closed' | 'no-progress' | 'no-answer' | 'refused' | 'not-finite' | 'history-lost'

/** That, and the same in words. */
export type Cause = readonly [reason: RecoveryReason, text: string]

/** Stages were lost; results pause. */
export interface RecoveringEffect {
  readonly type: 'recovering'
  readonly lost: readonly ChainStage[]
  readonly cause: RecoveryReason
  /** The same in words, with whose fault it is. */
  readonly reason: string
}

/** Before the chain is open: these could not be reached, or did not answer. Who refuses for want of room has not failed. */
export interface PeersFailedEffect {
  readonly type: 'peersFailed'
  readonly peers: readonly PeerId[]
}

/** The chain is whole again; the replay may still be going on. */
export interface RecoveredEffect {
  readonly type: 'recovered'
  readonly chain: readonly ChainStage[]
}

/** The session cannot go on; `closed` follows when the stages are released. */
export interface FailedEffect {
  readonly type: 'failed'
  /** The code of the refusal or `NO_COVERAGE`; see {@link ChainFailureCode}. */
  readonly code: ChainFailureCode
  readonly message: string
  /** `peer` and `stage` where one is to blame; `start`, `end` of blocks that are uncovered. */
  readonly detail: ErrorDetail
}

/** `ERR_SKEIN_NO_COVERAGE`: nobody took some blocks within the stated wait. `ERR_SKEIN_TIMEOUT`: opening took too long. */
export type ChainFailureCode = WireErrorCode | 'ERR_SKEIN_NO_COVERAGE' | 'ERR_SKEIN_TIMEOUT' | 'ERR_SKEIN_RECOVERY_FAILED'

/** Nothing of the session is left; always the last effect. */
export interface ClosedEffect {
  readonly type: 'closed'
}

export type ChainEffect =
  | ConnectEffect
  | ControlEffect
  | DisconnectEffect
  | ChainDialEffect
  | ChainSendEffect
  | ChainHangUpEffect
  | OpenedEffect
  | ResultEffect
  | FindReplacementEffect
  | RecoveringEffect
  | PeersFailedEffect
  | RecoveredEffect
  | FailedEffect
  | ClosedEffect
