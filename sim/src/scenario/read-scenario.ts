import { describeError, InvalidArgumentError } from '@skein/protocol'
import { type Document, isMap, isSeq, LineCounter, parse } from 'yaml'
import { buildScenario, type ReadFile, type ScenarioPresets } from './build-scenario.ts'
import { checkScenario, type CheckOptions } from './check-scenario.ts'
import { childFields } from './explain.ts'
import { formatPath, type LocatedProblem, type Problem, ScenarioError, toProblems, withMissing } from './problems.ts'
import type { Scenario } from './scenario.ts'
import { scenarioSchema } from './schema.ts'
import { parseMapping, placeOf, toPlain } from './yaml-document.ts'

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

/**
 * Reads a scenario from YAML, fills in defaults and presets, and checks that it can be simulated.
 *
 * @throws ScenarioError with every problem, its line and its field
 */
export function readScenario(text: string, options: ReadScenarioOptions): Scenario {
  const lines = new LineCounter()
  const document = parseMapping(text, lines, options.file, 'a scenario: fields such as name, duration, model, nodes')
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

/** The place of the field; of one that was replaced, that it was. */
function locate(problem: Problem, document: Document.Parsed, lines: LineCounter, replaced: readonly string[]): LocatedProblem {
  const shown = formatPath(problem.path)
  const by = replaced.find((path) => path !== '' && (shown === path || shown.startsWith(`${path}.`) || shown.startsWith(`${path}[`)))
  if (by !== undefined) return { ...problem, message: `${problem.message} (replaced by an override)` }
  return placeOf(problem, document, lines)
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
