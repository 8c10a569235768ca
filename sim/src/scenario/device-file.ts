import { LineCounter, stringify } from 'yaml'
import type { DistributionInput } from './fields.ts'
import { ScenarioError, toProblems, withMissing } from './problems.ts'
import type { ScenarioDevice } from './scenario.ts'
import { deviceSchema } from './schema.ts'
import { deviceFields } from './write-scenario.ts'
import { parseMapping, placeOf, toPlain } from './yaml-document.ts'

/** A device as written: its noise may name a trace. */
export type DeviceInput = Omit<ScenarioDevice, 'noise'> & { readonly noise: DistributionInput }

/**
 * Reads a device from a file of its own (YAML or JSON), as `skein-sim calibrate` writes it.
 *
 * @throws ScenarioError with every problem, its line and its field
 */
export function readDevice(text: string, file: string): DeviceInput {
  const lines = new LineCounter()
  const document = parseMapping(text, lines, file, `a device: ${Object.keys(deviceSchema.shape).join(', ')}`)
  const plain = toPlain(document, file)
  const parsed = deviceSchema.safeParse(plain)
  if (parsed.success) return withoutUndefined(parsed.data) as DeviceInput
  const problems = withMissing(
    toProblems(parsed.error.issues, (path) => (path.length === 0 ? Object.keys(deviceSchema.shape) : [])),
    plain
  )
  throw new ScenarioError(
    file,
    problems.map((problem) => placeOf(problem, document, lines))
  )
}

/** The text of such a file. @param about - lines for its head */
export function writeDevice(device: ScenarioDevice, about: readonly string[] = []): string {
  return `${about.map((line) => `# ${line}\n`).join('')}${stringify(deviceFields(device), { aliasDuplicateObjects: false, lineWidth: 140 })}`
}

function withoutUndefined(object: object): object {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
