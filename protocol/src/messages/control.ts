/**
 * Messages of `/skein/control/1.0`. The coordinator opens one channel per session and stage. It sends requests; the stage
 * answers each request that has an `id` with exactly one response of that `id`, and sends notices in between.
 *
 * @packageDocumentation
 */
import type { BlockRange } from '../block-range.ts'
import type { ErrorDetail, WireErrorCode } from '../errors.ts'
import type { ModelId, PeerId, SessionId } from '../ids.ts'
import type { Numerics, TensorEncoding } from '../numerics.ts'

/**
 * The other end of a link. A stage is named by its peer id, never by an address; `record` may carry that peer's own signed
 * announcement (encoded) for a stage that has not heard it yet. The coordinator needs no name: it is the peer of this
 * control channel, and always the one who opens its links.
 */
export type LinkPeer = { readonly kind: 'coordinator' } | { readonly kind: 'stage'; readonly peer: PeerId; readonly record?: Uint8Array }

/** One end of a link as a coordinator sets it. `term` is at least 1 and rises whenever either end changes. */
export interface LinkEnd {
  readonly term: number
  readonly to: LinkPeer
}

/** Reserves and opens one stage of a chain. Chains open tail first. */
export interface OpenRequest {
  readonly type: 'open'
  readonly id: number
  readonly session: SessionId
  readonly model: ModelId
  /** What this stage computes; a part of what the node hosts, cut at its entry points. */
  readonly span: BlockRange
  readonly numerics: Numerics
  /** One-token steps are computed so that any chunking gives the same bits. */
  readonly exact: boolean
  /** Rows of KV cache to reserve. */
  readonly kvTokens: number
  /** Bytes of history to reserve; 0 for a tail, which keeps none. */
  readonly historyBytes: number
  /** How rows arrive and leave. */
  readonly encoding: TensorEncoding
  readonly predecessor: LinkEnd
  readonly successor: LinkEnd
  /** The session ends when no request has come for so long. */
  readonly leaseMs: number
}

/** Changes one end of this stage's links. Answered by `rerouted`, whose `held` is this stage's own state. */
export interface RerouteRequest {
  readonly type: 'reroute'
  readonly id: number
  readonly side: 'predecessor' | 'successor'
  readonly link: LinkEnd
}

/**
 * Steps `from` to `to` (inclusive, the last one sent) are of no use any more: a stage that has not computed them passes a
 * tombstone on, and what it has computed of them it forgets. The next step's position is at most theirs.
 */
export interface SkipRequest {
  readonly type: 'skip'
  readonly from: number
  readonly to: number
}

/** Renews the lease and asks how the stage stands. Answered by `state`. */
export interface ProbeRequest {
  readonly type: 'probe'
  readonly id: number
}

/** Ends the session: KV cache and history are dropped. Answered by `closed`, after which the stage ends the channel. */
export interface CloseRequest {
  readonly type: 'close'
  readonly id: number
}

export type ControlRequest = OpenRequest | RerouteRequest | SkipRequest | ProbeRequest | CloseRequest

/** The part of an announcement that changes fast. */
export interface NodeLoad {
  /** Rows that wait to be computed, of all sessions. */
  readonly queuedRows: number
  readonly freeKvTokens: number
  readonly freeHistoryBytes: number
  readonly sessions: number
}

export interface OpenedResponse {
  readonly type: 'opened'
  readonly id: number
  readonly load: NodeLoad
}

export interface ReroutedResponse {
  readonly type: 'rerouted'
  readonly id: number
  readonly held: Held
  /** The first row from which this stage can replay; equals `held.rows` when it has no history. */
  readonly historyFrom: number
}

export interface StateResponse {
  readonly type: 'state'
  readonly id: number
  readonly held: Held
  readonly historyFrom: number
  /** The last seq taken from the predecessor's link, computed or not. */
  readonly acceptedSeq: number
  /** The last seq that was sent to the successor, and the last one that it acknowledged. */
  readonly sentSeq: number
  readonly acknowledgedSeq: number
  /** How long the runtime's present turn has been running; 0 when it rests. A heartbeat alone proves only the event loop. */
  readonly turnMs: number
  readonly load: NodeLoad
}

export interface ClosedResponse {
  readonly type: 'closed'
  readonly id: number
}

/** The typed refusal of a request (`id`), or of the session as a whole (`id` 0), after which the stage ends the channel. */
export interface RefusedResponse {
  readonly type: 'refused'
  readonly id: number
  readonly code: WireErrorCode
  readonly message: string
  readonly detail: ErrorDetail
  readonly load?: NodeLoad
}

/** This stage's link to or from a peer broke or makes no progress. It proves nothing: the coordinator probes by itself. */
export interface AccuseNotice {
  readonly type: 'accuse'
  readonly side: 'predecessor' | 'successor'
  readonly term: number
  readonly code: WireErrorCode
  readonly message: string
}

/** The node wants to go: it serves on, and the coordinator should find a replacement before `withinMs`. */
export interface DrainNotice {
  readonly type: 'drain'
  readonly withinMs: number
}

export type ControlResponse =
  OpenedResponse | ReroutedResponse | StateResponse | ClosedResponse | RefusedResponse | AccuseNotice | DrainNotice

/**
 * What a stage has in its cache, or will have once what it has taken is computed. `tail` is the end of its map from rows to seqs: pairs of (first row, seq) ascending, at
 * most `limits.heldTailRuns`, the last of which reaches to `rows`. Empty when `rows` is 0.
 */
export interface Held {
  readonly rows: number
  /** The last seq that these rows are of, 0 at the start. In `state` the last one computed; else the last one taken, which may be queued. */
  readonly lastSeq: number
  readonly tail: ReadonlyArray<readonly [firstRow: number, seq: number]>
}
