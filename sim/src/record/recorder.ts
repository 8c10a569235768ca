import { decodeLink, protocols } from '@skein/protocol'
import type { TurnReport } from '../compute/timed-runtime.ts'
import type { TransferReport } from '../net/virtual-network.ts'
import type { GenerationRecord, RunEvent, Sample, StageRecord, TimeByCause, TraceSpan } from './run-record.ts'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** A generation while it runs. */
export interface OpenGeneration {
  readonly id: number
  readonly client: number
  readonly startMs: number
  readonly promptTokens: number
  firstTokenMs?: number
  lastTokenMs?: number
  endMs?: number
  outputTokens: number
  outcome: GenerationRecord['outcome']
  errorCode?: string
  recoveries: number
  chain: readonly StageRecord[]
  /** Nodes that were in its chain at any time. */
  readonly nodesEver: Set<number>
  readonly time: Mutable<TimeByCause>
  recoveringSinceMs?: number
  prompt?: string
  text?: string
  /** The last sign of life. */
  lastSignMs: number
}

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
  #tokens = 0

  /** @param tracedId the generation whose way is kept piece by piece */
  constructor(tracedId: number) {
    this.#tracedId = tracedId
  }

  /** Generations that have not ended. */
  get open(): ReadonlySet<OpenGeneration> {
    return this.#open
  }

  begin(client: number, promptTokens: number, nowMs: number): OpenGeneration {
    const generation: OpenGeneration = {
      id: this.generations.length,
      client,
      startMs: nowMs,
      promptTokens,
      outputTokens: 0,
      outcome: 'unfinished',
      recoveries: 0,
      chain: [],
      nodesEver: new Set(),
      time: { computeMs: 0, transferMs: 0, delayMs: 0, queueMs: 0, recoveryMs: 0 },
      lastSignMs: nowMs
    }
    this.generations.push(generation)
    this.#open.add(generation)
    return generation
  }

  /** From now on the session's turns and transfers count for the generation. @param key `<coordinator>/<session>` */
  opened(generation: OpenGeneration, key: string, chain: readonly StageRecord[], nowMs: number): void {
    this.#bySession.set(key, generation)
    this.#chain(generation, chain)
    generation.lastSignMs = nowMs
  }

  recovering(generation: OpenGeneration, nowMs: number): void {
    generation.recoveringSinceMs ??= nowMs
    generation.lastSignMs = nowMs
  }

  recovered(generation: OpenGeneration, chain: readonly StageRecord[], nowMs: number): void {
    generation.recoveries++
    this.#chain(generation, chain)
    this.#endRecovery(generation, nowMs)
    generation.lastSignMs = nowMs
  }

  tokens(generation: OpenGeneration, count: number, nowMs: number): void {
    generation.outputTokens += count
    generation.firstTokenMs ??= nowMs
    generation.lastTokenMs = nowMs
    generation.lastSignMs = nowMs
    this.#tokens += count
  }

  end(generation: OpenGeneration, outcome: GenerationRecord['outcome'], nowMs: number, errorCode?: string): void {
    generation.outcome = outcome
    generation.endMs = nowMs
    if (errorCode !== undefined) generation.errorCode = errorCode
    this.#endRecovery(generation, nowMs)
    this.#open.delete(generation)
    this.#span(generation, `client ${generation.client}`, 'generation', generation.startMs, nowMs)
  }

  /** A turn of a node. */
  turn(node: number, { startMs, endMs, entries }: TurnReport): void {
    for (const { cache } of entries) {
      const generation = this.#bySession.get(cache)
      if (generation === undefined || !this.#open.has(generation)) continue
      generation.time.computeMs += endMs - startMs
      this.#span(generation, `node ${node}`, 'compute', startMs, endMs)
    }
  }

  /** A client's end of the model computed for a generation. */
  ends(generation: OpenGeneration, ms: number, nowMs: number): void {
    generation.time.computeMs += ms
    this.#span(generation, `client ${generation.client}`, 'compute', nowMs - ms, nowMs)
  }

  /** A frame has arrived. @param track who received it, such as `node 3` */
  transfer(report: TransferReport, track: string): void {
    if (report.protocol !== protocols.link && report.protocol !== protocols.results) return
    const key = this.#channels.get(report.channel) ?? this.#learn(report)
    const generation = key === undefined ? undefined : this.#bySession.get(key)
    if (generation === undefined || report.frame.body === undefined || !this.#open.has(generation)) return
    const { time } = generation
    time.queueMs += report.startMs - report.sentMs
    time.transferMs += report.finishMs - report.startMs
    time.delayMs += report.arrivedMs - report.finishMs
    this.#span(generation, track, 'queue', report.sentMs, report.startMs)
    this.#span(generation, track, 'transfer', report.startMs, report.finishMs)
    this.#span(generation, track, 'delay', report.finishMs, report.arrivedMs)
  }

  /** Takes a sample of the run; tokens are counted since the last one. */
  sample(facts: Omit<Sample, 'tokensPerSecond' | 'sessions'>, intervalMs: number): void {
    this.samples.push({ ...facts, tokensPerSecond: (this.#tokens * 1000) / intervalMs, sessions: this.#open.size })
    this.#tokens = 0
  }

  /** The records in the order of their beginning. */
  generationRecords(): GenerationRecord[] {
    return this.generations.map((generation) => {
      const { id, client, startMs, firstTokenMs, lastTokenMs, endMs } = generation
      const { promptTokens, outputTokens, outcome, errorCode, recoveries, chain, time, prompt, text } = generation
      return {
        id,
        client,
        startMs,
        ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
        ...(lastTokenMs === undefined ? {} : { lastTokenMs }),
        ...(endMs === undefined ? {} : { endMs }),
        promptTokens,
        outputTokens,
        outcome,
        ...(errorCode === undefined ? {} : { errorCode }),
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

  #endRecovery(generation: OpenGeneration, nowMs: number): void {
    const sinceMs = generation.recoveringSinceMs
    if (sinceMs === undefined) return
    delete generation.recoveringSinceMs
    generation.time.recoveryMs += nowMs - sinceMs
    this.#span(generation, `client ${generation.client}`, 'recovery', sinceMs, nowMs)
  }

  #span(generation: OpenGeneration, track: string, name: TraceSpan['name'], startMs: number, endMs: number): void {
    if (generation.id !== this.#tracedId || endMs <= startMs || this.trace.length >= maxTraceSpans) return
    this.trace.push({ generation: generation.id, track, name, startMs, endMs })
  }
}
