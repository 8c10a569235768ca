import type { FieldPath, Problem } from './problems.ts'
import type { Scenario } from './scenario.ts'

interface Range {
  /** @default 0 */
  readonly least?: number
  /** @default Infinity: any that is finite */
  readonly most?: number
  readonly isWhole?: true
}

const any: Range = { least: -Infinity }
const share: Range = { most: 1 }
const hour: Range = { most: 24 }
const whole: Range = { isWhole: true }
const some: Range = { least: 1, isWhole: true }

/** Of fields by their names, wherever they are; all others are numbers that are not negative. */
const ranges: Readonly<Record<string, Range>> = {
  seed: { most: 2 ** 32 - 1, isWhole: true },
  startHour: hour,
  peakHour: hour,
  ...{ blocks: some, hiddenSize: some, vocabSize: { least: 2, isWhole: true }, contextTokens: { least: 2, isWhole: true } },
  ...{ count: whole, cores: some, start: whole, end: whole, blocksPerNode: some, kvTokens: some, maxSessions: some, maxRequests: whole },
  ...{ node: whole, random: whole, factor: { least: 1 } },
  ...{ share, lossShare: share, leastShare: share, mostShare: share, efficiency: share },
  ...{ latitude: any, longitude: any, byMs: any, atLeast: any, atMost: any }
}

/**
 * Numbers that are none, not whole, or out of their range. What YAML says was checked by the schema; what code says, only here.
 * Their paths are those of {@link Scenario}.
 */
export function checkNumbers(scenario: Scenario): Problem[] {
  const problems: Problem[] = []
  const visit = (value: unknown, path: FieldPath, name: string): void => {
    if (typeof value === 'number') {
      const { least = 0, most = Infinity, isWhole } = ranges[name] ?? {}
      if (Number.isFinite(value) && value >= least && value <= most && (isWhole === undefined || Number.isInteger(value))) return
      const bounds = [...(least === -Infinity ? [] : [`of at least ${least}`]), ...(most === Infinity ? [] : [`of at most ${most}`])]
      const expected = ['expected a', isWhole === undefined ? 'finite' : 'whole', 'number', bounds.join(' and ')].join(' ').trimEnd()
      problems.push({ path, message: `${expected}, not ${value}` })
    } else if (Array.isArray(value)) {
      value.forEach((item, index) => visit(item, [...path, index], name))
    } else if (typeof value === 'object' && value !== null) {
      for (const [field, item] of Object.entries(value)) visit(item, [...path, field], field)
    }
  }
  visit(scenario, [], '')
  return problems
}
