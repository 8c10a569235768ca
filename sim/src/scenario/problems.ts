import { nearestName, SkeinError } from '@skein/protocol'
import type { z } from 'zod'

/** A field, from the top of the scenario: names of fields and numbers in lists. */
export type FieldPath = ReadonlyArray<string | number>

/** What is wrong with a field. */
export interface Problem {
  readonly path: FieldPath
  /** What was expected, and what to do. */
  readonly message: string
  /** The name of the field is wrong, and not its value. */
  readonly aboutName?: boolean
}

/** A problem with its place in the file. */
export interface LocatedProblem extends Problem {
  /** From 1; undefined for a value that is not in the file, such as one of `--set`. */
  readonly line?: number
  readonly column?: number
}

/** A scenario that cannot be run; the text has a line for each problem: file, line, column, field, what was expected. */
export class ScenarioError extends SkeinError<'ERR_SKEIN_INVALID_ARGUMENT'> {
  readonly problems: readonly LocatedProblem[]
  /** What was replaced in the file, as it was given: any of it may be the reason. */
  readonly overrides: readonly string[]

  constructor(file: string, problems: readonly LocatedProblem[], overrides: readonly string[] = []) {
    const shown = problems.slice(0, 20)
    const lines = shown.map((problem) => describeProblem(file, problem))
    const hidden = problems.length - shown.length
    super('ERR_SKEIN_INVALID_ARGUMENT', [...lines, ...(hidden > 0 ? [`... and ${hidden} more`] : [])].join('\n'))
    this.problems = problems
    this.overrides = overrides
  }
}

function describeProblem(file: string, { line, column, path, message }: LocatedProblem): string {
  const place = line === undefined ? file : `${file}:${line}:${column ?? 1}`
  return path.length === 0 ? `${place}: ${message}` : `${place}: ${formatPath(path)}: ${message}`
}

/** `nodes[0].churn.up`. */
export function formatPath(path: FieldPath): string {
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('')
}

/**
 * Turns zod's issues into problems. Of a union that fails, the branch that was meant is followed: the one that got furthest.
 *
 * @param fieldsAt - the names of the fields that an object at a path may have
 */
export function toProblems(issues: readonly z.core.$ZodIssue[], fieldsAt: (path: FieldPath) => readonly string[]): Problem[] {
  return issues.flatMap((issue) => fromIssue(issue, [], fieldsAt))
}

function fromIssue(issue: z.core.$ZodIssue, base: FieldPath, fieldsAt: (path: FieldPath) => readonly string[]): Problem[] {
  const path = [...base, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))]
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const known = fieldsAt(path)
      const suggestion = nearestName(key, known)
      const rest = suggestion === undefined ? (known.length === 0 ? '' : `; expected ${known.join(', ')}`) : `; did you mean ${suggestion}?`
      return { path: [...path, key], message: `unknown field${rest}`, aboutName: true }
    })
  }
  if (issue.code === 'invalid_union') return fromUnion(issue, path, fieldsAt)
  return [{ path, message: describeIssue(issue) }]
}

function fromUnion(issue: z.core.$ZodIssueInvalidUnion, path: FieldPath, fieldsAt: (path: FieldPath) => readonly string[]): Problem[] {
  const note = issue as { note?: string; discriminator?: string; options?: readonly unknown[]; input?: unknown }
  if (note.discriminator !== undefined) {
    return [{ path, message: `expected one of ${(note.options ?? []).map(String).join(', ')}` }]
  }
  const branches = issue.errors
  const deep = branches.filter((branch) =>
    branch.some((inner) => inner.path.length > 0 || ['unrecognized_keys', 'custom'].includes(inner.code))
  )
  const [meant] = deep.toSorted((a, b) => a.length - b.length)
  if (meant !== undefined) return meant.flatMap((inner) => fromIssue(inner, path, fieldsAt))
  if (issue.message !== 'Invalid input') return [{ path, message: issue.message }]
  const messages = new Set(branches.flat().flatMap((inner) => fromIssue(inner, path, fieldsAt).map(({ message }) => message)))
  return [{ path, message: [...messages].join('; or ') }]
}

/**
 * Says of fields that are not there that they are missing, unless they are there by a misspelt name, which is told already.
 */
export function withMissing(problems: readonly Problem[], input: unknown): Problem[] {
  const misspelt = new Set(
    problems.flatMap(({ path, message }) => {
      const meant = /; did you mean (.*)\?$/.exec(message)?.[1]
      return meant === undefined ? [] : [formatPath([...path.slice(0, -1), meant])]
    })
  )
  return problems.flatMap((problem) => {
    if (problem.path.length === 0 || valueAt(input, problem.path) !== undefined) return [problem]
    if (misspelt.has(formatPath(problem.path))) return []
    return [{ ...problem, message: `missing; ${problem.message}` }]
  })
}

function valueAt(input: unknown, path: FieldPath): unknown {
  return path.reduce<unknown>((value, part) => {
    return typeof value === 'object' && value !== null && Object.hasOwn(value, part)
      ? (value as Record<string | number, unknown>)[part]
      : undefined
  }, input)
}

function describeIssue(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')) {
    return `expected ${article(issue.expected)}`
  }
  if (issue.code === 'invalid_value') return `expected ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`
  if (issue.code === 'too_small' && issue.origin === 'array') return `expected at least ${String(issue.minimum)} in the list`
  if (issue.code === 'too_big' && issue.origin === 'array') return `expected at most ${String(issue.maximum)} in the list`
  if (issue.code === 'too_small' && issue.origin === 'number')
    return `expected ${issue.inclusive ? 'at least' : 'more than'} ${String(issue.minimum)}`
  if (issue.code === 'too_big' && issue.origin === 'number')
    return `expected ${issue.inclusive ? 'at most' : 'less than'} ${String(issue.maximum)}`
  return issue.message
}

function article(type: string): string {
  const words: Readonly<Record<string, string>> = {
    object: 'fields (a mapping)',
    record: 'fields (a mapping)',
    array: 'a list',
    tuple: 'a list',
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false'
  }
  return words[type] ?? type
}
