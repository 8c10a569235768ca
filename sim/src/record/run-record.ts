/**
 * What a run leaves behind: everything that reports, comparisons and oracles read. Plain data, JSON-serializable; times are
 * virtual milliseconds (of a live run: milliseconds since its start).
 *
 * @packageDocumentation
 */

export interface StageRecord {
  readonly node: number
  readonly start: number
  readonly end: number
}

/** Where the time of a generation went, summed over its life. */
export interface TimeByCause {
  /** From the request until a chain was open: joining the swarm, waiting for blocks that nobody serves, opening the stages. */
  readonly chainMs: number
  readonly computeMs: number
  /** Bytes on their way through up- and downlinks. */
  readonly transferMs: number
  /** Propagation, jitter and retransmission. */
  readonly delayMs: number
  /** Waiting in a sender for earlier frames, and in a node for a turn. */
  readonly queueMs: number
  /** From the last sign of a chain until its coordinator noticed that something of it was lost. */
  readonly silenceMs: number
  readonly recoveryMs: number
}

export interface GenerationRecord {
  readonly id: number
  readonly client: number
  readonly startMs: number
  /** When it had its first chain. */
  readonly openedMs?: number
  readonly firstTokenMs?: number
  /** Before `endMs`, at which the session's stages were closed as well. */
  readonly lastTokenMs?: number
  readonly endMs?: number
  /** Of a conversation: which message of it, from 1. */
  readonly turn?: number
  /** In a conversation all that came before the answer. */
  readonly promptTokens: number
  readonly outputTokens: number
  /** `unfinished`: the run, or the process of its client, ended before it did. */
  readonly outcome: 'completed' | 'failed' | 'unfinished'
  readonly errorCode?: string
  /** Its tokens are not those of one undisturbed machine: a liar was in its chain, and the scenario allows that. */
  readonly isWrong?: true
  readonly recoveries: number
  readonly chain: readonly StageRecord[]
  readonly time: TimeByCause
  /** What was asked and what came, of runs with a real model. */
  readonly prompt?: string
  readonly text?: string
}

export interface RunEvent {
  readonly atMs: number
  readonly kind: 'node-up' | 'node-down' | 'fault' | 'heal' | 'recovering' | 'recovered' | 'uncovered' | 'violation'
  readonly node?: number
  readonly generation?: number
  readonly text: string
}

export interface NodeRecord {
  readonly node: number
  readonly peer: string
  readonly group: string
  readonly region: string
  readonly start: number
  readonly end: number
  /** Intervals in which it was up. */
  readonly up: ReadonlyArray<readonly [fromMs: number, toMs: number]>
  readonly busyMs: number
  readonly rows: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

/** One sample a second, or `sampleMs`. */
export interface Sample {
  readonly atMs: number
  readonly tokensPerSecond: number
  readonly sessions: number
  readonly nodesUp: number
  /** Fewest nodes that serve any one block. */
  readonly leastCoverage: number
}

/** A piece of one session's way through the swarm, for time lines and traces. */
export interface TraceSpan {
  readonly generation: number
  /** `client 3`, `node 17`. */
  readonly track: string
  readonly name: 'chain' | 'compute' | 'transfer' | 'delay' | 'queue' | 'silence' | 'recovery' | 'generation'
  readonly startMs: number
  readonly endMs: number
  readonly seq?: number
}

export interface Violation {
  readonly oracle: string
  readonly atMs: number
  readonly text: string
  /** The last events of the peers concerned. */
  readonly lastEvents: readonly string[]
  /** The one command that replays it. */
  readonly replay: string
}

export interface RunRecord {
  readonly scenario: string
  readonly seed: number
  /** Of a live run {@link liveEventLog}. */
  readonly eventLogHash: string
  /** Of a live run, real milliseconds since its start. */
  readonly virtualMs: number
  readonly wallMs: number
  /**
   * What is averaged over time is averaged over this: from when all nodes were to have started until the duration ended. Before
   * it the swarm comes to be, after it everything heals and leases run out. @default the whole run
   */
  readonly observedMs?: readonly [fromMs: number, toMs: number]
  readonly events: number
  readonly generations: readonly GenerationRecord[]
  readonly nodes: readonly NodeRecord[]
  readonly samples: readonly Sample[]
  readonly log: readonly RunEvent[]
  readonly trace: readonly TraceSpan[]
  readonly violations: readonly Violation[]
  /** Promises that nobody watched, of a live run. @default none */
  readonly notJudged?: readonly string[]
}

/** What a live run has for the hash of its event log: real time repeats nothing. */
export const liveEventLog = 'live'

/** Whether it is the record of real processes. */
export function isLive({ eventLogHash }: RunRecord): boolean {
  return eventLogHash === liveEventLog
}
