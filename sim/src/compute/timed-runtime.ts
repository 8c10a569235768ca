import type { CacheKey, SpanRuntime, SpanRuntimeInfo, TurnEntry, TurnOutput, TurnResult } from '@skein/node'
import { blockCount, type BlockRange, type Clock, type Random } from '@skein/protocol'
import type { ScenarioDevice, ScenarioModel } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'
import { turnCost, type TurnRows } from './cost-model.ts'

/** What faults do to a node's computing; shared by all its incarnations and read at each turn. */
export interface ComputeCondition {
  /** Multiplies each turn's time. */
  slowFactor: number
  /** Share of the entries whose output is wrong. */
  lieShare: number
}

/** A turn as it was charged. Times are virtual milliseconds. */
export interface TurnReport {
  readonly startMs: number
  readonly endMs: number
  readonly entries: ReadonlyArray<TurnRows & { readonly cache: CacheKey }>
}

export interface TimedRuntimeComponents {
  readonly clock: Clock
  readonly random: Random
  readonly model: ScenarioModel
  readonly device: ScenarioDevice
  readonly condition: ComputeCondition
  /** Takes the time of a turn. @default it passes, as on a machine of its own */
  readonly compute?: (us: number) => Promise<void>
  /** Told at the end of a turn. */
  readonly onTurn?: (turn: TurnReport) => void
  /** Told when an output was falsified. */
  readonly onLie?: () => void
}

/**
 * Puts virtual time around a runtime that computes at once: a turn takes what the cost model says of the device, turn after
 * turn. A lying node's outputs are falsified here.
 */
export class TimedRuntime implements SpanRuntime {
  readonly info: SpanRuntimeInfo
  readonly #inner: SpanRuntime
  readonly #components: TimedRuntimeComponents
  readonly #noise: Random
  readonly #lies: Random
  /** Turns run one after another, in the order of the calls: how many have not ended, and the last of them. */
  #turns = 0
  #last: Promise<TurnResult> | undefined

  constructor(inner: SpanRuntime, components: TimedRuntimeComponents) {
    this.info = inner.info
    this.#inner = inner
    this.#components = components
    this.#noise = components.random.fork('noise')
    this.#lies = components.random.fork('lies')
  }

  freeKvTokens(): number {
    return this.#inner.freeKvTokens()
  }

  reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    return this.#inner.reserve(cache, tokens, span)
  }

  run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const next = (): Promise<TurnResult> => this.#turn(entries)
    this.#last = this.#turns++ === 0 || this.#last === undefined ? next() : this.#last.then(next, next)
    return this.#last
  }

  release(cache: CacheKey): Promise<void> {
    return this.#inner.release(cache)
  }

  stop(): Promise<void> {
    return this.#inner.stop()
  }

  async #turn(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const { clock, compute, onTurn } = this.#components
    try {
      const startMs = clock.monotonicMs()
      // Their shape is read now: the runtime owns the entries from here on.
      const report = entries.map(({ cache, rows, position, span }) => ({
        cache,
        rows,
        pastRows: position,
        blocks: blockCount(span)
      }))
      const computeUs = this.#costUs(report)
      const { outputs } = await this.#inner.run(entries)
      for (const output of outputs) this.#falsify(output)
      await (compute === undefined ? clock.sleep(computeUs / 1000) : compute(computeUs))
      const endMs = clock.monotonicMs()
      onTurn?.({ startMs, endMs, entries: report })
      // A node measures what its turns took, whoever else computed at the time.
      return { outputs, computeUs: compute === undefined ? computeUs : Math.round((endMs - startMs) * 1000) }
    } finally {
      this.#turns--
    }
  }

  #costUs(rows: readonly TurnRows[]): number {
    const { model, device, condition } = this.#components
    const factor = Math.max(0, draw(device.noise, this.#noise)) * condition.slowFactor
    return Math.max(1, Math.round(turnCost(model, device, rows).totalUs * factor))
  }

  #falsify(output: TurnOutput): void {
    const { condition, onLie } = this.#components
    if (condition.lieShare <= 0 || !output.ok || this.#lies.float() >= condition.lieShare) return
    // A high bit of a mantissa, little endian: another number that is as finite as the true one.
    const value = this.#lies.below(output.output.byteLength >> 2)
    output.output[4 * value + 2]! ^= 0x40
    onLie?.()
  }
}
