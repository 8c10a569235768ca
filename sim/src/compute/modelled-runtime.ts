import { blockCount, type Clock, type Random } from '@skein/protocol'
import type { CacheKey, SpanRuntimeInfo, TurnEntry } from '@skein/node'
import type { ScenarioDevice, ScenarioModel } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'
import { ChecksumRuntime } from './checksum-runtime.ts'
import { turnCost } from './cost-model.ts'

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
  readonly entries: ReadonlyArray<{ readonly cache: CacheKey; readonly rows: number; readonly position: number }>
}

export interface ModelledRuntimeComponents {
  readonly clock: Clock
  readonly random: Random
  readonly model: ScenarioModel
  readonly device: ScenarioDevice
  readonly condition: ComputeCondition
  /** Told at the end of a turn. */
  readonly onTurn?: (turn: TurnReport) => void
  /** Told when an output was falsified. */
  readonly onLie?: () => void
}

/** A span's runtime that computes checksums and takes the time that the cost model says, turn after turn. */
export function modelledRuntime(components: ModelledRuntimeComponents, info: SpanRuntimeInfo): ChecksumRuntime {
  const { clock, model, device, condition, onTurn, onLie } = components
  const noise = components.random.fork('noise')
  const lies = components.random.fork('lies')
  // Turns run one after another, in the order of the calls.
  let last: Promise<void> = Promise.resolve()
  const spend = async (entries: readonly TurnEntry[]): Promise<number> => {
    const cost = turnCost(
      model,
      device,
      entries.map(({ rows, position, span }) => ({ rows, pastRows: position, blocks: blockCount(span) }))
    )
    const factor = Math.max(0, draw(device.noise, noise)) * condition.slowFactor
    const us = Math.max(1, Math.round(cost.totalUs * factor))
    const before = last
    const mine = before.then(async () => {
      const startMs = clock.monotonicMs()
      await clock.sleep(us / 1000)
      const report = entries.map(({ cache, rows, position }) => ({ cache, rows, position }))
      onTurn?.({ startMs, endMs: clock.monotonicMs(), entries: report })
    })
    last = mine
    await mine
    return us
  }
  const tamper = (output: Uint8Array): void => {
    if (condition.lieShare <= 0 || lies.float() >= condition.lieShare) return
    output[lies.below(output.byteLength)]! ^= 1 << lies.below(8)
    onLie?.()
  }
  return new ChecksumRuntime(info, { spend, tamper })
}
