import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidArgumentError } from '@skein/protocol'
import type { RunRecord } from '../record/run-record.ts'
import { chromeTrace } from '../report/chrome-trace.ts'
import { figures, type MissedExpectation, missedExpectations } from '../report/figures.ts'
import { type Override, parseOverride } from '../scenario/overrides.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { formatDuration } from '../scenario/units.ts'
import type { Study } from './engine.ts'
import { modelFolder } from './model-folder.ts'
import { withOutFolder } from './out-folder.ts'
import { loadScenario } from './scenario-files.ts'
import type { SimContext } from './sim-io.ts'
import { summaryLines } from './summary.ts'

export interface RunFlags {
  readonly seed?: number
  readonly set?: readonly string[]
  readonly ci: boolean
  readonly json: boolean
  readonly out?: string
  readonly trace: number
  /** What computes: checksums, or the real runtime. */
  readonly runtime: 'checksum' | 'ort'
  readonly model?: string
}

/** What `--json` prints of a run: counts and hashes at the top, everything that is measured in `figures`. */
export function runJson(record: RunRecord, missed: readonly MissedExpectation[]): Record<string, unknown> {
  const found = figures(record)
  const texts = record.generations.flatMap(({ id, client, outcome, recoveries, prompt, text }) =>
    text === undefined ? [] : [{ generation: id, client, outcome, recoveries, prompt, text }]
  )
  return {
    scenario: record.scenario,
    seed: record.seed,
    eventLogHash: record.eventLogHash,
    virtualMs: record.virtualMs,
    wallMs: record.wallMs,
    events: record.events,
    peakMemoryBytes: 1024 * process.resourceUsage().maxRSS,
    nodes: record.nodes.length,
    generations: found.generations,
    completed: found.completed,
    failed: found.failed,
    unfinished: found.unfinished,
    violations: found.violations,
    violationDetails: record.violations,
    ...(texts.length === 0 ? {} : { texts }),
    missed,
    figures: found
  }
}

/** `skein-sim run`. @returns the exit code */
export async function runScenario(nameOrPath: string, flags: RunFlags, context: SimContext): Promise<number> {
  const { studies } = context.components.engine
  const study = Object.hasOwn(studies, nameOrPath) ? studies[nameOrPath] : undefined
  return withOutFolder(flags.out, () =>
    study === undefined ? runOne(nameOrPath, flags, context) : runStudy(nameOrPath, study, flags, context)
  )
}

async function runStudy(name: string, study: Study, flags: RunFlags, context: SimContext): Promise<number> {
  if (flags.set !== undefined || flags.ci || flags.runtime === 'ort' || flags.model !== undefined) {
    throw new InvalidArgumentError(
      `${name} is a study of its own runs: there is nothing in it to replace by --set, --ci, --runtime or --model`
    )
  }
  const outcome = await context.interruptible(study.run({ signal: context.signal, onProgress: (text) => context.progress.show(text) }))
  const file = flags.out === undefined ? undefined : join(flags.out, `${name}.json`)
  if (file !== undefined) await writeFile(file, `${JSON.stringify(outcome.json)}\n`)
  context.print(flags.json, outcome.json, [...outcome.lines, ...(file === undefined ? [] : [`wrote ${file}`])])
  return outcome.failed ? 1 : 0
}

async function runOne(nameOrPath: string, flags: RunFlags, context: SimContext): Promise<number> {
  const scenario = loadScenario(nameOrPath, { overrides: overridesOf(flags), ci: flags.ci })
  if (flags.model !== undefined && flags.runtime !== 'ort')
    throw new InvalidArgumentError('--model is for --runtime ort: checksums need none')
  const realModel = flags.runtime === 'ort' ? modelFolder(flags.model) : undefined
  const command = commandOf('run', nameOrPath, flags.seed ?? scenario.seed, flags)
  const record = await simulate(scenario, { ...flags, realModel, replayCommand: command }, context)
  const missed = missedExpectations(figures(record), scenario.expect)
  if (flags.out !== undefined) await writeReport(flags.out, record, scenario, command)
  const isTraced = record.generations.length > flags.trace || flags.trace === 0
  const note = isTraced
    ? []
    : [`nothing was traced: there is no generation ${flags.trace}, they are numbered from 0 to ${record.generations.length - 1}`]
  context.print(flags.json, runJson(record, missed), [...summaryLines(record, scenario, missed, context.style, flags.out), ...note])
  return record.violations.length > 0 || missed.length > 0 ? 1 : 0
}

export function overridesOf({ set = [] }: { readonly set?: readonly string[] }): Override[] {
  return set.map(parseOverride)
}

/** Runs a scenario with progress on a terminal. @throws AbortError when the command is interrupted */
export async function simulate(
  scenario: Scenario,
  {
    seed = scenario.seed,
    trace = 0,
    realModel,
    replayCommand
  }: {
    readonly seed?: number
    readonly trace?: number
    readonly realModel?: string | undefined
    readonly replayCommand: string
  },
  context: SimContext
): Promise<RunRecord> {
  const { components, signal, progress } = context
  const end = scenario.durationMs + scenario.settleMs
  const work = components.engine.simulate({
    scenario,
    seed,
    tracedGeneration: trace,
    replayCommand,
    ...(realModel === undefined ? {} : { realModel }),
    signal,
    onProgress: ({ virtualMs, events }) => {
      progress.show(`${scenario.name}, seed ${seed}: ${formatDuration(virtualMs)} of at most ${formatDuration(end)}, ${events} events`)
    }
  })
  return context.interruptible(work)
}

/** The command that repeats a run. */
export function commandOf(
  verb: 'run' | 'live',
  nameOrPath: string,
  seed: number,
  { set = [], ci, trace = 0, runtime, model }: Partial<RunFlags>
): string {
  const quoted = (text: string): string => (/^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`)
  const parts = ['skein-sim', verb, quoted(nameOrPath), '--seed', String(seed)]
  for (const item of set) parts.push('--set', quoted(item))
  if (ci === true) parts.push('--ci')
  if (trace !== 0) parts.push('--trace', String(trace))
  if (runtime === 'ort') parts.push('--runtime', 'ort')
  if (model !== undefined) parts.push('--model', quoted(model))
  return parts.join(' ')
}

/** Writes `report.html`, `record.json` and `trace.json` into a folder. */
export async function writeReport(folder: string, record: RunRecord, scenario: Scenario, command: string): Promise<void> {
  // The plotting library takes half a second to load.
  const { reportPage } = await import('../report/page.ts')
  const page = await reportPage(record, { question: scenario.question, expect: scenario.expect, command })
  await Promise.all([
    writeFile(join(folder, 'report.html'), page),
    writeFile(join(folder, 'record.json'), `${JSON.stringify(record)}\n`),
    writeFile(join(folder, 'trace.json'), `${JSON.stringify(chromeTrace(record))}\n`)
  ])
}
