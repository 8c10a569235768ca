import type { Random } from '@skein/protocol'
import { cosDegrees, sinDegrees } from '../net/great-circle.ts'
import type { Churn, DiurnalChurn, NodeGroup, Scenario } from '../scenario/scenario.ts'
import { draw, drawMs } from '../workload/draw.ts'

/** When one node comes and goes. Its calls follow each other as the node's stays do: `stay` when it has come, `away` when it has gone. */
export interface ChurnSchedule {
  /** When it comes first, in milliseconds after the start; 0 when it is there from the start, Infinity when it never comes. */
  readonly firstMs: number
  /** How long it stays that comes now. */
  stay(nowMs: number): number
  /** How long it is away that goes now; Infinity when it never comes back. */
  away(nowMs: number): number
}

export interface ChurnPlace {
  /** The node's number in its group. */
  readonly index: number
  /** Degrees east, of its region. */
  readonly longitude: number
  /** Hour of the day in UTC at the start of the run. */
  readonly startHour: number
}

/** The schedule of a node, which draws from `random`. @returns undefined for one that never leaves */
export function nodeSchedule(
  { regions, startHour }: Pick<Scenario, 'regions' | 'startHour'>,
  { group, index, region }: { readonly group: NodeGroup; readonly index: number; readonly region: string },
  random: Random
): ChurnSchedule | undefined {
  if (group.churn === undefined) return undefined
  const longitude = regions.find(({ name }) => name === region)?.longitude ?? 0
  return churnSchedule(group.churn, { index, longitude, startHour }, random)
}

/** The schedule of a node in some place, which draws from `random`. */
export function churnSchedule(churn: Churn, { index, longitude, startHour }: ChurnPlace, random: Random): ChurnSchedule {
  switch (churn.kind) {
    case 'renewal':
      return { firstMs: 0, stay: () => drawMs(churn.upMs, random), away: () => drawMs(churn.downMs, random) }
    case 'diurnal':
      return new DiurnalSchedule(churn, startHour / 24 + longitude / 360, random)
    case 'trace':
      return traceSchedule(churn.sessions[index] ?? [])
  }
}

function traceSchedule(sessions: ReadonlyArray<readonly [upMs: number, downMs: number]>): ChurnSchedule {
  let next = 0
  return {
    firstMs: sessions[0]?.[0] ?? Infinity,
    stay: (nowMs) => Math.max(0, (sessions[next++]?.[1] ?? Infinity) - nowMs),
    away: (nowMs) => Math.max(0, (sessions[next]?.[0] ?? Infinity) - nowMs)
  }
}

/** Rates are constant within one of these parts of a day: a minute. */
const parts = 1440
/** Of a stay or an absence, in days: with a share from 1 to 99 % longer ones do not come up. */
const maxDays = 60

/** Per part of a day: how many of the nodes that are there leave, and how many of the others come. */
interface Rates {
  readonly leave: Float64Array
  readonly come: Float64Array
}

const ratesOf = new WeakMap<DiurnalChurn, Rates>()

/** The share of nodes that are there. @param phase - part of the day since midnight, local time */
export function diurnalShare({ leastShare, mostShare, peakHour }: DiurnalChurn, phase: number): number {
  return leastShare + ((mostShare - leastShare) * (1 + cosDegrees(360 * (phase - peakHour / 24)))) / 2
}

/**
 * A process of two states whose probability to be up is the share p(t) at every time: with rates l(t) to leave and c(t) to
 * come, p' = c (1 - p) - l p. The rate to leave is one over the mean stay, and where p falls faster than that, nobody comes
 * and l = -p'/p.
 */
function rates(churn: DiurnalChurn): Rates {
  const known = ratesOf.get(churn)
  if (known !== undefined) return known
  const { leastShare, mostShare, peakHour, upMs, dayMs } = churn
  const found = { leave: new Float64Array(parts), come: new Float64Array(parts) }
  for (let part = 0; part < parts; part++) {
    const phase = (part + 0.5) / parts
    const share = diurnalShare(churn, phase)
    // Of a day: half the swing, times the 2 pi of a turn.
    const slope = (-(mostShare - leastShare) * 3.141592653589793 * sinDegrees(360 * (phase - peakHour / 24))) / dayMs
    const leave = Math.max(1 / upMs, -slope / share)
    found.leave[part] = leave
    found.come[part] = Math.max(0, (slope + leave * share) / (1 - share))
  }
  ratesOf.set(churn, found)
  return found
}

class DiurnalSchedule implements ChurnSchedule {
  readonly firstMs: number
  readonly #churn: DiurnalChurn
  readonly #phase: number
  readonly #random: Random

  /** @param phase - part of the day since midnight, local time, at the start of the run */
  constructor(churn: DiurnalChurn, phase: number, random: Random) {
    this.#churn = churn
    this.#phase = ((phase % 1) + 1) % 1
    this.#random = random
    this.firstMs = random.float() < diurnalShare(churn, this.#phase) ? 0 : this.away(0)
  }

  stay(nowMs: number): number {
    return this.#next(nowMs, rates(this.#churn).leave)
  }

  away(nowMs: number): number {
    return this.#next(nowMs, rates(this.#churn).come)
  }

  /** The time to the next event of a Poisson process: when the integral of its rate has reached an exponential of mean 1. */
  #next(nowMs: number, rate: Float64Array): number {
    const { dayMs } = this.#churn
    const partMs = dayMs / parts
    let left = draw({ kind: 'exponential', mean: 1 }, this.#random)
    let at = this.#phase * parts + nowMs / partMs
    let passedMs = 0
    for (let count = 0; count <= maxDays * parts; count++) {
      const part = Math.floor(at)
      const ms = (part + 1 - at) * partMs
      const perMs = rate[part % parts] as number
      if (perMs * ms >= left) return Math.round((passedMs + left / perMs) * 1000) / 1000
      left -= perMs * ms
      passedMs += ms
      at = part + 1
    }
    return passedMs
  }
}
