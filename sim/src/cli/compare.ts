import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { table } from '@skein/coordinator'
import { describeError, InvalidArgumentError } from '@skein/protocol'
import { isLive, type RunRecord } from '../record/run-record.ts'
import { compareFigures } from '../report/compare.ts'
import { figures } from '../report/figures.ts'
import { formatDifference, formatFigure } from '../report/format.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { withOutFolder } from './out-folder.ts'
import { commandOf, overridesOf, runJson, simulate } from './run.ts'
import { loadScenario } from './scenario-files.ts'
import type { SimContext } from './sim-io.ts'

export interface CompareFlags {
  readonly seed?: number
  readonly set?: readonly string[]
  readonly ci: boolean
  readonly json: boolean
  readonly out?: string
}

/** `skein-sim compare`: two scenarios, or the records of two runs. @returns the exit code */
export async function compareRuns(a: string, b: string, flags: CompareFlags, context: SimContext): Promise<number> {
  return withOutFolder(flags.out, () => compareBoth(a, b, flags, context))
}

async function compareBoth(a: string, b: string, flags: CompareFlags, context: SimContext): Promise<number> {
  // Both are read before the first one runs: the second may be the one that is wrong.
  const sources = [await sourceOf(a, flags), await sourceOf(b, flags)] as const
  const left = await recordOf(a, sources[0], flags, context)
  const right = await recordOf(b, sources[1], flags, context)
  const rows = compareFigures(figures(left), figures(right))
  if (flags.out !== undefined) {
    const { comparePage } = await import('../report/compare-page.ts')
    await writeFile(join(flags.out, 'compare.html'), await comparePage(left, right))
  }
  const lines = [
    ...[left, right].map((run, index) => `${'AB'[index]}: ${run.scenario}, seed ${run.seed}${isLive(run) ? ', live' : ''}`),
    '',
    ...table(
      ['figure', 'A', 'B', 'B over A', ''],
      rows.map((row) => [
        row.figure,
        formatFigure(row.figure, row.a),
        formatFigure(row.figure, row.b),
        formatDifference(row.relativeDifference),
        row.better === undefined ? '' : row.better ? 'better' : 'worse'
      ]),
      new Set([1, 2, 3])
    )
  ]
  context.print(flags.json, { a: runJson(left, []), b: runJson(right, []), rows }, lines)
  return left.violations.length + right.violations.length > 0 ? 1 : 0
}

/** Whether it is taken for the record of a run; anything else is a scenario. */
export function isRecordFile(source: string): boolean {
  return source.endsWith('.json')
}

async function sourceOf(source: string, flags: CompareFlags): Promise<RunRecord | Scenario> {
  if (isRecordFile(source)) return readRecord(source)
  return loadScenario(source, { overrides: overridesOf(flags), ci: flags.ci })
}

async function recordOf(name: string, source: RunRecord | Scenario, flags: CompareFlags, context: SimContext): Promise<RunRecord> {
  if ('generations' in source) return source
  return simulate(source, { ...flags, replayCommand: commandOf('run', name, flags.seed ?? source.seed, flags) }, context)
}

/** A record as `run --out` wrote it. */
async function readRecord(file: string): Promise<RunRecord> {
  try {
    const record = JSON.parse(await readFile(file, 'utf8')) as Partial<RunRecord> | null
    const lists = [record?.generations, record?.nodes, record?.samples, record?.log, record?.trace, record?.violations]
    if (!lists.every(Array.isArray) || typeof record?.virtualMs !== 'number') {
      throw new InvalidArgumentError('it is no record of a run: expected the record.json of run --out')
    }
    return record as RunRecord
  } catch (error) {
    throw new InvalidArgumentError(`${file}: ${describeError(error)}`, { cause: error })
  }
}
