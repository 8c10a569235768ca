import { type NumberRange, numberRanges } from './number-ranges.ts'
import type { FieldPath, Problem } from './problems.ts'
import type { Scenario } from './scenario.ts'

const notNegative: NumberRange = { least: 0, most: Infinity }
const ranges: Readonly<Record<string, NumberRange>> = numberRanges

/**
 * Numbers that are none, not whole, or out of their range. What YAML says was checked by the schema; what code says, only here.
 * Their paths are those of {@link Scenario}.
 */
export function checkNumbers(scenario: Scenario): Problem[] {
  const problems: Problem[] = []
  const visit = (value: unknown, path: FieldPath, name: string): void => {
    if (typeof value === 'number') {
      const { least, most, isWhole } = ranges[name] ?? notNegative
      if (Number.isFinite(value) && value >= least && value <= most && (isWhole === undefined || Number.isInteger(value))) return
      const bounds = most < Infinity ? ` from ${least} to ${most}` : least === 0 ? ' of at least 0' : ''
      problems.push({ path, message: `expected a ${isWhole === undefined ? 'finite' : 'whole'} number${bounds}, not ${value}` })
    } else if (Array.isArray(value)) {
      value.forEach((item, index) => visit(item, [...path, index], name))
    } else if (typeof value === 'object' && value !== null) {
      for (const [field, item] of Object.entries(value)) visit(item, [...path, field], field)
    }
  }
  visit(scenario, [], '')
  return problems
}
