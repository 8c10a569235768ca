/**
 * What goes into and comes out of a {@link StageMachine}. The machine does no I/O and reads no clock: the shell around it
 * feeds it events one at a time and carries out the effects of each, in their order, before it feeds the next.
 *
 * **Channels** are named by numbers. The shell numbers the channels that others have opened to it from 1 upwards, never
 * twice within a session. The machine numbers those that it asks to be dialled from -1 downwards.
 *
 * **Writing.** `send` effects of one channel go out in order. The machine sends no more steps than the receiver's credits
 * allow, so what the shell has to hold back while a channel is not writable is bounded by those.
 *
 * **Time.** After each event the shell reads {@link StageMachine.wakeAtMs} and sets one timer, which feeds `tick`.
 *
 * @packageDocumentation
 */
import type {
  AckMessage,
  AccuseNotice,
  ClosedResponse,
  ControlRequest,
  ErrorDetail,
  HeldMessage,
  HelloMessage,
  LinkMessage,
  LinkRefusedMessage,
  OpenedResponse,
  PeerId,
  RefusedResponse,
  ReroutedResponse,
  StateResponse,
  StepMessage,
  WireErrorCode
} from '@skein/protocol'

/** A request on the control channel. The first one must be `open`; the channel's peer is the machine's `coordinator`. */
export interface StageControlEvent {
  readonly type: 'control'
  readonly request: ControlRequest
}

/** The control channel ended or broke. The session ends: nobody can reroute or close it any more. */
export interface StageControlClosedEvent {
  readonly type: 'controlClosed'
}

/** The answer to `reserve`: both reservations were made. */
export interface StageReservedEvent {
  readonly type: 'reserved'
}

/** The answer to `reserve`: nothing is reserved. */
export interface StageReserveFailedEvent {
  readonly type: 'reserveFailed'
  readonly code: WireErrorCode
  readonly message: string
  readonly detail?: ErrorDetail
}

/** Somebody opened a channel and sent `hello` for this session. The shell has looked the session up by both its keys. */
export interface StageHelloEvent {
  readonly type: 'hello'
  readonly channel: number
  /** `predecessor` on the link protocol (they will send activations), `successor` on the results protocol. */
  readonly side: 'predecessor' | 'successor'
  /** The authenticated peer of the channel. */
  readonly peer: PeerId
  readonly message: HelloMessage
}

/** A channel that was asked for by `dial` is open. Nothing was sent on it yet: the machine sends `hello`. */
export interface StageDialedEvent {
  readonly type: 'dialed'
  readonly channel: number
}

/** A decoded frame on a link, in either direction. */
export interface StageLinkEvent {
  readonly type: 'link'
  readonly channel: number
  readonly message: StepMessage | HeldMessage | AckMessage | LinkRefusedMessage
  /** The activations of a step, `[rows, hiddenSize]`; ownership passes to the machine. */
  readonly body?: Uint8Array
}

/** A link's channel ended or broke, or a dial failed (within the shell's own deadline). At most once per channel. */
export interface StageLinkClosedEvent {
  readonly type: 'linkClosed'
  readonly channel: number
  /** `PeerUnreachable` for a failed dial, `Malformed` or `TooLarge` when a frame broke the protocol. */
  readonly code?: WireErrorCode
  readonly message: string
  /** The neighbour has ended it in peace. */
  readonly ended?: boolean
}

/** The answer to `compute`: the rows' outputs, `[rows, hiddenSize]` in the session's encoding. */
export interface StageComputedEvent {
  readonly type: 'computed'
  readonly job: number
  /** Ownership passes to the machine, which may keep it as history. */
  readonly output: Uint8Array
  /** Microseconds of compute that these rows have cost. */
  readonly computeUs: number
}

/** The answer to `compute`: none. The cache is left with `position` rows. */
export interface StageComputeFailedEvent {
  readonly type: 'computeFailed'
  readonly job: number
  /** `NotFinite` blames the input, and so the predecessor; any other code ends the session. */
  readonly code: WireErrorCode
  readonly message: string
}

/** The node begins to drain; passed on to the coordinator. */
export interface StageDrainEvent {
  readonly type: 'drain'
  readonly withinMs: number
}

/** The node itself gives the session up, for example because the runtime has failed. */
export interface StageAbortEvent {
  readonly type: 'abort'
  readonly code: WireErrorCode
  readonly message: string
}

/** {@link StageMachine.wakeAtMs} has come. Harmless when early. */
export interface StageTickEvent {
  readonly type: 'tick'
}

export type StageEvent =
  | StageControlEvent
  | StageControlClosedEvent
  | StageReservedEvent
  | StageReserveFailedEvent
  | StageHelloEvent
  | StageDialedEvent
  | StageLinkEvent
  | StageLinkClosedEvent
  | StageComputedEvent
  | StageComputeFailedEvent
  | StageDrainEvent
  | StageAbortEvent
  | StageTickEvent

/** Reserve KV rows in the runtime and bytes of the node's history budget, both or neither; then `reserved` or `reserveFailed`. */
export interface ReserveEffect {
  readonly type: 'reserve'
  readonly kvTokens: number
  readonly historyBytes: number
}

/** Give back both reservations and drop the cache (after a turn that is under way). Comes at most once, only after `reserved`. */
export interface ReleaseEffect {
  readonly type: 'release'
}

/** A response or notice without what only the shell knows: it adds `load`, and `turnMs` to `state`. */
export type StageResponse =
  | Omit<OpenedResponse, 'load'>
  | Omit<StateResponse, 'load' | 'turnMs'>
  | ReroutedResponse
  | ClosedResponse
  | RefusedResponse
  | AccuseNotice
  | { readonly type: 'drain'; readonly withinMs: number }

/** Send on the control channel. */
export interface RespondEffect {
  readonly type: 'respond'
  readonly response: StageResponse
}

/** Open a channel of the link protocol; then `dialed` or `linkClosed`. Only to addresses of the peer's own valid announcement. */
export interface DialEffect {
  readonly type: 'dial'
  readonly channel: number
  readonly peer: PeerId
  /** The peer's signed announcement as the coordinator handed it over, to be verified before use. */
  readonly record?: Uint8Array
}

/** Send a frame. A step's body is the parts, one after another; they are history and must be copied, not handed over. */
export interface SendEffect {
  readonly type: 'send'
  readonly channel: number
  readonly message: LinkMessage
  readonly parts: readonly Uint8Array[]
  /** Whether its rows were sent before: they count against the coordinator. */
  readonly isReplay: boolean
}

/** Close a link's channel (or give up its dial) once what was sent is out. No event of that channel has any effect after this. */
export interface HangUpEffect {
  readonly type: 'hangUp'
  readonly channel: number
}

/** Compute rows; then `computed` or `computeFailed`. At most one is under way per session. */
export interface ComputeEffect {
  readonly type: 'compute'
  readonly job: number
  /** Where the first row goes; the runtime cuts off what lies beyond. */
  readonly position: number
  readonly rows: number
  /** `[rows, hiddenSize]`; ownership passes on. */
  readonly input: Uint8Array
}

/** The session is over; always the last effect. End the control channel after what was sent is out, and forget the machine. */
export interface EndedEffect {
  readonly type: 'ended'
  /** Why, or undefined after a `close`. */
  readonly code?: WireErrorCode
  readonly message: string
}

export type StageEffect =
  ReserveEffect | ReleaseEffect | RespondEffect | DialEffect | SendEffect | HangUpEffect | ComputeEffect | EndedEffect
