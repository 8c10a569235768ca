import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeError, didYouMean, InvalidArgumentError } from '@skein/protocol'
import { devicePresets } from '../compute/device-presets.ts'
import { modelPresets } from '../compute/model-presets.ts'
import type { Override } from '../scenario/overrides.ts'
import { readScenario } from '../scenario/read-scenario.ts'
import { regionPresets } from '../scenario/region-presets.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { knownNames } from '../world/known-names.ts'
import { workloadPresets } from '../workload/workload-presets.ts'
import { statOf } from './stat-of.ts'

/** The scenarios that come with the package. */
const shippedFolder = fileURLToPath(new URL('../../scenarios/', import.meta.url))

export interface LoadOptions {
  readonly overrides?: readonly Override[]
  /** Take the small variant. */
  readonly ci?: boolean
}

/** Names of the shipped scenarios, sorted. */
export function shippedScenarios(): string[] {
  return readdirSync(shippedFolder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => basename(file, '.yaml'))
    .sort()
}

/**
 * The file of a scenario: a path, or the bare name of a shipped one.
 *
 * @throws InvalidArgumentError if there is neither
 */
export function scenarioFile(nameOrPath: string): string {
  if (statOf(nameOrPath)?.isFile() === true) return nameOrPath
  const names = shippedScenarios()
  if (names.includes(nameOrPath)) return resolve(shippedFolder, `${nameOrPath}.yaml`)
  const hint = didYouMean(nameOrPath, names)
  throw new InvalidArgumentError(
    `there is no file '${nameOrPath}', and no shipped scenario of that name${hint === '' ? '; skein-sim list shows them' : hint}`
  )
}

/**
 * Reads a scenario from a file, or a shipped one by its name.
 *
 * @throws ScenarioError with every problem and its place; InvalidArgumentError if there is no such file
 */
export function loadScenario(nameOrPath: string, options: LoadOptions = {}): Scenario {
  const file = scenarioFile(nameOrPath)
  return readScenario(readText(file), {
    ...options,
    file: file.startsWith(shippedFolder) ? basename(file) : file,
    presets: { devices: devicePresets, models: modelPresets, regions: regionPresets, workloads: workloadPresets },
    readFile: (path) => readText(besideScenario(file, path)),
    ...knownNames
  })
}

/** A file that a scenario names is beside it; one that `--set` names for a shipped scenario, in the working directory. */
function besideScenario(scenario: string, path: string): string {
  const beside = resolve(dirname(scenario), path)
  return scenario.startsWith(shippedFolder) && statOf(beside) === undefined ? resolve(path) : beside
}

/** The largest file that is read: a trace of a hundred thousand lines is far below. */
const maxFileBytes = 50_000_000

function readText(path: string): string {
  try {
    const stats = statOf(path)
    if (stats === undefined) throw new InvalidArgumentError('there is no such file')
    if (!stats.isFile()) throw new InvalidArgumentError('it is no file')
    const { size } = stats
    if (size > maxFileBytes) throw new InvalidArgumentError(`it has ${size} bytes, and at most ${maxFileBytes} are read`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    throw new InvalidArgumentError(`${path} cannot be read: ${describeError(error)}`, { cause: error })
  }
}
