import { type Document, LineCounter } from 'yaml'
import { buildScenario, type ReadFile, type ScenarioPresets } from './build-scenario.ts'
import { checkScenario, type CheckOptions } from './check-scenario.ts'
import { childFields } from './explain.ts'
import { applyOverrides, ciOverrides, type Override, overrideOf, type Replaced } from './overrides.ts'
import { type LocatedProblem, type Problem, ScenarioError, toProblems, withMissing } from './problems.ts'
import type { Scenario } from './scenario.ts'
import { scenarioSchema } from './schema.ts'
import { parseMapping, placeOf, toPlain } from './yaml-document.ts'

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
  const { overrides = [], ci = false, file } = options
  const given = overrides.flatMap(({ from }) => from ?? [])
  const all = [...(ci ? ciOverrides(document, file) : []), ...overrides]
  const replaced = applyOverrides(document, all, (problem) => {
    throw new ScenarioError(file, [problem.path.length === 0 ? problem : placeOf(problem, document, lines)], given)
  })
  const fail = (problems: readonly Problem[]): never => {
    const located = problems.map((problem) => locate(problem, document, lines, replaced))
    const order = ({ line = 0, column = 0 }: LocatedProblem): number => line * 10_000 + column
    throw new ScenarioError(
      file,
      located.toSorted((a, b) => order(a) - order(b)),
      given
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

/** The place of the field; of one that an override brought, where that stands, and that it did. */
function locate(problem: Problem, document: Document.Parsed, lines: LineCounter, replaced: readonly Replaced[]): LocatedProblem {
  const by = overrideOf(problem, replaced)
  if (by === undefined) return placeOf(problem, document, lines)
  const { path, message } = problem
  const place = by.at === undefined ? {} : placeOf({ path: by.at, message }, document, lines)
  return { ...place, path, message: `${message} (from ${by.from})` }
}
