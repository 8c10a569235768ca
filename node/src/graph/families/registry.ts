/** The families that skein knows, by `model_type`. To add one: write its file beside this one and list it here. */
import { CheckpointError, CheckpointErrorCode } from '../../checkpoint/errors.ts'
import type { Family } from './family.ts'
import { llama } from './llama.ts'
import { mistral } from './mistral.ts'
import { qwen2 } from './qwen2.ts'

const families: readonly Family[] = [llama, mistral, qwen2]

const byModelType: ReadonlyMap<string, Family> = new Map(families.flatMap((family) => family.modelTypes.map((type) => [type, family])))

/** Every `model_type` that is known, sorted. */
export function knownFamilies(): string[] {
  return [...byModelType.keys()].sort()
}

/** @throws CheckpointError `ERR_SKEIN_UNKNOWN_FAMILY`, which lists the known ones */
export function familyOf(modelType: string): Family {
  const family = byModelType.get(modelType)
  if (family !== undefined) return family
  throw new CheckpointError(
    CheckpointErrorCode.UnknownFamily,
    `the model is of the family ${JSON.stringify(modelType.slice(0, 64))} (model_type in config.json), which skein does not know; ` +
      `it knows ${knownFamilies().join(', ')}`,
    { detail: { modelType: modelType.slice(0, 64), known: knownFamilies().join(',') } }
  )
}
