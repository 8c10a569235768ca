import { table } from '@skein/coordinator'
import { AbortError, didYouMean, InvalidArgumentError, SkeinError } from '@skein/protocol'
import { meanFigures } from '../report/compare.ts'
import { type FigureName, figureNames, type Figures } from '../report/figures.ts'
import { formatFigure } from '../report/format.ts'
import { numberRanges } from '../scenario/number-ranges.ts'
import { parseOverride, splitOverride } from '../scenario/overrides.ts'
import { loadScenario } from './scenario-files.ts'
import type { SimContext } from './sim-io.ts'

export interface SweepFlags {
  readonly vary: readonly string[]
  readonly set?: readonly string[]
  readonly seeds: number
  readonly seed?: number
  readonly jobs?: number
  readonly figures?: readonly string[]
  readonly ci: boolean
  readonly json: boolean
}

/** A field and the values that it takes. */
interface Varied {
  readonly field: string
  readonly values: readonly string[]
}

interface SweepRow {
  readonly set: Readonly<Record<string, unknown>>
  /** Means over the seeds. */
  readonly figures: Figures
  readonly runs: ReadonlyArray<{ readonly seed: number; readonly eventLogHash: string; readonly violations: number }>
}

/** More runs are a slip of the pen. */
const maxRuns = 10_000

const defaultColumns: readonly FigureName[] = [
  'completedShare',
  'tokensPerSecond',
  'sessionTokensPerSecondP50',
  'firstTokenMsP50',
  'firstTokenMsP99',
  'recoveries',
  'coveredShare'
]

/** `skein-sim sweep`: every combination of values, each with some seeds, in processes side by side. @returns the exit code */
export async function sweep(nameOrPath: string, flags: SweepFlags, context: SimContext): Promise<number> {
  const columns = columnsOf(flags.figures)
  const varied = flags.vary.map(parseVary)
  const combinations = product(varied)
  if (combinations.length * flags.seeds > maxRuns) {
    throw new InvalidArgumentError(`that is ${combinations.length * flags.seeds} runs; at most ${maxRuns} are made`)
  }
  // Every scenario is checked before the first run: the last one may be the one that is wrong.
  const common = (flags.set ?? []).map(parseOverride)
  const scenarios = combinations.map((set) => {
    const own = set.map((text) => ({ ...parseOverride(text), from: `--vary ${text}` }))
    return loadScenario(nameOrPath, { overrides: [...common, ...own], ci: flags.ci })
  })
  const first = flags.seed ?? scenarios[0]?.seed ?? 1
  requireSeeds(first, flags.seeds)
  const seeds = Array.from({ length: flags.seeds }, (_, index) => first + index)
  const runs = combinations.flatMap((set) => seeds.map((seed) => ({ set, seed })))
  let done = 0
  const results = await inParallel(runs, flags.jobs ?? context.components.parallelism, async ({ set, seed }) => {
    const result = await runOne(nameOrPath, set, seed, flags, context)
    context.progress.show(`${++done} of ${runs.length} runs`)
    return result
  })
  const rows = combinations.map((set, index): SweepRow => {
    const own = results.slice(index * seeds.length, (index + 1) * seeds.length)
    return {
      set: Object.fromEntries(set.map((item) => parseOverride(item)).map(({ path, value }) => [path, value])),
      figures: meanFigures(own.map((run) => run.figures)),
      runs: own.map(({ seed, eventLogHash, violations }) => ({ seed, eventLogHash, violations }))
    }
  })
  const violations = results.reduce((sum, run) => sum + run.violations, 0)
  context.print(flags.json, { scenario: scenarios[0]?.name, seeds, violations, rows }, sweepLines(rows, varied, columns, seeds, violations))
  return violations > 0 ? 1 : 0
}

/** Seeds that follow each other. @throws InvalidArgumentError if the last of them is none */
export function requireSeeds(first: number, count: number): void {
  const most = numberRanges.seed.most
  if (first + count - 1 > most) throw new InvalidArgumentError(`${count} seeds from ${first} on go beyond the last one, ${most}`)
}

function sweepLines(
  rows: readonly SweepRow[],
  varied: readonly Varied[],
  columns: readonly FigureName[],
  seeds: readonly number[],
  violations: number
): string[] {
  const fields = varied.map(({ field }) => field)
  const cells = rows.map(({ set, figures }) => [
    ...fields.map((field) => shown(set[field])),
    ...columns.map((name) => formatFigure(name, figures[name]))
  ])
  const right = new Set(columns.map((_, index) => fields.length + index))
  return [
    ...table([...fields, ...columns], cells, right),
    '',
    `means of ${seeds.length} ${seeds.length === 1 ? 'seed' : 'seeds'} from ${seeds[0]} on; ${violations} violations`
  ]
}

function columnsOf(names: readonly string[] | undefined): readonly FigureName[] {
  if (names === undefined) return defaultColumns
  return names.map((name) => {
    const known = figureNames.find((figure) => figure === name)
    if (known !== undefined) return known
    throw new InvalidArgumentError(
      `no figure is called '${name}'${didYouMean(name, figureNames) || '; skein-sim explain figures lists them'}`
    )
  })
}

/** `field=v1,v2`; commas inside brackets and braces belong to the value. */
export function parseVary(text: string): Varied {
  const { field, value: list } = splitOverride(text)
  const values = splitValues(list)
  if (values.some((value) => value === '')) throw new InvalidArgumentError(`expected FIELD=V1,V2,..., found '${text}'`)
  return { field, values }
}

function splitValues(text: string): string[] {
  const values: string[] = []
  let depth = 0
  let current = ''
  for (const character of text) {
    if ('[{'.includes(character)) depth++
    if (']}'.includes(character)) depth--
    if (character === ',' && depth === 0) {
      values.push(current.trim())
      current = ''
    } else current += character
  }
  return [...values, current.trim()]
}

function product(varied: readonly Varied[]): string[][] {
  return varied.reduce<string[][]>(
    (sets, { field, values }) => sets.flatMap((set) => values.map((value) => [...set, `${field}=${value}`])),
    [[]]
  )
}

interface OneRun {
  readonly seed: number
  readonly eventLogHash: string
  readonly violations: number
  readonly figures: Figures
}

async function runOne(
  nameOrPath: string,
  set: readonly string[],
  seed: number,
  { set: common = [], ci }: SweepFlags,
  { components, signal }: SimContext
): Promise<OneRun> {
  const overrides = [...common, ...set].flatMap((item) => ['--set', item])
  const argv = ['run', nameOrPath, '--seed', String(seed), '--json', ...(ci ? ['--ci'] : []), ...overrides]
  const { exitCode, stdout, stderr } = await components.runChild(argv, signal)
  if (signal.aborted) throw new AbortError('interrupted')
  const result = parseOutput(stdout)
  // A missed expectation is a finding of a sweep and no failure.
  if (result?.figures !== undefined && result.error === undefined) return result as OneRun
  const reason = result?.error?.message ?? (stderr.trim().split('\n').at(-1) || `it ended with exit code ${exitCode}`)
  throw new SkeinError('ERR_SKEIN_SIM_RUN_FAILED', `a run failed (${[...set, `seed ${seed}`].join(', ')}): ${reason}`)
}

function parseOutput(stdout: string): (Partial<OneRun> & { error?: { message?: string } }) | undefined {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Partial<OneRun> & { error?: { message?: string } }
  } catch {
    // Not an object: the process died in the middle. The caller reports its exit code and standard error.
    return undefined
  }
}

/** A value as one writes it: a field may hold a mapping. */
function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Runs `task` for each item, at most `jobs` at a time; results in the order of the items. The first failure ends it all. */
async function inParallel<T, R>(items: readonly T[], jobs: number, task: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  let failed = false
  const worker = async (): Promise<void> => {
    while (!failed && next < items.length) {
      const index = next++
      try {
        results[index] = await task(items[index] as T)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const settled = await Promise.allSettled(Array.from({ length: Math.min(jobs, items.length) }, worker))
  for (const result of settled) if (result.status === 'rejected') throw result.reason
  return results
}
