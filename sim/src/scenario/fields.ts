/**
 * The kinds of value that fields of a scenario hold: quantities with their units, and distributions of them. Each says what
 * it expects in words, which is what an error prints.
 *
 * @packageDocumentation
 */
import { z } from 'zod'
import { type NumberRange, numberRanges } from './number-ranges.ts'
import type { Distribution } from './scenario.ts'
import { parseBytes, parseDurationMs, parseMbps, parseShare } from './units.ts'

/** A file of measured values, which the loader reads; they become an `empirical` distribution. */
export interface TraceFile {
  readonly kind: 'trace'
  readonly file: string
  /** The column of a CSV file with a header, by its name. */
  readonly column?: string
  /** Of numbers without a unit. */
  readonly unit?: string
  readonly quantity: Quantity
}

/** A distribution as written: its trace, if it has one, is not read yet. */
export type DistributionInput = Distribution | TraceFile

export type Quantity = 'duration' | 'rate' | 'count' | 'factor'

/** How many values a distribution may list. */
export const maxEmpiricalValues = 100_000

interface QuantityField {
  readonly id: string
  readonly expected: string
  /** For editors that check by the JSON Schema; `parse` is what decides. */
  readonly pattern: RegExp
  readonly parse: (text: string) => number | undefined
  /** Bare numbers that mean what they say, in the base unit. */
  readonly numbers?: z.ZodType<number, number>
}

function quantity({ id, expected, pattern, parse, numbers = z.literal(0) }: QuantityField) {
  const text = z.string({ error: `expected ${expected}` }).regex(pattern, { error: `expected ${expected}`, abort: true })
  return z
    .union([numbers, text], { error: `expected ${expected}` })
    .transform((value, context) => {
      const parsed = typeof value === 'number' ? value : parse(value)
      if (parsed !== undefined) return parsed
      context.addIssue({ code: 'custom', message: `expected ${expected}` })
      return z.NEVER
    })
    .meta({ id, description: `${expected}` })
}

const amount = String.raw`\s*\d+(\.\d+)?(e[+-]?\d+)?\s*`

/** Milliseconds. */
export const duration = quantity({
  id: 'duration',
  expected: 'a duration with its unit, such as 250ms, 90s, 10m or 1h 30m',
  pattern: /^(\s*\d+(\.\d+)?\s*(us|ms|s|m|min|h|d)\s*)+$/,
  parse: parseDurationMs
})

/** Milliseconds, which may be negative. */
export const signedDuration = quantity({
  id: 'signedDuration',
  expected: 'a duration with its unit, such as 250ms, 90s or -10m',
  pattern: /^\s*-?(\s*\d+(\.\d+)?\s*(us|ms|s|m|min|h|d)\s*)+$/,
  parse: (text) => {
    const [, minus = '', rest = ''] = /^\s*(-?)(.*)$/.exec(text) ?? []
    const value = parseDurationMs(rest)
    return value === undefined || minus === '' ? value : -value
  }
})

/** Bytes. */
export const size = quantity({
  id: 'size',
  expected: 'a size with its unit, such as 64 KiB, 256 MB or 1.5 GB',
  pattern: new RegExp(`^${amount}(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)\\s*$`),
  parse: parseBytes
})

/** Megabits a second. */
const rate = quantity({
  id: 'rate',
  expected: 'a bandwidth with its unit, such as 100 Mbit/s, 1 Gbit/s, 2 MB/s or unlimited',
  pattern: new RegExp(`^(${amount}([kMG](bit/s|B/s|bps))\\s*|unlimited)$`),
  parse: (text) => {
    const mbps = parseMbps(text)
    return mbps === 0 ? undefined : mbps
  },
  numbers: z.never()
})

/** From 0 to 1. */
export const share = quantity({
  id: 'share',
  expected: 'a share from 0 to 1, such as 0.01 or 1 %',
  pattern: new RegExp(`^${amount}%?\\s*$`),
  parse: parseShare,
  numbers: z.number().min(0).max(1)
})

/** A number above 0. */
export const positive = z.number({ error: 'expected a number above 0' }).positive({ error: 'expected a number above 0' })

/** A whole number from `minimum` to `maximum`. */
export function wholeNumber(minimum: number, maximum: number) {
  const error = `expected a whole number from ${minimum} to ${maximum}`
  return z.int({ error }).min(minimum, { error }).max(maximum, { error })
}

/** A number in the range of the field of this name. */
export function numberOf(field: keyof typeof numberRanges, error?: string) {
  const { least, most, isWhole }: NumberRange = numberRanges[field]
  return isWhole === true
    ? wholeNumber(least, most)
    : z
        .number(error === undefined ? undefined : { error })
        .min(least)
        .max(most)
}

/** A whole number of tokens, at least one. */
const tokens = numberOf('kvTokens')

const quantities = { duration, rate, count: tokens, factor: positive }

/** ln 2 of IEEE 754: an exponential's median over its mean. Written out, so that no engine's `Math.log` decides. */
const ln2 = 0.6931471805599453

/**
 * A distribution of a quantity: a bare value is a constant one. `empirical` takes its values from a list or from a file.
 */
export function distributionOf(kind: Quantity) {
  const value = quantities[kind]
  // Counts are drawn and then rounded: the mean of some need not be whole.
  const parameter = kind === 'count' ? positive : value
  const constant = value.transform((number): DistributionInput => ({ kind: 'constant', value: number }))
  const shapes = z.discriminatedUnion('kind', [
    z
      .strictObject({ kind: z.literal('constant'), value })
      .transform(({ value: number }): DistributionInput => ({ kind: 'constant', value: number })),
    z
      .strictObject({ kind: z.literal('uniform'), min: value, max: value })
      .refine(({ min, max }) => min <= max, { error: 'expected a value that is not below min', path: ['max'] })
      .transform((input): DistributionInput => input),
    z
      .strictObject({
        kind: z.literal('exponential'),
        mean: parameter.optional().describe('the mean; or give the median'),
        median: parameter.optional().describe('the median: 0.693 of the mean')
      })
      .refine(({ mean, median }) => (mean === undefined) !== (median === undefined), { error: 'expected one of mean and median' })
      .transform(({ mean, median }): DistributionInput => ({ kind: 'exponential', mean: mean ?? (median ?? 0) / ln2 })),
    z
      .strictObject({
        kind: z.literal('gamma'),
        mean: parameter,
        cv: numberOf('cv').describe('standard deviation over mean: 1 is exponential, above it come bursts and long gaps')
      })
      .transform((input): DistributionInput => input),
    z
      .strictObject({ kind: z.literal('weibull'), shape: positive.max(20), scale: parameter })
      .transform((input): DistributionInput => input),
    z
      .strictObject({ kind: z.literal('lognormal'), median: parameter, sigma: numberOf('sigma') })
      .transform((input): DistributionInput => input),
    z
      .strictObject({
        kind: z.literal('empirical'),
        values: z.array(value).min(1).max(maxEmpiricalValues).optional().describe('drawn from with equal chances'),
        file: z.string().min(1).optional().describe('a trace: a value a line, or a CSV file with a header; beside the scenario'),
        column: z.string().min(1).optional().describe("the CSV file's column, by its name"),
        unit: z.string().optional().describe('the unit of bare numbers in the file, such as s or Mbit/s')
      })
      .refine(({ values, file }) => (values === undefined) !== (file === undefined), { error: 'expected one of values and file' })
      .transform(({ values, file = '', column, unit }): DistributionInput => {
        return values === undefined ? { kind: 'trace', file, column, unit, quantity: kind } : { kind: 'empirical', values }
      })
  ])
  return z.union([constant, shapes]).meta({
    id: `${kind}Distribution`,
    description: `a ${kind}, or a distribution of it: { kind: constant | uniform | exponential | gamma | weibull | lognormal | empirical, ... }`
  })
}
