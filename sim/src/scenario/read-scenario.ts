import { type Document, LineCounter } from 'yaml'
import { buildScenario, type ReadFile, type ScenarioPresets } from './build-scenario.ts'
import { checkScenario, type CheckOptions } from './check-scenario.ts'
import { childFields } from './explain.ts'
import { applyOverrides, ciOverrides, type Override } from './overrides.ts'
import { formatPath, type LocatedProblem, type Problem, ScenarioError, toProblems, withMissing } from './problems.ts'
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
  const replaced = applyOverrides(document, [...(ci ? ciOverrides(document, file) : []), ...overrides], file)
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

/** The place of the field; of one that was replaced, that it was. */
function locate(problem: Problem, document: Document.Parsed, lines: LineCounter, replaced: readonly string[]): LocatedProblem {
  const shown = formatPath(problem.path)
  const by = replaced.find((path) => path !== '' && (shown === path || shown.startsWith(`${path}.`) || shown.startsWith(`${path}[`)))
  if (by !== undefined) return { ...problem, message: `${problem.message} (replaced by an override)` }
  return placeOf(problem, document, lines)
}
