import path from 'node:path'
import { z } from 'zod'
import { CheckpointError, CheckpointErrorCode } from './errors.ts'
import { readJsonFile } from './tensor-files.ts'

/** What every kind of tokenizer has, and no other JSON file. */
const tokenizerSchema = z.looseObject({ model: z.looseObject({ vocab: z.union([z.looseObject({}), z.array(z.unknown())]) }) })

/** The largest published ones have about 35 MB; the coordinator reads as much. */
const maxTokenizerBytes = 256 * 1024 * 1024

/** @throws CheckpointError that names the file when it is missing or holds something else */
export async function requireTokenizer(folder: string): Promise<void> {
  const file = path.join(folder, 'tokenizer.json')
  if (tokenizerSchema.safeParse(await readJsonFile(file, maxTokenizerBytes)).success) return
  throw new CheckpointError(
    CheckpointErrorCode.BadTokenizer,
    `${file} is no tokenizer: it has no model with a vocab; copy it from where the model was published`,
    { detail: { file } }
  )
}
