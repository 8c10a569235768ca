import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { ChatTemplate } from './chat-template.ts'
import { ModelFileError } from './errors.ts'
import { generationDefaults } from './generation-defaults.ts'
import type { ModelText } from './model-text.ts'
import { Tokenizer } from './tokenizer.ts'

/** The largest `tokenizer.json` that is read; the largest published ones have about 35 MB. */
const maxFileBytes = 256 * 1024 * 1024

/**
 * Reads `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and `generation_config.json` of a model's folder;
 * only the first must be there.
 *
 * @param modelEosTokenIds - end tokens of `config.json`, for models whose generation_config.json names none
 * @throws ModelFileError that names the file
 */
export async function loadModelText(folder: string, modelEosTokenIds: readonly number[]): Promise<ModelText> {
  const [tokenizerJson, configJson, template, generationJson] = await Promise.all([
    readJson(folder, 'tokenizer.json'),
    readJson(folder, 'tokenizer_config.json'),
    readText(folder, 'chat_template.jinja'),
    readJson(folder, 'generation_config.json')
  ])
  if (tokenizerJson === undefined) {
    throw new ModelFileError('tokenizer.json', `${folder} has none: copy it from where the model was published`)
  }
  const config = configJson ?? {}
  const tokenizer = new Tokenizer({ tokenizer: tokenizerJson, config })
  const { eos } = tokenizer.special
  const fallback = modelEosTokenIds.length > 0 || eos === undefined ? modelEosTokenIds : [eos]
  return { tokenizer, chatTemplate: new ChatTemplate({ config, template }), generation: generationDefaults(generationJson, fallback) }
}

async function readJson(folder: string, name: string): Promise<unknown> {
  const text = await readText(folder, name)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new ModelFileError(name, `${join(folder, name)} is not valid JSON`, { cause: error })
  }
}

async function readText(folder: string, name: string): Promise<string | undefined> {
  const path = join(folder, name)
  try {
    const handle = await open(path)
    try {
      const { size } = await handle.stat()
      if (size > maxFileBytes) throw new ModelFileError(name, `${path} has ${size} bytes: at most ${maxFileBytes} are read`)
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof ModelFileError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ModelFileError(name, `${path} cannot be read`, { cause: error })
  }
}
