import type { BlockRange } from '../block-range.ts'
import type { ModelId, PeerId } from '../ids.ts'
import type { Numerics } from '../numerics.ts'

export type NodeState = 'joining' | 'serving' | 'draining' | 'offline'

/** The slow part of what a node says of itself: signed, sent on change, and refreshed. */
export interface Announcement {
  readonly peer: PeerId
  readonly model: ModelId
  /** Blocks of the whole model, and the width of its hidden states. */
  readonly blocks: number
  readonly hiddenSize: number
  readonly span: BlockRange
  /** Blocks at which a stage may start or end inside the span, ascending, both ends of the span included. */
  readonly entryPoints: readonly number[]
  readonly numerics: Numerics
  readonly state: NodeState
  /** Text multiaddrs without the `/p2p/` part being required. */
  readonly addresses: readonly string[]
  /** Measured: one decode step of the whole span, and rows a second in a large batch. */
  readonly stepMs: number
  readonly rowsPerSecond: number
  readonly kvTokens: number
  readonly historyBytes: number
  /** `max(persisted + 1, wall clock)`: a later announcement of the same peer and model replaces an earlier one. */
  readonly sequence: number
  /** How long it holds, from its arrival on the receiver's monotonic clock. */
  readonly lifeMs: number
}

/** An announcement with the bytes that were signed, which travel unchanged so that anybody can verify them. */
export interface SignedAnnouncement {
  readonly announcement: Announcement
  /** Canonical encoding: the signed payload and the signature. */
  readonly encoded: Uint8Array
}
