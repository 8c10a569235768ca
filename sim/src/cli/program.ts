import { writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { exitCodes, integerParser, runCommand, wantsJson } from '@skein/node'
import { InvalidArgumentError as UsageError } from '@skein/protocol'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type CompareFlags, compareRuns, isRecordFile } from './compare.ts'
import type { Outcome } from './engine.ts'
import { explain, listScenarios } from './list-explain.ts'
import { ScenarioError } from '../scenario/problems.ts'
import { deviceSchema } from '../scenario/schema.ts'
import { liveCommand, liveComparison, type LiveFlags, liveScenario, type RealityFlags } from './live.ts'
import { makeFolder, withOutFolder } from './out-folder.ts'
import { defaultModel, modelOption } from './model-folder.ts'
import { type RunFlags, runScenario } from './run.ts'
import { type SimComponents, SimContext } from './sim-io.ts'
import { requireSeeds, sweep, type SweepFlags } from './sweep.ts'
import { statOf } from './stat-of.ts'

interface OutputFlags {
  readonly json: boolean
}

interface FuzzFlags extends OutputFlags {
  readonly seeds: number
  readonly from: number
  readonly out?: string
}

interface CalibrateFlags extends OutputFlags {
  readonly name: string
  readonly threads: number
  readonly out?: string
}

interface LiveComparisonFlags extends RealityFlags {
  readonly live?: string
}

/** What the commands do, given their flags; each resolves with the exit code. */
export interface SkeinSimActions {
  run(scenario: string, flags: RunFlags): Promise<number>
  compare(a: string, b: string, flags: CompareFlags): Promise<number>
  live(scenario: string, flags: LiveFlags): Promise<number>
  compareLive(set: string, flags: RealityFlags): Promise<number>
  sweep(scenario: string, flags: SweepFlags): Promise<number>
  readonly fuzz?: (flags: FuzzFlags) => Promise<number>
  list(flags: OutputFlags): Promise<number>
  explain(field: string, flags: OutputFlags & { readonly schema: boolean }): Promise<number>
  readonly calibrate?: (flags: CalibrateFlags) => Promise<number>
}

const examples = `
Examples:
  $ skein-sim list
  $ skein-sim run churn --out report
  $ skein-sim run churn --seed 7 --set nodes.homes.count=40 --json
  $ skein-sim sweep volunteers --vary nodes.homes.count=8,12,16,24 --seeds 3
  $ skein-sim compare my-scenario.yaml report/record.json
  $ skein-sim live real-text --out report
  $ skein-sim compare --live reality
  $ skein-sim explain nodes.churn
  $ skein-sim calibrate --out this-machine.yaml`

const exitCodeHelp = '\nExit codes: 0 done, 1 a promise was broken, an expectation or a goal missed, 2 bad usage, 130 interrupted.'

const seedParser = integerParser(0, 2 ** 32 - 1)

/** A name that a scenario may have for a device. */
function deviceName(text: string): string {
  if (deviceSchema.shape.name.safeParse(text).success) return text
  throw new InvalidArgumentError('expected a name of letters, digits, dots, dashes and spaces, at most 64 characters')
}

/** As it is given: a value of YAML may hold commas. */
function append(text: string, earlier: readonly string[] | undefined): string[] {
  return [...(earlier ?? []), text]
}

function addJson(command: Command): Command {
  return command.addOption(new Option('--json', 'print one JSON object on standard output').env('SKEIN_JSON').default(false))
}

function addSeed(command: Command): Command {
  return command.addOption(
    new Option('--seed <number>', 'all chance comes from it')
      .env('SKEIN_SIM_SEED')
      .argParser(seedParser)
      .default(undefined, "the scenario's")
  )
}

function addScenarioFlags(command: Command): Command {
  return command
    .addOption(new Option('--set <field=value>', 'replace a field, such as nodes.homes.count=40; may be repeated').argParser(append))
    .addOption(new Option('--ci', "run the scenario's small variant").default(false))
}

function addRunFlags(command: Command, files: string): Command {
  return addJson(addScenarioFlags(addSeed(command))).addOption(
    new Option('--out <folder>', `write ${files} into this folder`).env('SKEIN_SIM_OUT')
  )
}

type Keep = (code: Promise<number>) => Promise<void>

function addRuns(program: Command, { run, compare, live, compareLive }: SkeinSimActions, keep: Keep): void {
  const one = program
    .command('run')
    .description('Runs a scenario.')
    .argument('<scenario>', 'a YAML file, or the name of a shipped scenario')
    .addOption(new Option('--trace <generation>', 'the generation whose way is kept piece by piece').argParser(integerParser(0)).default(0))
    .addOption(
      new Option('--runtime <runtime>', 'what computes: checksums, or a real model in ONNX Runtime, whose texts are shown')
        .choices(['checksum', 'ort'])
        .default('checksum')
    )
    .addOption(new Option('--model <dir>', 'with --runtime ort: folder of the checkpoint').default(undefined, defaultModel))
  addRunFlags(one, 'report.html, record.json and trace.json').action((scenario: string, flags: RunFlags) => keep(run(scenario, flags)))

  const two = program
    .command('compare')
    .description('Runs two scenarios with one seed, or takes the records of two runs, and shows their figures beside each other.')
    .argument('[a]', 'a scenario, or the record.json of a run')
    .argument('[b]', 'another one')
    .addOption(new Option('--live <set>', 'instead, compare real runs on this machine with simulated ones: reality is the shipped set'))
    .addOption(new Option('--only <text>', 'with --live: only settings whose names hold this text'))
    .addOption(new Option('--no-check', 'with --live: exit with 0 also when a figure misses its goal'))
    .addOption(modelOption())
  addRunFlags(two, 'compare.html').action((a: string | undefined, b: string | undefined, flags: CompareFlags & LiveComparisonFlags) => {
    const given = (names: readonly string[]): string[] => names.filter((name) => two.getOptionValueSource(name) === 'cli')
    if (flags.live !== undefined && a === undefined) {
      const [useless] = given(['seed', 'set', 'ci', 'out'])
      if (useless !== undefined) return two.error(`error: --${useless} does nothing for --live: its settings are shipped`)
      return keep(compareLive(flags.live, flags))
    }
    if (flags.live !== undefined || a === undefined || b === undefined) {
      return two.error('error: expected two scenarios or records, or --live <set> and none')
    }
    const [useless] = given(['only', 'check', 'model'])
    if (useless !== undefined) return two.error(`error: --${useless === 'check' ? 'no-check' : useless} is for --live`)
    const [idle] = [a, b].every(isRecordFile) ? given(['seed', 'set', 'ci']) : []
    if (idle !== undefined) return two.error(`error: --${idle} does nothing for the records of two runs: nothing is run`)
    return keep(compare(a, b, flags))
  })

  const three = liveCommand()
  addRunFlags(three, 'report.html, record.json and trace.json').action((scenario: string, flags: LiveFlags) => keep(live(scenario, flags)))
  program.addCommand(three)
}

function addSweep(program: Command, { sweep: act }: SkeinSimActions, keep: Keep): void {
  const seeds = new Option('--seeds <number>', 'runs of each combination, with seeds that follow each other')
  const figures = new Option('--figures <names>', 'figures to show, with commas between them')
  const command = program
    .command('sweep')
    .description('Runs a scenario with every combination of some values, in parallel processes.')
    .argument('<scenario>', 'a YAML file, or the name of a shipped scenario')
    .addOption(new Option('--vary <field=v1,v2,...>', 'the values of a field; may be repeated').argParser(append).makeOptionMandatory())
    .addOption(seeds.argParser(integerParser(1, 10_000)).default(1))
    .addOption(new Option('--jobs <number>', 'processes at a time').argParser(integerParser(1, 1024)).default(undefined, 'one a core'))
    .addOption(figures.argParser((text) => text.split(',').map((name) => name.trim())))
  addJson(addScenarioFlags(addSeed(command))).action((scenario: string, flags: SweepFlags) => keep(act(scenario, flags)))
}

function addFuzz(program: Command, act: (flags: FuzzFlags) => Promise<number>, keep: Keep): void {
  const command = program
    .command('fuzz')
    .description('Draws random worlds and faults until a promise is broken, then makes the scenario that breaks it small.')
    .addOption(new Option('--seeds <number>', 'how many worlds').argParser(integerParser(1, 1_000_000)).default(100))
    .addOption(new Option('--from <seed>', 'the first seed').argParser(seedParser).default(1))
    .addOption(new Option('--out <folder>', 'write the smallest scenario that fails into this folder').env('SKEIN_SIM_OUT'))
  addJson(command).action((flags: FuzzFlags) => keep(act(flags)))
}

function addCalibrate(program: Command, act: (flags: CalibrateFlags) => Promise<number>, keep: Keep): void {
  const command = program
    .command('calibrate')
    .description('Measures this machine by the runtime that nodes use, and prints it as a device for scenarios.')
    .addOption(new Option('--name <name>', 'how reports call it').argParser(deviceName).default('this machine'))
    .addOption(new Option('--threads <number>', 'threads that compute').argParser(integerParser(1, 1024)).default(1))
    .addOption(new Option('--out <file>', 'write it to this file, which a scenario names by device: { file: ... }'))
  addJson(command).action((flags: CalibrateFlags) => keep(act(flags)))
}

/** The command line of `skein-sim`, as data; `keep` is handed the exit code of what was run. */
export function skeinSimCommand(version: string, actions: SkeinSimActions, keep: Keep): Command {
  const program = new Command('skein-sim')
    .description('Runs the production code of skein on a virtual network in virtual time.')
    .version(version)
  addRuns(program, actions, keep)
  addSweep(program, actions, keep)
  if (actions.fuzz !== undefined) addFuzz(program, actions.fuzz, keep)

  const list = program.command('list').description('Shows the shipped scenarios and the question that each answers.')
  addJson(list).action((flags: OutputFlags) => keep(actions.list(flags)))

  const explainField = program
    .command('explain')
    .description('Says what a field of a scenario, a figure of the report or a preset means.')
    .argument('[field]', 'such as nodes.churn, completedShare, figures, devices, models, regions, datasets or workloads', '')
    .addOption(new Option('--schema', 'print the JSON Schema of scenarios').default(false))
  addJson(explainField).action((field: string, flags: OutputFlags & { schema: boolean }) => keep(actions.explain(field, flags)))

  if (actions.calibrate !== undefined) addCalibrate(program, actions.calibrate, keep)
  return program.addHelpText('after', examples).addHelpText('afterAll', exitCodeHelp)
}

/**
 * Runs `skein-sim` with these arguments (without the program's name).
 *
 * @returns the exit code
 */
export async function runSkeinSim(argv: readonly string[], components: SimComponents): Promise<number> {
  // A closed stream is no reason to fail: its reader has what it wanted.
  for (const stream of [components.stderr, components.stdout]) stream.on('error', () => undefined)
  const controller = new AbortController()
  const stop = components.onInterrupt(() => controller.abort())
  let exitCode: number = exitCodes.done
  const keep = async (code: Promise<number>): Promise<void> => {
    exitCode = await code.catch((error: unknown) => tellProblems(error, argv, components))
  }
  const program = skeinSimCommand(components.version, actionsOf(new SimContext(components, controller.signal)), keep)
  try {
    const failed = await runCommand(program, ['node', 'skein-sim', ...argv], {
      stdout: components.stdout,
      stderr: components.stderr,
      onFailure: ({ code, message }) => {
        if (wantsJson(argv, components.env)) components.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
      }
    })
    return failed === exitCodes.done ? exitCode : failed
  } finally {
    stop()
  }
}

function actionsOf(context: SimContext): SkeinSimActions {
  const { fuzz, calibrate } = context.components.engine
  const finish = ({ json, lines, failed }: Outcome, flags: OutputFlags): number => {
    context.print(flags.json, json, lines)
    return failed ? exitCodes.failed : exitCodes.done
  }
  const onProgress = (text: string): void => context.progress.show(text)
  return {
    run: (scenario, flags) => runScenario(scenario, flags, context),
    compare: (a, b, flags) => compareRuns(a, b, flags, context),
    live: (scenario, flags) => liveScenario(scenario, flags, context),
    compareLive: (set, flags) => liveComparison(set, flags, context),
    sweep: (scenario, flags) => sweep(scenario, flags, context),
    list: async (flags) => {
      listScenarios(flags, context)
      return exitCodes.done
    },
    explain: async (field, flags) => {
      explain(field, flags, context)
      return exitCodes.done
    },
    ...(fuzz && {
      fuzz: async ({ seeds, from, out, json }) => {
        requireSeeds(from, seeds)
        return withOutFolder(out, async () => {
          const found = await context.interruptible(fuzz({ seeds, firstSeed: from, signal: context.signal, onProgress }))
          const { scenario, seed } = found
          if (scenario === undefined || out === undefined) return finish(found, { json })
          // By the seed that fails: searches from other seeds may write into the same folder.
          const file = join(out, `fuzz-${seed ?? from}.yaml`)
          await writeFile(file, scenario)
          return finish({ ...found, lines: [...found.lines, `or run the smallest one: skein-sim run ${file}`] }, { json })
        })
      }
    }),
    ...(calibrate && {
      calibrate: async ({ name, threads, out, json }) => {
        // What cannot be written is told before a minute of measuring.
        if (out !== undefined) {
          makeFolder(dirname(out))
          if (statOf(out)?.isDirectory() === true) {
            throw new UsageError(`--out: ${out} is a folder; expected a file, such as ${join(out, 'this-machine.yaml')}`)
          }
        }
        // It ends within a turn when it is interrupted, and takes its files away.
        const found = await calibrate({ name, threads, signal: context.signal, onProgress })
        if (out === undefined) return finish(found, { json })
        await writeFile(out, found.file)
        return finish(
          { ...found, lines: [...found.lines, '', `wrote ${out}; in a scenario beside it: device: { file: ${basename(out)} }`] },
          { json }
        )
      }
    })
  }
}

/** What is wrong with a scenario takes a line a problem; other errors are one line, and `runCommand` writes them. */
function tellProblems(error: unknown, argv: readonly string[], { stdout, stderr, env }: SimComponents): number {
  if (!(error instanceof ScenarioError)) throw error
  const { code, message, problems, overrides } = error
  const given = overrides.length === 0 ? '' : ` with ${overrides.join(' ')}`
  stderr.write(`skein-sim: the scenario cannot be run${given}\n${message}\n`)
  if (wantsJson(argv, env)) {
    stdout.write(`${JSON.stringify({ error: { code, message, problems, overrides } })}\n`)
  }
  return exitCodes.usage
}
