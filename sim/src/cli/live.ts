import { InvalidArgumentError } from '@skein/protocol'
import { printable, table } from '@skein/coordinator'
import { Command } from 'commander'
import { compareReality, type RealityResult } from '../live/reality.ts'
import { runLive } from '../live/run-live.ts'
import { figures, missedExpectations } from '../report/figures.ts'
import type { Outcome } from './engine.ts'
import { modelFolder, modelOption } from './model-folder.ts'
import { withOutFolder } from './out-folder.ts'
import { commandOf, overridesOf, runJson, writeReport } from './run.ts'
import { loadScenario } from './scenario-files.ts'
import type { SimContext } from './sim-io.ts'
import { summaryLines } from './summary.ts'

export interface LiveFlags {
  readonly model?: string
  readonly seed?: number
  readonly set?: readonly string[]
  readonly ci: boolean
  readonly json: boolean
  readonly out?: string
}

export interface RealityFlags {
  readonly model?: string
  readonly only?: string
  /** Whether a goal that is missed is a failure. */
  readonly check: boolean
  readonly json: boolean
}

/** The command `live`, without the flags that it shares with `run`. */
export function liveCommand(): Command {
  return new Command('live')
    .description('Runs a scenario with real nodes on real sockets of this machine, whose links are shaped as the scenario says.')
    .argument('<scenario>', 'a YAML file, or the name of a shipped scenario')
    .addOption(modelOption())
}

/** `skein-sim live`. @returns the exit code */
export async function liveScenario(nameOrPath: string, flags: LiveFlags, context: SimContext): Promise<number> {
  return withOutFolder(flags.out, () => runOne(nameOrPath, flags, context))
}

async function runOne(nameOrPath: string, flags: LiveFlags, context: SimContext): Promise<number> {
  const scenario = loadScenario(nameOrPath, { overrides: overridesOf(flags), ci: flags.ci })
  const { signal, progress } = context
  const command = commandOf('live', nameOrPath, flags.seed ?? scenario.seed, flags)
  const { record } = await runLive({
    scenario,
    command,
    model: modelFolder(flags.model),
    signal,
    onProgress: (text) => progress.show(text),
    ...(flags.seed === undefined ? {} : { seed: flags.seed })
  })
  const missed = missedExpectations(figures(record), scenario.expect)
  if (flags.out !== undefined) await writeReport(flags.out, record, scenario, command)
  context.print(flags.json, runJson(record, missed), summaryLines(record, scenario, missed, context.style, flags.out))
  return record.violations.length > 0 || missed.length > 0 ? 1 : 0
}

/** `skein-sim compare --live reality`. @returns the exit code */
export async function liveComparison(set: string, flags: RealityFlags, context: SimContext): Promise<number> {
  if (set !== 'reality') throw new InvalidArgumentError(`there is no set of live settings '${set}': there is reality`)
  const { signal, progress } = context
  const result = await compareReality({
    model: modelFolder(flags.model),
    signal,
    onProgress: (text) => progress.show(text),
    ...(flags.only === undefined ? {} : { only: flags.only })
  })
  const outcome = realityOutcome(result, flags.check)
  context.print(flags.json, outcome.json, outcome.lines)
  return outcome.failed ? 1 : 0
}

/** The comparison for people and programs. @param check whether a goal that is missed fails it */
export function realityOutcome(result: RealityResult, check: boolean): Outcome {
  const predicted = result.rows.filter(({ calibrated }) => !calibrated)
  const missed = predicted.filter(({ met }) => !met)
  return {
    json: { ...result, predicted: predicted.length, missed: missed.length },
    lines: [...realityLines(result), '', `${predicted.length - missed.length} of ${predicted.length} predictions are within their goals`],
    failed: check && missed.length > 0
  }
}

/** The rows as a table. */
function realityLines({ calibrations, rows }: RealityResult): string[] {
  const format = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(1))
  return [
    'this machine, beside each setting, in milliseconds',
    ...table(
      ['setting', 'a turn', 'a block', 'the ends', 'a hop', 'a session', 'a link', 'a pause', 'rows/s of a chunk'],
      calibrations.map(({ setting, turnMs, blockMs, endsMs, hopMs, sessionMs, linkMs, pauseMs, rowsPerSecond }) => [
        printable(setting),
        ...[turnMs, blockMs, endsMs, hopMs, sessionMs, linkMs, pauseMs].map((ms) => ms.toFixed(2)),
        String(Math.round(rowsPerSecond))
      ]),
      new Set([1, 2, 3, 4, 5, 6, 7, 8])
    ),
    '',
    ...table(
      ['setting', 'metric', 'live', 'simulated', 'error', 'goal', '', 'mostly', 'load'],
      rows.map((row) => [
        printable(row.setting),
        row.metric,
        format(row.live),
        format(row.simulated),
        row.relativeError === undefined ? '-' : `${(100 * row.relativeError).toFixed(1)} %`,
        `${100 * row.goal} %`,
        row.calibrated ? 'calibrated' : row.met ? '' : 'missed',
        row.dominatedBy,
        row.load.toFixed(1)
      ]),
      new Set([2, 3, 4, 5, 8])
    )
  ]
}
