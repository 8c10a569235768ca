import type { BlockRange, NodeState, Numerics, PeerId } from '@skein/protocol'

/** One node as the coordinator knows it at this moment: its announcement, its last word on its load, and own measurements. */
export interface NodeView {
  readonly peer: PeerId
  readonly span: BlockRange
  /** Blocks at which a stage may start or end, ascending, both ends of the span included. */
  readonly entryPoints: readonly number[]
  readonly numerics: Numerics
  readonly state: NodeState
  /** One decode step of the whole span, in milliseconds. */
  readonly stepMs: number
  /** Rows a second in a large batch; tells how long the queue takes. */
  readonly rowsPerSecond: number
  /** Rows that wait to be computed. */
  readonly queuedRows: number
  /** Rows of KV cache that are free. */
  readonly freeKvTokens: number
  /** Between this coordinator and the node, in milliseconds; undefined when it was never measured. */
  readonly roundTripMs?: number
  /** Failures of late, as far as the caller has not forgiven them. Nodes without any are preferred, whatever it costs. */
  readonly failures: number
}

/** A snapshot of the swarm of one model. The order of the nodes has no influence on any decision. */
export interface SwarmView {
  readonly nodes: readonly NodeView[]
}
