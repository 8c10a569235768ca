import type { BenchMeasure } from './bench.ts'

/**
 * The q-quantile by linear interpolation between the two nearest ranks (type 7 of Hyndman and Fan 1996, as in numpy).
 *
 * @param q between 0 and 1
 * @throws RangeError when there are no values
 */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('no values to take a quantile of')
  if (!(q >= 0 && q <= 1)) throw new RangeError(`a quantile is between 0 and 1, not ${q}`)
  const sorted = [...values].sort((a, b) => a - b)
  const rank = q * (sorted.length - 1)
  const below = sorted[Math.floor(rank)]!
  const above = sorted[Math.ceil(rank)]!
  // The bound is for rounding alone.
  return Math.min(above, below + (above - below) * (rank - Math.floor(rank)))
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/**
 * The median of the ratios of values taken in turns (a b a b ...), so that a machine that slows down between rounds slows
 * both. More robust than the ratio of the medians.
 */
export function medianRatio(numerators: readonly number[], denominators: readonly number[]): number {
  if (numerators.length !== denominators.length) throw new RangeError('a ratio needs as many numerators as denominators')
  return median(numerators.map((value, index) => value / denominators[index]!))
}

export function summarize(name: string, unit: BenchMeasure['unit'], values: readonly number[]): BenchMeasure {
  return {
    name,
    unit,
    samples: values.length,
    min: quantile(values, 0),
    median: median(values),
    p95: quantile(values, 0.95),
    max: quantile(values, 1)
  }
}

/** Runs `work` `warmups` times unmeasured, then `rounds` times. @returns the times in ms, on the real monotonic clock */
export async function timeRounds(rounds: number, warmups: number, work: () => Promise<void> | void): Promise<number[]> {
  for (let round = 0; round < warmups; round++) await work()
  const timesMs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const started = performance.now()
    await work()
    timesMs.push(performance.now() - started)
  }
  return timesMs
}
