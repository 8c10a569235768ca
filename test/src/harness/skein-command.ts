import { join } from 'node:path'
import { root } from '../tidy/repository.ts'
import { Program } from './program.ts'
import { sharedCache, tinyModel, workFolder } from './work-folder.ts'

const script = join(root, 'coordinator', 'dist', 'bin', 'skein.js')

export interface CommandResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface SkeinOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly wrapper?: readonly string[]
}

/** Starts `skein` with its model, cache and data folder given by the environment, as a person would set them. */
export function launchSkein(args: readonly string[], bootstrap: readonly string[], options: SkeinOptions = {}): Program {
  const env = {
    SKEIN_MODEL: tinyModel,
    SKEIN_CACHE_DIR: sharedCache(),
    SKEIN_DATA_DIR: join(workFolder(), 'skein'),
    ...(bootstrap.length === 0 ? {} : { SKEIN_BOOTSTRAP: bootstrap.join(',') }),
    ...options.env
  }
  return new Program(script, { args, env, tethered: false, ...(options.wrapper === undefined ? {} : { wrapper: options.wrapper }) })
}

/** Runs `skein` to its end; `input` is the whole of its standard input. */
export async function skein(
  args: readonly string[],
  bootstrap: readonly string[],
  { input, ...options }: SkeinOptions & { readonly input?: string } = {}
): Promise<CommandResult> {
  const program = launchSkein(args, bootstrap, options)
  if (input !== undefined) program.write(input)
  program.endInput()
  const { code, signal } = await program.exited
  return { code, signal, stdout: program.stdout(), stderr: program.stderr() }
}
