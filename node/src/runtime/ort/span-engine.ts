/**
 * Computes turns on this thread: sessions of ONNX Runtime, KV caches and lanes put together. Synchronous inside, so it
 * belongs into a worker, or into tests.
 *
 * @packageDocumentation
 */
import {
  InvalidArgumentError,
  WireError,
  WireErrorCode,
  allFinite,
  allFiniteEncoded,
  containsRange,
  decodeRows,
  describeError,
  encodeRows,
  formatBlockRange,
  rowBytes
} from '@skein/protocol'
import type { BlockRange, Clock } from '@skein/protocol'
import type { PreparedSpan } from '../../graph/span-graph.ts'
import { KvStore } from '../kv-store.ts'
import { planLanes, planLanesDefaults } from '../plan-lanes.ts'
import type { LaneRun, PlanLanesOptions } from '../plan-lanes.ts'
import type { CacheKey, SpanRuntimeInfo, TurnEntry, TurnOutput, TurnResult } from '../span-runtime.ts'
import type { OrtEnvironment } from './environment.ts'
import { GroupSession } from './group-session.ts'
import { kernelClass } from './kernel-class.ts'
import { openGraphs, openGraphsSync, releaseGraphs, type OpenedGraphs } from './open-graphs.ts'
import { RunTensors } from './run-tensors.ts'
import type { OrtRunOptions, OrtSession } from './session.ts'

export interface SpanEngineInit {
  readonly prepared: PreparedSpan
  /** Rows of KV cache in all. */
  readonly kvTokens: number
  /** Threads that one operator may use. */
  readonly threads: number
  /** @default planLanesDefaults */
  readonly plan?: Partial<Omit<PlanLanesOptions, 'lanes'>>
}

/** How a turn is given up from outside. */
export interface TurnControl {
  /** Whether the turn was given up. */
  cancelled(): boolean
  /** Handed to every run, so that a terminate reaches it. */
  readonly runOptions: OrtRunOptions | null
}

/** An entry under way: `rows` are the input, and after each group its output. */
interface Job {
  readonly entry: TurnEntry
  readonly rows: Float32Array
  failure?: { code: string; message: string }
}

type Failure = Extract<TurnOutput, { ok: false }>

/** Before anything is opened. @throws InvalidArgumentError */
function requireKvTokens({ kvTokens }: SpanEngineInit): void {
  if (!Number.isSafeInteger(kvTokens) || kvTokens < 1) throw new InvalidArgumentError(`kvTokens must be 1 or more, not ${kvTokens}`)
}

export class SpanEngine {
  readonly info: SpanRuntimeInfo
  readonly #environment: OrtEnvironment
  readonly #groups: GroupSession[] = []
  readonly #tensors: RunTensors
  readonly #planOptions: PlanLanesOptions
  readonly store: KvStore

  /** Opens the span's graphs on other threads. @throws OrtError when one cannot be loaded; InvalidArgumentError */
  static async open(init: SpanEngineInit, clock: Pick<Clock, 'monotonicMs'>): Promise<SpanEngine> {
    requireKvTokens(init)
    return SpanEngine.#of(init, clock, await openGraphs(init.prepared.groups, init))
  }

  /** Opens the span's graphs on this thread. @throws OrtError when one cannot be loaded; InvalidArgumentError */
  static openSync(init: SpanEngineInit, clock: Pick<Clock, 'monotonicMs'>): SpanEngine {
    requireKvTokens(init)
    return SpanEngine.#of(init, clock, openGraphsSync(init.prepared.groups, init))
  }

  static #of(init: SpanEngineInit, clock: Pick<Clock, 'monotonicMs'>, opened: OpenedGraphs): SpanEngine {
    try {
      return new SpanEngine(init, clock, opened)
    } catch (error) {
      releaseGraphs(opened)
      throw error
    }
  }

  private constructor(
    init: SpanEngineInit,
    private readonly clock: Pick<Clock, 'monotonicMs'>,
    { environment, sessions }: OpenedGraphs
  ) {
    const { prepared, kvTokens } = init
    const { shape, lanes, span } = prepared
    this.#planOptions = { ...planLanesDefaults, ...init.plan, lanes }
    this.#environment = environment
    for (const [index, group] of prepared.groups.entries()) {
      this.#groups.push(new GroupSession(environment, sessions[index] as OrtSession, group, shape, lanes))
    }
    this.#tensors = new RunTensors(environment, { ...this.#planOptions, shape })
    this.store = new KvStore({
      span,
      kvHeads: shape.kvHeads,
      headDim: shape.headDim,
      contextTokens: shape.contextTokens,
      kvTokens,
      slotsPerSegment: this.#planOptions.maxWindowSlots,
      onSegmentFreed: (segment) => this.#groups.forEach((group) => group.forget(segment))
    })
    this.info = {
      span,
      entryPoints: [...prepared.groups.map((group) => group.blocks.start), span.end],
      hiddenSize: shape.hiddenSize,
      numerics: { weights: prepared.dtype, kernels: kernelClass() },
      contextTokens: shape.contextTokens,
      kvTokens
    }
  }

  /** As {@link SpanRuntime.reserve}. @throws WireError */
  reserve(cache: CacheKey, tokens: number, span: BlockRange): void {
    const { entryPoints } = this.info
    if (!containsRange(this.info.span, span) || !entryPoints.includes(span.start) || !entryPoints.includes(span.end)) {
      const message = `blocks ${formatBlockRange(span)} cannot be used here: a stage begins and ends at one of ${entryPoints.join(', ')}`
      throw new WireError(WireErrorCode.WrongSpan, message)
    }
    this.store.reserve(cache, tokens, span)
  }

  release(cache: CacheKey): void {
    this.store.release(cache)
  }

  /** As {@link SpanRuntime.run}; blocks the thread. */
  run(entries: readonly TurnEntry[], control: TurnControl = { cancelled: () => false, runOptions: null }): TurnResult {
    const startMs = this.clock.monotonicMs()
    const seen = new Set<CacheKey>()
    const jobs = entries.map((entry): Job | Failure => {
      const twice = seen.has(entry.cache)
      seen.add(entry.cache)
      return twice ? failure(WireErrorCode.OutOfOrder, 'a cache can have only one entry in a turn') : this.#accept(entry)
    })
    const accepted = jobs.filter((job): job is Job => !('ok' in job))
    for (const group of this.#groups) {
      if (control.cancelled()) break
      this.#runGroup(group, accepted, control)
    }
    if (control.cancelled()) for (const job of accepted) job.failure ??= { code: 'ERR_SKEIN_ABORTED', message: 'the turn was given up' }
    const outputs = jobs.map((job) => ('ok' in job ? job : this.#finish(job)))
    return { outputs, computeUs: Math.round((this.clock.monotonicMs() - startMs) * 1000) }
  }

  /** Releases everything. No turn may be under way. */
  close(): void {
    this.store.close()
    for (const group of this.#groups) group.release()
    this.#tensors.release()
    this.#environment.close()
  }

  /** Checks an entry against its cache, and cuts that to the entry's position. */
  #accept(entry: TurnEntry): Job | Failure {
    const { cache, position, rows, span, encoding, input } = entry
    const { hiddenSize } = this.info
    if (!this.store.has(cache)) return failure(WireErrorCode.UnknownSession, 'this session has no KV cache here: open it first')
    const reserved = this.store.span(cache)
    if (reserved.start !== span.start || reserved.end !== span.end) {
      const message = `the session was opened for blocks ${formatBlockRange(reserved)}, not ${formatBlockRange(span)}`
      return failure(WireErrorCode.WrongSpan, message)
    }
    const held = this.store.rows(cache)
    if (!Number.isSafeInteger(position) || position < 0 || position > held) {
      return failure(WireErrorCode.OutOfOrder, `a step at position ${position} does not follow the ${held} rows that the cache holds`)
    }
    this.store.cut(cache, position)
    if (encoding === 'raw') return failure(WireErrorCode.Unsupported, 'rows in the encoding raw cannot be computed: use f32, f16 or bf16')
    if (!Number.isSafeInteger(rows) || rows < 1 || input.byteLength !== rows * rowBytes(encoding, hiddenSize)) {
      return failure(WireErrorCode.Malformed, `${input.byteLength} bytes are not ${rows} rows of ${hiddenSize} values in ${encoding}`)
    }
    const reservedTokens = this.store.reservedTokens(cache)
    if (position + rows > reservedTokens) {
      const message = `${rows} rows at position ${position} pass the session's reservation of ${reservedTokens} rows`
      return failure(WireErrorCode.TooLong, message)
    }
    const values = decodeRows(encoding, input)
    if (!allFinite(values)) return failure(WireErrorCode.NotFinite, 'the activations that arrived hold NaN or infinity')
    return { entry, rows: values }
  }

  #runGroup(group: GroupSession, jobs: readonly Job[], control: TurnControl): void {
    const active = jobs.filter(
      ({ entry, failure }) => failure === undefined && entry.span.start <= group.start && group.end <= entry.span.end
    )
    if (active.length === 0) return
    for (const run of this.#plan(active)) {
      if (control.cancelled()) return
      // A piece of an entry must not go on behind one that failed.
      if (run.pieces.some((piece) => active[piece.entry]?.failure !== undefined)) {
        this.#failRun(run, active, 'an earlier part of it failed')
        continue
      }
      try {
        this.#tensors.load(run)
        this.#gather(run, active)
        group.run(run, this.#tensors, this.store, control.runOptions)
        this.#scatter(run, active)
      } catch (error) {
        if (control.cancelled()) return
        this.#failRun(run, active, describeError(error))
      }
    }
  }

  #plan(jobs: readonly Job[]): LaneRun[] {
    const entries = jobs.map(({ entry }) => {
      const { segment, slot } = this.store.place(entry.cache)
      return { rows: entry.rows, position: entry.position, exact: entry.exact, segment: segment.id, slot }
    })
    return planLanes(entries, (segment, slot) => this.store.rowsInSlot(segment, slot), this.#planOptions)
  }

  #failRun(run: LaneRun, jobs: readonly Job[], message: string): void {
    for (const piece of run.pieces) {
      const job = jobs[piece.entry] as Job
      job.failure ??= { code: WireErrorCode.Internal, message: `the node could not compute this step: ${message}` }
    }
  }

  #gather(run: LaneRun, jobs: readonly Job[]): void {
    const { hiddenSize } = this.info
    let at = 0
    for (const piece of run.pieces) {
      const from = piece.from * hiddenSize
      this.#tensors.input.set((jobs[piece.entry] as Job).rows.subarray(from, from + piece.rows * hiddenSize), at)
      at += piece.rows * hiddenSize
    }
  }

  #scatter(run: LaneRun, jobs: readonly Job[]): void {
    const { hiddenSize } = this.info
    let at = 0
    for (const piece of run.pieces) {
      const end = at + piece.rows * hiddenSize
      ;(jobs[piece.entry] as Job).rows.set(this.#tensors.output.subarray(at, end), piece.from * hiddenSize)
      at = end
    }
  }

  #finish({ entry, rows, failure: failed }: Job): TurnOutput {
    if (failed !== undefined) return { ok: false, ...failed }
    if (!allFinite(rows)) {
      return failure(WireErrorCode.NotFinite, `blocks ${formatBlockRange(entry.span)} turned the activations into NaN or infinity`)
    }
    const output = encodeRows(entry.encoding, rows)
    // A value beyond f16 becomes infinity: the next stage would refuse it, so it is refused where it arises.
    if (entry.encoding !== 'f32' && !allFiniteEncoded(entry.encoding, output)) {
      return failure(WireErrorCode.NotFinite, `the activations are too large for ${entry.encoding}: use f32 on this link`)
    }
    this.store.fill(entry.cache, entry.position + entry.rows)
    return { ok: true, output }
  }
}

function failure(code: string, message: string): Failure {
  return { ok: false, code, message }
}
