import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidArgumentError } from '@skein/protocol'
import { Option } from 'commander'
import { statOf } from './stat-of.ts'

/** In words, for `--help`. */
export const defaultModel = 'skein-tiny of this repository'

/** `--model`, of commands that compute with a real model. */
export function modelOption(): Option {
  return new Option('--model <dir>', 'folder of the checkpoint').env('SKEIN_MODEL').default(undefined, defaultModel)
}

/** @throws InvalidArgumentError when nobody said which model and this is no copy of the repository, or it is no model's folder */
export function modelFolder(given: string | undefined): string {
  const folder = given ?? fileURLToPath(new URL('../../../test/models/skein-tiny', import.meta.url))
  if (statOf(join(folder, 'config.json')) === undefined) {
    throw new InvalidArgumentError(`${folder} is no folder of a checkpoint (it has no config.json): name one with --model`)
  }
  return folder
}
