import type { Random } from '@skein/protocol'
import type { Distribution } from '../scenario/scenario.ts'
import { exp, ln, normalQuantile, pow } from './series.ts'

/** Uniform in (0, 1), without its ends. */
function open(random: Random): number {
  return (random.uint32() + 0.5) / 0x1_0000_0000
}

/** Draws a number. The same generator gives the same numbers on every machine. */
export function draw(distribution: Distribution, random: Random): number {
  switch (distribution.kind) {
    case 'constant':
      return distribution.value
    case 'uniform':
      return distribution.min + (distribution.max - distribution.min) * random.float()
    case 'exponential':
      return -distribution.mean * ln(open(random))
    case 'gamma': {
      const variance = distribution.cv * distribution.cv
      return distribution.mean * variance * drawGamma(1 / variance, random)
    }
    case 'weibull':
      return distribution.scale * pow(-ln(open(random)), 1 / distribution.shape)
    case 'lognormal':
      return distribution.median * exp(distribution.sigma * normalQuantile(open(random)))
    case 'empirical':
      return distribution.values[random.below(distribution.values.length)] ?? 0
  }
}

/**
 * Of the gamma distribution with a scale of 1, by Marsaglia and Tsang ("A simple method for generating gamma variables", ACM
 * TOMS 26, 2000): the cube of a normal number, drawn again in the few cases where it does not fit.
 */
function drawGamma(shape: number, random: Random): number {
  // Theirs is for shapes of at least 1; a smaller one is that of 1 more, times a power of a uniform number.
  if (shape < 1) return drawGamma(shape + 1, random) * pow(open(random), 1 / shape)
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = normalQuantile(open(random))
    const root = 1 + c * x
    const cube = root * root * root
    if (cube > 0 && ln(open(random)) < (x * x) / 2 + d * (1 - cube + ln(cube))) return d * cube
  }
}

/** Draws a whole number of at least `min` and at most `max`. */
export function drawCount(distribution: Distribution, random: Random, min: number, max = Number.MAX_SAFE_INTEGER): number {
  return Math.min(max, Math.max(min, Math.round(draw(distribution, random))))
}

/** Draws a duration in whole microseconds, as milliseconds; never negative. */
export function drawMs(distribution: Distribution, random: Random): number {
  return Math.max(0, Math.round(draw(distribution, random) * 1000)) / 1000
}

/** The expected value, for reports and estimates. */
export function meanOf(distribution: Distribution): number {
  switch (distribution.kind) {
    case 'constant':
      return distribution.value
    case 'uniform':
      return (distribution.min + distribution.max) / 2
    case 'exponential':
    case 'gamma':
      return distribution.mean
    case 'weibull':
      return distribution.scale * gamma(1 + 1 / distribution.shape)
    case 'lognormal':
      return distribution.median * exp((distribution.sigma * distribution.sigma) / 2)
    case 'empirical':
      return distribution.values.reduce((sum, value) => sum + value, 0) / Math.max(1, distribution.values.length)
  }
}

/** The gamma function for x >= 1 by Stirling's series, after raising x to where the series is good. */
function gamma(x: number): number {
  let product = 1
  let at = x
  while (at < 10) product *= at++
  const series = 1 / (12 * at) - 1 / (360 * at * at * at) + 1 / (1260 * at * at * at * at * at)
  return (exp((at - 0.5) * ln(at) - at + series) * 2.5066282746310002) / product
}
