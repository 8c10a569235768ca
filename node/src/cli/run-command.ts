import { describeError } from '@skein/protocol'
import { type Command, CommanderError } from 'commander'

/** Exit codes of all commands of skein. */
export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const

/**
 * Parses the arguments and runs what they ask for, and turns whatever comes of it into an exit code: 0 done, 1 failed, 2
 * bad usage, 130 interrupted. A failure is one line on standard error, without a stack unless `SKEIN_DEBUG` is set.
 */
export async function runCommand(program: Command, argv: readonly string[]): Promise<number> {
  for (const command of [program, ...program.commands]) command.exitOverride().showSuggestionAfterError()
  try {
    await program.parseAsync(argv as string[])
    return typeof process.exitCode === 'number' ? process.exitCode : exitCodes.done
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    process.stderr.write(`${program.name()}: ${describeError(error)}\n`)
    if (process.env['SKEIN_DEBUG'] !== undefined && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`)
    const code = (error as { code?: unknown }).code
    if (code === 'ERR_SKEIN_ABORTED') return exitCodes.interrupted
    return code === 'ERR_SKEIN_INVALID_ARGUMENT' ? exitCodes.usage : exitCodes.failed
  }
}
