import { describeError, InvalidArgumentError } from '@skein/protocol'
import { isMap, isScalar, isSeq, LineCounter, parse, parseDocument, type Document } from 'yaml'
import { buildScenario, type ReadFile, type ScenarioPresets } from './build-scenario.ts'
import { checkScenario, type CheckOptions } from './check-scenario.ts'
import { childFields } from './explain.ts'
import { type FieldPath, formatPath, type LocatedProblem, type Problem, ScenarioError, toProblems, withMissing } from './problems.ts'
import type { Scenario } from './scenario.ts'
import { scenarioSchema } from './schema.ts'

/** A field that is replaced: its path, such as `nodes.homes.count`, and a YAML value. */
export interface Override {
  readonly path: string
  readonly value: unknown
}

export interface ReadScenarioOptions extends CheckOptions {
  /** How errors call the text. */
  readonly file: string
  readonly presets: ScenarioPresets
  /** Reads the traces that the scenario names, beside it. */
  readonly readFile: ReadFile
  readonly overrides?: readonly Override[]
  /** Take the small variant: the scenario's `ci` section. */
  readonly ci?: boolean
}

/** Larger files are no scenarios. */
const maxScenarioChars = 1_000_000

/**
 * Reads a scenario from YAML, fills in defaults and presets, and checks that it can be simulated.
 *
 * @throws ScenarioError with every problem, its line and its field
 */
export function readScenario(text: string, options: ReadScenarioOptions): Scenario {
  const lines = new LineCounter()
  const document = parseYaml(text, lines, options)
  const replaced = applyOverrides(document, options)
  const fail = (problems: readonly Problem[]): never => {
    const located = problems.map((problem) => locate(problem, document, lines, replaced))
    const order = ({ line = 0, column = 0 }: LocatedProblem): number => line * 10_000 + column
    throw new ScenarioError(
      options.file,
      located.toSorted((a, b) => order(a) - order(b))
    )
  }
  const plain = toPlain(document, options.file)
  const parsed = scenarioSchema.safeParse(plain)
  if (!parsed.success) return fail(withMissing(toProblems(parsed.error.issues, childFields), plain))
  const { scenario, problems } = buildScenario(parsed.data, options.presets, options.readFile)
  if (problems.length > 0) return fail(problems)
  const impossible = checkScenario(scenario, options)
  return impossible.length > 0 ? fail(impossible) : scenario
}

function parseYaml(text: string, lines: LineCounter, { file }: ReadScenarioOptions): Document.Parsed {
  if (text.length > maxScenarioChars) throw new ScenarioError(file, [{ path: [], message: `larger than ${maxScenarioChars} characters` }])
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    throw new ScenarioError(file, [{ path: [], line, column: col, message: `not YAML: ${error.message}` }])
  }
  if (!isMap(document.contents)) {
    throw new ScenarioError(file, [
      { path: [], line: 1, column: 1, message: 'expected a scenario: fields such as name, duration, model, nodes' }
    ])
  }
  return document
}

function toPlain(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw new ScenarioError(file, [{ path: [], message: error instanceof Error ? error.message : String(error) }])
  }
}

/** Replaces fields in the document. Returns the paths that were replaced. */
function applyOverrides(document: Document.Parsed, { file, overrides = [], ci = false }: ReadScenarioOptions): string[] {
  const all = [...(ci ? ciOverrides(document, file) : []), ...overrides]
  return all.map(({ path, value }) => {
    const resolved = resolvePath(document, path)
    const parent = document.getIn(resolved.slice(0, -1), true)
    const last = resolved.at(-1)
    const fits = isMap(parent) ? typeof last === 'string' : isSeq(parent) && typeof last === 'number' && last < parent.items.length
    if (!fits && !(parent === undefined && resolved.every((part) => typeof part === 'string'))) {
      throw new ScenarioError(file, [{ path: [], message: `there is no field ${path} to replace` }])
    }
    document.setIn(resolved, document.createNode(value))
    return formatPath(resolved)
  })
}

function ciOverrides(document: Document.Parsed, file: string): Override[] {
  const ci = document.toJS({ maxAliasCount: 100 }) as { ci?: { set?: unknown; expect?: unknown } }
  if (ci.ci === undefined) throw new ScenarioError(file, [{ path: [], message: 'it has no ci section, so it has no small variant' }])
  const { set = {}, expect } = ci.ci
  const fields = typeof set === 'object' && set !== null ? Object.entries(set) : []
  return [
    ...fields.map(([path, value]) => ({ path, value: value as unknown })),
    ...(expect === undefined ? [] : [{ path: 'expect', value: expect }])
  ]
}

/** The path of `nodes[0].count`, `nodes.0.count` or `nodes.homes.count`: items of lists by number or by name. */
function resolvePath(document: Document.Parsed, text: string): Array<string | number> {
  const parts = text.replaceAll(/\[(\d+)\]/g, '.$1').split('.')
  const path: Array<string | number> = []
  for (const part of parts) {
    const parent = path.length === 0 ? document.contents : document.getIn(path, true)
    if (!isSeq(parent)) {
      path.push(part)
      continue
    }
    const named = parent.items.findIndex((item) => isMap(item) && item.get('name') === part)
    path.push(named >= 0 ? named : /^\d+$/.test(part) ? Number(part) : part)
  }
  return path
}

/** The place of the field, or of the nearest field around it that is in the file. */
function locate(problem: Problem, document: Document.Parsed, lines: LineCounter, replaced: readonly string[]): LocatedProblem {
  const shown = formatPath(problem.path)
  const by = replaced.find((path) => path !== '' && (shown === path || shown.startsWith(`${path}.`) || shown.startsWith(`${path}[`)))
  if (by !== undefined) return { ...problem, message: `${problem.message} (replaced by an override)` }
  for (let length = problem.path.length; length >= 0; length--) {
    const offset = offsetOf(document, problem.path.slice(0, length), length === problem.path.length && problem.aboutName !== true)
    if (offset === undefined) continue
    const { line, col } = lines.linePos(offset)
    return { ...problem, line, column: col }
  }
  return problem
}

function offsetOf(document: Document.Parsed, path: FieldPath, exact: boolean): number | undefined {
  const parent = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true)
  const last = path.at(-1)
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => String(key) === String(last))
    // A plain value where it stands; of a list or a mapping, and of what should have had a field, the key.
    const node = (exact && isScalar(pair?.value) ? pair.value : pair?.key) as { range?: readonly number[] } | undefined
    return node?.range?.[0] ?? (pair?.key as { range?: readonly number[] } | undefined)?.range?.[0]
  }
  const node = document.getIn(path, true) as { range?: readonly number[] | null } | undefined
  return node?.range?.[0]
}

/**
 * `field=value`, as flags give it; the value is YAML.
 *
 * @throws InvalidArgumentError if it has no `=`, or its value is no YAML
 */
export function parseOverride(text: string): Override {
  const { field, value } = splitOverride(text)
  try {
    return { path: field, value: parse(value) as unknown }
  } catch (error) {
    throw new InvalidArgumentError(`the value of ${field} is not YAML: ${describeError(error)}`, { cause: error })
  }
}

/** The two sides of `field=value`. @throws InvalidArgumentError if it has no `=` */
export function splitOverride(text: string): { field: string; value: string } {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError(`expected FIELD=VALUE, such as nodes.0.count=10, found '${text}'`)
  return { field: text.slice(0, at).trim(), value: text.slice(at + 1) }
}
