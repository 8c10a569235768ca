import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generationDefaults } from './generation-defaults.ts'
import { tinyText } from './testing.node.ts'
import { loadModelText } from './text-files.node.ts'

describe('generationDefaults', () => {
  it('is greedy unless the model says that it samples', async () => {
    assert.deepEqual(generationDefaults(undefined, [7]), { eosTokenIds: [7], sampling: { temperature: 0 } })
    assert.deepEqual(generationDefaults({ temperature: 0.6 }, [7]).sampling, { temperature: 0 })
    assert.deepEqual((await tinyText()).generation, { eosTokenIds: [1020], sampling: { temperature: 0 } })
  })

  it('reads what the model samples with, and its list of end tokens', () => {
    const config = { do_sample: true, temperature: 0.6, top_p: 0.9, top_k: null, repetition_penalty: 1.05, eos_token_id: [9, 3, 9] }
    assert.deepEqual(generationDefaults(config, [7]), {
      eosTokenIds: [3, 9],
      sampling: { temperature: 0.6, topP: 0.9, repetitionPenalty: 1.05 }
    })
    assert.deepEqual(generationDefaults({ do_sample: true }, []).sampling, { temperature: 1 })
  })

  it('names the file and the field that cannot be used', () => {
    const expected = (text: RegExp): object => ({ code: 'ERR_SKEIN_MODEL_FILE', message: text })
    assert.throws(() => generationDefaults({ eos_token_id: 'end' }, []), expected(/generation_config\.json.*eos_token_id/s))
    assert.throws(() => generationDefaults({ do_sample: true, top_p: 0 }, []), expected(/generation_config\.json.*topP is 0/))
    assert.throws(() => generationDefaults([], []), expected(/generation_config\.json/))
  })
})

describe('loadModelText', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-text-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('names the file that is missing or broken', async () => {
    await assert.rejects(loadModelText(folder, []), { code: 'ERR_SKEIN_MODEL_FILE', detail: { file: 'tokenizer.json' } })
    await writeFile(join(folder, 'tokenizer.json'), '{')
    await assert.rejects(loadModelText(folder, []), { message: /tokenizer\.json.*not valid JSON/ })
  })

  it('needs nothing but tokenizer.json', async () => {
    const { files } = await tinyText()
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(files.tokenizer))
    const text = await loadModelText(folder, [5])
    assert.equal(text.chatTemplate.exists, false)
    assert.deepEqual(text.generation.eosTokenIds, [5])
    assert.deepEqual(text.tokenizer.special.bos, undefined)
  })
})
