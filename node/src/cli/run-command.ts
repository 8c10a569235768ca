import { describeError } from '@skein/protocol'
import { type Command, CommanderError, type Option } from 'commander'
import { optionDescription } from './help.ts'

/** Exit codes of all commands of skein. */
export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const

/** Why a command did not do what it was asked for. */
export interface CommandFailure {
  /** The code of the error; `ERR_SKEIN_INVALID_ARGUMENT` for a bad command line. */
  readonly code: string
  /** One line. */
  readonly message: string
  readonly exitCode: number
}

export interface RunCommandOptions {
  /** Help and version go here. @default the standard output of the process */
  stdout?: { write(text: string): unknown }
  /** The one line of a failure goes here. @default the standard error of the process */
  stderr?: { write(text: string): unknown }
  /** Called once when the command fails, bad usage included, after the line was written. */
  onFailure?: (failure: CommandFailure) => void
}

/**
 * Parses the arguments and runs what they ask for, and turns whatever comes of it into an exit code: 0 done, 1 failed, 2
 * bad usage, 130 interrupted. A failure is one line on standard error, without a stack unless `SKEIN_DEBUG` is set.
 */
export async function runCommand(program: Command, argv: readonly string[], options: RunCommandOptions = {}): Promise<number> {
  const { stdout = process.stdout, stderr = process.stderr, onFailure } = options
  prepare(program, stdout, stderr)
  try {
    await program.parseAsync(argv)
    return typeof process.exitCode === 'number' ? process.exitCode : exitCodes.done
  } catch (error) {
    const failure = toFailure(error)
    if (failure === undefined) return exitCodes.done
    if (!(error instanceof CommanderError)) stderr.write(`${program.name()}: ${failure.message}\n`)
    if (process.env['SKEIN_DEBUG'] !== undefined && error instanceof Error) stderr.write(`${error.stack ?? ''}\n`)
    onFailure?.(failure)
    return failure.exitCode
  }
}

function prepare(program: Command, stdout: { write(text: string): unknown }, stderr: { write(text: string): unknown }): void {
  for (const command of [program, ...program.commands]) {
    command.exitOverride().showSuggestionAfterError().configureHelp({ optionDescription })
    command.configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      // One line, in the form of all other errors: a suggestion stands on a line of its own otherwise.
      outputError: (text, write) => write(`${program.name()}: ${tidy(text)}\n`)
    })
    command.hook('preAction', (_, action) => readBooleans(action))
    tellUnknownFirst(command)
  }
}

/** What commander's errors are told by. They are methods for its own use, and not in its types. */
interface CommanderErrors {
  missingMandatoryOptionValue(option: Option): void
  unknownOption(flag: string): void
}

/** A required flag with a slip of the pen is missing as well as unknown. Commander would say only that it is missing. */
function tellUnknownFirst(command: Command): void {
  const errors = command as Command & CommanderErrors
  const parseOptions = command.parseOptions.bind(command)
  const tellMissing = errors.missingMandatoryOptionValue.bind(command)
  let unknown: string | undefined
  command.parseOptions = (args) => {
    const parsed = parseOptions(args)
    unknown = parsed.unknown[0]
    return parsed
  }
  errors.missingMandatoryOptionValue = (option) => (unknown === undefined ? tellMissing(option) : errors.unknownOption(unknown))
}

/** Commander takes a boolean flag as given when its variable exists, whatever that says; people write `SKEIN_LAN=0`. */
function readBooleans(command: Command): void {
  for (const option of command.options) {
    if (!isBoolean(option) || option.envVar === undefined) continue
    const name = option.attributeName()
    if (command.getOptionValueSource(name) !== 'env') continue
    if (isOff(process.env[option.envVar])) command.setOptionValueWithSource(name, option.defaultValue, 'default')
  }
}

function isBoolean(option: Option): boolean {
  return option.isBoolean() && !option.negate
}

/** Whether the value of a variable of a boolean flag means that the flag is not given. */
function isOff(value: string | undefined): boolean {
  return value === undefined || ['', '0', 'false', 'no', 'off'].includes(value.trim().toLowerCase())
}

/**
 * Whether a command line asks for `--json`, by its raw arguments (without the program's name): one that cannot be parsed has no
 * options, and its failure is to be told all the same.
 */
export function wantsJson(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): boolean {
  const end = argv.indexOf('--')
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json') || !isOff(env['SKEIN_JSON'])
}

function tidy(text: string): string {
  return text
    .trim()
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\s*/g, ' ')
}

/** Undefined when the "error" is only commander's way to say that it has printed the help or the version. */
function toFailure(error: unknown): CommandFailure | undefined {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return undefined
    const message = error.code === 'commander.help' ? 'a command is missing; see --help' : tidy(error.message)
    return { code: 'ERR_SKEIN_INVALID_ARGUMENT', message, exitCode: exitCodes.usage }
  }
  const code = (error as { code?: unknown } | undefined)?.code
  const known = typeof code === 'string' ? code : 'ERR_SKEIN_INTERNAL'
  return { code: known, message: describeError(error), exitCode: exitCodeOf(known) }
}

function exitCodeOf(code: string): number {
  if (code === 'ERR_SKEIN_ABORTED') return exitCodes.interrupted
  return code === 'ERR_SKEIN_INVALID_ARGUMENT' ? exitCodes.usage : exitCodes.failed
}
