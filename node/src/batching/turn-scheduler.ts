import { type Clock, describeError, type Logger, WireErrorCode, merged } from '@skein/protocol'
import type { CacheKey, SpanRuntime, TurnEntry, TurnOutput, TurnResult } from '../runtime/span-runtime.ts'
import { planTurn, planTurnDefaults, type PlanTurnOptions } from './plan-turn.ts'

export interface TurnSchedulerComponents {
  readonly runtime: SpanRuntime
  readonly clock: Clock
  /** Hears of callbacks that throw, which must not but may: neither the node nor the other sessions of the turn pay for it. */
  readonly logger: Logger
  /** The runtime as a whole has failed: no turn will ever be computed again. Called once. */
  readonly onFailed?: (error: unknown) => void
  /** A turn has been computed, and took so long by the clock, the way to the runtime and back included. */
  readonly onTurn?: (entries: readonly TurnEntry[], tookMs: number) => void
}

/** Called once with what came of an entry. `computeUs` is this entry's share, by rows, of its turn's compute. */
export type EntryCallback = (output: TurnOutput, computeUs: number) => void

interface Waiting {
  readonly cache: CacheKey
  readonly rows: number
  readonly entry: TurnEntry
  readonly done: EntryCallback
}

/** A turn under way. */
interface Turn {
  readonly entries: readonly Waiting[]
  /** What of them the runtime is given. */
  readonly given: readonly TurnEntry[]
  readonly startedAtMs: number
  readonly running: Promise<TurnResult>
}

/** What a runtime has done. */
export interface WorkDone {
  readonly turns: number
  readonly rows: number
  /** Time in which it computed. */
  readonly busyMs: number
}

/**
 * Feeds the runtime with turns: while one turn runs, the entries that arrive wait and are gathered into the next. There is
 * never more than one turn under way, so that an arriving decode step waits for one turn at the most. The next one is handed over
 * before the results of the last are given out: the runtime does not wait for that.
 */
export class TurnScheduler {
  readonly #components: TurnSchedulerComponents
  readonly #options: PlanTurnOptions
  #waiting: Waiting[] = []
  #turnStartedAtMs: number | undefined
  #failure: string | undefined
  readonly #done = { turns: 0, rows: 0, computeUs: 0 }

  constructor(components: TurnSchedulerComponents, options: Partial<PlanTurnOptions> = {}) {
    this.#components = components
    this.#options = merged(planTurnDefaults, options)
  }

  /** Rows that wait, those of the running turn not counted. */
  get queuedRows(): number {
    return this.#waiting.reduce((sum, entry) => sum + entry.rows, 0)
  }

  /** What was done so far; turns that failed as a whole are not counted. */
  get done(): WorkDone {
    const { turns, rows, computeUs } = this.#done
    return { turns, rows, busyMs: computeUs / 1000 }
  }

  /** How long the present turn has been running; 0 when none is. */
  get turnMs(): number {
    return this.#turnStartedAtMs === undefined ? 0 : this.#components.clock.monotonicMs() - this.#turnStartedAtMs
  }

  /** Queues rows of one session. The caller bounds how many it has queued. `done` is never called from inside `submit`. */
  submit(entry: TurnEntry, done: EntryCallback): void {
    this.#waiting.push({ cache: entry.cache, rows: entry.rows, entry, done })
    if (this.#turnStartedAtMs === undefined) {
      // Not at once: what arrives in the same tick of the event loop belongs into the same turn.
      this.#turnStartedAtMs = this.#components.clock.monotonicMs()
      void this.#runTurns()
    }
  }

  /** Forgets what waits for a session; its callbacks are not called. A turn under way goes on, and its result is dropped by the caller. */
  discard(cache: CacheKey): void {
    this.#waiting = this.#waiting.filter((entry) => entry.cache !== cache)
  }

  async #runTurns(): Promise<void> {
    const { clock, onTurn } = this.#components
    await Promise.resolve()
    for (let turn = this.#begin(); turn !== undefined;) {
      const { entries, given, startedAtMs, running } = turn
      let result: TurnResult | undefined
      try {
        result = await running
        if (!Array.isArray(result?.outputs)) throw new Error('the runtime returned no outputs')
      } catch (error) {
        this.#fail(entries, error)
        turn = this.#begin()
        continue
      }
      const tookMs = clock.monotonicMs() - startedAtMs
      // Before this turn's results are handed on, for which the runtime would wait.
      const next = this.#begin()
      this.#answer(entries, result, this.#account(entries, result))
      this.#guard(() => onTurn?.(given, tookMs))
      turn = next ?? this.#begin()
    }
    this.#turnStartedAtMs = undefined
  }

  /** Hands the next turn over; undefined when nothing waits. */
  #begin(): Turn | undefined {
    const entries = this.#take()
    if (entries.length === 0) return undefined
    const startedAtMs = this.#components.clock.monotonicMs()
    this.#turnStartedAtMs = startedAtMs
    const given = entries.map(({ entry }) => entry)
    return { entries, given, startedAtMs, running: this.#run(given) }
  }

  async #run(given: readonly TurnEntry[]): Promise<TurnResult> {
    if (this.#failure !== undefined) throw new Error(this.#failure)
    return this.#components.runtime.run(given)
  }

  /** What the next turn computes; most of the time it is all that waits. */
  #take(): Waiting[] {
    const waiting = this.#waiting
    const chosen = waiting.length > 1 ? planTurn(waiting, this.#options) : undefined
    if (chosen === undefined || chosen.length === waiting.length) {
      this.#waiting = []
      return waiting
    }
    const taken = new Set(chosen)
    this.#waiting = waiting.filter((_, index) => !taken.has(index))
    return chosen.map((index) => waiting[index] as Waiting)
  }

  /** Returns the turn's rows. */
  #account(entries: readonly Waiting[], { computeUs }: TurnResult): number {
    let rows = 0
    for (const entry of entries) rows += entry.rows
    this.#done.turns++
    this.#done.rows += rows
    this.#done.computeUs += computeUs
    return rows
  }

  /** The runtime as a whole has failed: nobody's rows can be computed any more. */
  #fail(entries: readonly Waiting[], error: unknown): void {
    const isFirst = this.#failure === undefined
    this.#failure ??= describeError(error)
    if (isFirst) this.#guard(() => this.#components.onFailed?.(error))
    const output = { ok: false as const, code: WireErrorCode.Internal, message: `the runtime has failed: ${this.#failure}` }
    for (const { done } of entries) this.#guard(() => done(output, 0))
  }

  #answer(entries: readonly Waiting[], { outputs, computeUs }: TurnResult, rows: number): void {
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index] as Waiting
      const output = outputs[index] ?? { ok: false as const, code: WireErrorCode.Internal, message: 'the runtime returned too few outputs' }
      this.#guard(() => entry.done(output, Math.round((computeUs * entry.rows) / rows)))
    }
  }

  /** Calls into other code. Whatever that throws would end the process from here, and leave the rest of the turn without an answer. */
  #guard(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#components.logger.error('a callback of a turn failed', {}, error)
    }
  }
}
