import type { LinkDialerOptions, LinkSenderOptions, ModelId, PeerId, SessionId, TensorEncoding } from '@skein/protocol'
import { limits } from '@skein/protocol'
import type { ChainStage } from './chain-events.ts'

/** What a session is, for its whole life. */
export interface ChainMachineInit {
  /** This peer. */
  readonly coordinator: PeerId
  readonly session: SessionId
  readonly model: ModelId
  /** Blocks of the model: a chain covers `[0, totalBlocks)`. */
  readonly totalBlocks: number
  readonly hiddenSize: number
  readonly exact: boolean
  readonly encoding: TensorEncoding
  /** Rows of KV cache that every stage reserves. */
  readonly kvTokens: number
  /** History that every stage but the tail reserves. @default room for `kvTokens` rows */
  readonly historyBytes?: number
  /** `ring`: activations go from stage to stage. `star`: they all come back here in between. @default 'ring' */
  readonly transport?: 'ring' | 'star'
  readonly options?: Partial<ChainMachineOptions>
}

export interface ChainMachineOptions extends LinkSenderOptions, LinkDialerOptions {
  /** Steps submitted whose results have not come yet. */
  readonly window: number
  readonly maxStepRows: number
  /** Credits towards a stage that sends results. */
  readonly creditSteps: number
  readonly creditBytes: number
  readonly leaseMs: number
  /** From `start` to `opened`. */
  readonly openMs: number
  /** The dial of a control channel. */
  readonly connectMs: number
  /** The answer to `open`: a node makes room between two turns of its runtime. */
  readonly openStageMs: number
  /** The answer to a reroute or a close; the most that is waited for one to a probe. */
  readonly answerMs: number
  /** The answer to a probe, besides the patience for what is under way on the same connections: a node answers at once, whatever it computes. */
  readonly probeMs: number
  /** How long a recovery may wait until every block is covered again. */
  readonly coverageWaitMs: number
  /** The wait before the swarm is asked again for blocks that nobody could take. */
  readonly searchAgainMs: number
  /** Without any result for so long, all stages are probed, and then again and again. */
  readonly checkAfterMs: number
  /** Once it is known how long results take, `checkFactor` times that will do, and the patience that a step of this size deserves, but at least so long. */
  readonly leastCheckMs: number
  readonly checkFactor: number
  /** Without any progress between probes for so long, what holds the chain up is replaced. */
  readonly stuckAfterMs: number
  /** A runtime's turn that takes longer than this hangs. */
  readonly maxTurnMs: number
  /** How often a whole chain may lose stages, without any new result, before the session is given up. */
  readonly maxLosses: number
}

export const chainDefaults: ChainMachineOptions = {
  window: 2 * limits.linkCreditSteps,
  maxStepRows: limits.maxStepRows,
  creditSteps: 2 * limits.linkCreditSteps,
  creditBytes: limits.linkCreditBytes,
  leaseMs: 30_000,
  openMs: 30_000,
  connectMs: 10_000,
  openStageMs: 10_000,
  answerMs: 5_000,
  probeMs: 3_000,
  coverageWaitMs: 60_000,
  searchAgainMs: 1_000,
  checkAfterMs: 3_000,
  leastCheckMs: 1_000,
  checkFactor: 5,
  stuckAfterMs: 15_000,
  maxTurnMs: 60_000,
  maxLosses: 24,
  replayChunkRows: 256,
  ackFloorMs: 5_000,
  ackFactor: 8,
  greetMs: 10_000,
  redials: 3,
  redialMs: 200
}

/** The session as the machine sees it, for tests and status. */
export interface ChainSnapshot {
  readonly status: 'new' | 'opening' | 'open' | 'recovering' | 'closing' | 'closed'
  readonly submittedSeq: number
  readonly resultSeq: number
  readonly pending: number
  readonly rows: number
  readonly chain: readonly ChainStage[]
  readonly gaps: number
  readonly dying: number
  readonly losses: number
}
