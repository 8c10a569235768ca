import { carriesActivations, decodeLink, protocols } from '@skein/protocol'
import type { TurnReport } from '../compute/timed-runtime.ts'
import { chargedBytes } from '../net/charged-frame.ts'
import type { TransferReport } from '../net/virtual-network.ts'
import type { GenerationRecord, RunEvent, Sample, StageRecord, TimeByCause, TraceSpan } from './run-record.ts'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** Rows that one frame has brought. */
interface WaitingRows {
  readonly arrivedMs: number
  rows: number
  /** Some of them have had their turn. */
  hasBegun: boolean
}

/** A generation while it runs. */
export interface OpenGeneration {
  readonly id: number
  readonly client: number
  readonly startMs: number
  readonly turn?: number
  readonly promptTokens: number
  openedMs?: number
  firstTokenMs?: number
  lastTokenMs?: number
  endMs?: number
  outputTokens: number
  outcome: GenerationRecord['outcome']
  errorCode?: string
  isWrong?: true
  recoveries: number
  chain: readonly StageRecord[]
  /** Nodes that were in its chain at any time. */
  readonly nodesEver: Set<number>
  readonly time: Mutable<TimeByCause>
  recoveringSinceMs?: number
  /** When it had the chain that it has now. */
  chainSinceMs: number
  /** Whether it has had a chain. */
  isOpened: boolean
  /** Rows that have arrived at a node and not begun their turn, in their order, by the node's track. */
  readonly waiting: Map<string, WaitingRows[]>
  prompt?: string
  text?: string
  /** The last sign of life that its user has had. */
  lastSignMs: number
  /** The last arrival of activations or end of a turn, anywhere in the chain. */
  lastActivityMs: number
}

/** Where the time of each cause is counted. */
const timeNames = {
  chain: 'chainMs',
  compute: 'computeMs',
  transfer: 'transferMs',
  delay: 'delayMs',
  queue: 'queueMs',
  silence: 'silenceMs',
  recovery: 'recoveryMs'
} as const satisfies Record<Exclude<TraceSpan['name'], 'generation'>, keyof TimeByCause>

/** Trace spans of one generation beyond this are not kept: a viewer cannot show them either. */
const maxTraceSpans = 50_000

/** Gathers what a run leaves behind. It is told of things and decides nothing. */
export class Recorder {
  readonly generations: OpenGeneration[] = []
  readonly samples: Sample[] = []
  readonly log: RunEvent[] = []
  readonly trace: TraceSpan[] = []
  readonly #open = new Set<OpenGeneration>()
  readonly #bySession = new Map<string, OpenGeneration>()
  /** Channels that carry activations, by number: whose session they are of. */
  readonly #channels = new Map<number, string>()
  readonly #tracedId: number
  readonly #rowBytes: number
  #tokens = 0

  /**
   * @param tracedId the generation whose way is kept piece by piece
   * @param rowBytes what a row of activations counts for in a frame
   */
  constructor(tracedId: number, rowBytes = 1) {
    this.#tracedId = tracedId
    this.#rowBytes = rowBytes
  }

  /** Generations that have not ended. */
  get open(): ReadonlySet<OpenGeneration> {
    return this.#open
  }

  begin(client: number, promptTokens: number, nowMs: number, turn?: number): OpenGeneration {
    const generation: OpenGeneration = {
      id: this.generations.length,
      client,
      startMs: nowMs,
      ...(turn === undefined ? {} : { turn }),
      promptTokens,
      outputTokens: 0,
      outcome: 'unfinished',
      recoveries: 0,
      chain: [],
      nodesEver: new Set(),
      chainSinceMs: nowMs,
      isOpened: false,
      waiting: new Map(),
      time: { chainMs: 0, computeMs: 0, transferMs: 0, delayMs: 0, queueMs: 0, silenceMs: 0, recoveryMs: 0 },
      lastSignMs: nowMs,
      lastActivityMs: nowMs
    }
    this.generations.push(generation)
    this.#open.add(generation)
    return generation
  }

  /** From now on the session's turns and transfers count for the generation. @param key `<coordinator>/<session>` */
  opened(generation: OpenGeneration, key: string, chain: readonly StageRecord[], nowMs: number): void {
    this.#bySession.set(key, generation)
    generation.openedMs ??= nowMs
    this.#chain(generation, chain)
    this.#endWaitForChain(generation, nowMs)
    generation.lastSignMs = nowMs
  }

  /** Its user sees that it goes on: an attempt has ended in time, and another follows. */
  sign(generation: OpenGeneration, nowMs: number): void {
    generation.lastSignMs = nowMs
  }

  recovering(generation: OpenGeneration, nowMs: number): void {
    if (generation.recoveringSinceMs === undefined) {
      this.#charge(generation, `client ${generation.client}`, 'silence', generation.lastActivityMs, nowMs)
      generation.recoveringSinceMs = nowMs
    }
    generation.waiting.clear()
    generation.lastSignMs = nowMs
  }

  recovered(generation: OpenGeneration, chain: readonly StageRecord[], nowMs: number): void {
    generation.recoveries++
    generation.waiting.clear()
    this.#chain(generation, chain)
    this.#endRecovery(generation, nowMs)
    generation.lastSignMs = nowMs
  }

  tokens(generation: OpenGeneration, count: number, nowMs: number): void {
    generation.outputTokens += count
    generation.firstTokenMs ??= nowMs
    generation.lastTokenMs = nowMs
    generation.lastActivityMs = nowMs
    generation.lastSignMs = nowMs
    this.#tokens += count
  }

  end(generation: OpenGeneration, outcome: GenerationRecord['outcome'], nowMs: number, errorCode?: string): void {
    generation.outcome = outcome
    generation.endMs = nowMs
    if (errorCode !== undefined) generation.errorCode = errorCode
    this.#endWaitForChain(generation, nowMs)
    this.#endRecovery(generation, nowMs)
    generation.waiting.clear()
    this.#open.delete(generation)
    this.#span(generation, `client ${generation.client}`, 'generation', generation.startMs, nowMs)
  }

  /** A turn of a node. @param track such as `node 3` */
  turn(track: string, { startMs, endMs, entries }: TurnReport): void {
    for (const { cache, rows } of entries) {
      const generation = this.#bySession.get(cache)
      if (generation === undefined || !this.#open.has(generation)) continue
      // A turn for rows of a chain that was lost: its time is in the silence and the recovery already, and no row waited for it.
      if (startMs < generation.chainSinceMs) {
        this.#span(generation, track, 'compute', startMs, endMs)
        continue
      }
      this.#waited(generation, track, rows, startMs)
      generation.lastActivityMs = endMs
      this.#charge(generation, track, 'compute', startMs, endMs)
    }
  }

  /** So many rows have begun their turn: each frame that brought some of them has waited since it arrived. */
  #waited(generation: OpenGeneration, track: string, rows: number, startMs: number): void {
    const waiting = generation.waiting.get(track)
    for (let left = rows; left > 0 && waiting !== undefined && waiting.length > 0;) {
      const first = waiting[0]!
      // It came after the turn had begun, which was for rows that were sent before a recovery.
      if (first.arrivedMs > startMs) return
      if (!first.hasBegun) {
        first.hasBegun = true
        this.#charge(generation, track, 'queue', first.arrivedMs, startMs)
      }
      const taken = Math.min(left, first.rows)
      first.rows -= taken
      left -= taken
      if (first.rows === 0) waiting.shift()
    }
  }

  /** A client's end of the model computed for a generation. */
  ends(generation: OpenGeneration, ms: number, nowMs: number): void {
    generation.lastActivityMs = nowMs
    this.#charge(generation, `client ${generation.client}`, 'compute', nowMs - ms, nowMs)
  }

  /** A frame has arrived. @param track who received it, such as `node 3` */
  transfer(report: TransferReport, track: string): void {
    if (!carriesActivations(report.protocol)) return
    const key = this.#channels.get(report.channel) ?? this.#learn(report)
    const generation = key === undefined ? undefined : this.#bySession.get(key)
    if (report.frame.body === undefined || generation === undefined || !this.#open.has(generation)) return
    generation.lastActivityMs = report.arrivedMs
    this.#charge(generation, track, 'queue', report.sentMs, report.startMs)
    this.#charge(generation, track, 'transfer', report.startMs, report.finishMs)
    this.#charge(generation, track, 'delay', report.finishMs, report.arrivedMs)
    if (report.protocol !== protocols.link) return
    const arrived = { arrivedMs: report.arrivedMs, rows: Math.round(chargedBytes(report.frame.body) / this.#rowBytes), hasBegun: false }
    const waiting = generation.waiting.get(track)
    if (waiting === undefined) generation.waiting.set(track, [arrived])
    else waiting.push(arrived)
  }

  /** Takes a sample of the run; tokens are counted since the last one. */
  sample(facts: Omit<Sample, 'tokensPerSecond' | 'sessions'>, intervalMs: number): void {
    this.samples.push({ ...facts, tokensPerSecond: (this.#tokens * 1000) / intervalMs, sessions: this.#open.size })
    this.#tokens = 0
  }

  /** The records in the order of their beginning. */
  generationRecords(): GenerationRecord[] {
    return this.generations.map((generation) => {
      const { id, client, startMs, turn, openedMs, firstTokenMs, lastTokenMs, endMs } = generation
      const { promptTokens, outputTokens, outcome, errorCode, isWrong, recoveries, chain, time, prompt, text } = generation
      return {
        id,
        client,
        startMs,
        ...(turn === undefined ? {} : { turn }),
        ...(openedMs === undefined ? {} : { openedMs }),
        ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
        ...(lastTokenMs === undefined ? {} : { lastTokenMs }),
        ...(endMs === undefined ? {} : { endMs }),
        promptTokens,
        outputTokens,
        outcome,
        ...(errorCode === undefined ? {} : { errorCode }),
        ...(isWrong === undefined ? {} : { isWrong }),
        recoveries,
        chain,
        time: { ...time },
        ...(prompt === undefined ? {} : { prompt }),
        ...(text === undefined ? {} : { text })
      }
    })
  }

  #learn({ channel, frame }: TransferReport): string | undefined {
    try {
      const message = decodeLink(frame.head)
      if (message.type !== 'hello') return undefined
      const key = `${message.coordinator}/${message.session}`
      this.#channels.set(channel, key)
      return key
    } catch {
      // What peers of ours cannot read is their business, and their tests'.
      return undefined
    }
  }

  #chain(generation: OpenGeneration, chain: readonly StageRecord[]): void {
    generation.chain = chain
    for (const { node } of chain) generation.nodesEver.add(node)
  }

  /** Until now it has waited for its first chain. */
  #endWaitForChain(generation: OpenGeneration, nowMs: number): void {
    if (generation.isOpened) return
    generation.isOpened = true
    generation.lastActivityMs = nowMs
    this.#charge(generation, `client ${generation.client}`, 'chain', generation.startMs, nowMs)
  }

  #endRecovery(generation: OpenGeneration, nowMs: number): void {
    const sinceMs = generation.recoveringSinceMs
    if (sinceMs === undefined) return
    delete generation.recoveringSinceMs
    generation.chainSinceMs = nowMs
    generation.lastActivityMs = nowMs
    this.#charge(generation, `client ${generation.client}`, 'recovery', sinceMs, nowMs)
  }

  /** Counts what a generation's time went to. What is computed and sent during a recovery, such as its replay, is the recovery's time. */
  #charge(generation: OpenGeneration, track: string, name: keyof typeof timeNames, startMs: number, endMs: number): void {
    if (generation.recoveringSinceMs === undefined) generation.time[timeNames[name]] += endMs - startMs
    this.#span(generation, track, name, startMs, endMs)
  }

  #span(generation: OpenGeneration, track: string, name: TraceSpan['name'], startMs: number, endMs: number): void {
    if (generation.id !== this.#tracedId || endMs <= startMs || this.trace.length >= maxTraceSpans) return
    this.trace.push({ generation: generation.id, track, name, startMs, endMs })
  }
}
