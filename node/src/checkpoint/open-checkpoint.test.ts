import assert from 'node:assert/strict'
import { copyFile, cp, mkdir, mkdtemp, readFile, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describeError } from '@skein/protocol'
import { makeRandomCheckpoint } from '../testing/random-checkpoint.ts'
import { CheckpointError } from './errors.ts'
import type { HashProgress } from './manifest.ts'
import { openCheckpoint } from './open-checkpoint.ts'

describe('openCheckpoint', () => {
  let root: string
  let cacheDir: string
  let folder: string

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'skein-checkpoint-'))
    cacheDir = path.join(root, 'cache')
    folder = path.join(root, 'tiny model!')
    await makeRandomCheckpoint(folder, { rope_scaling: null }, 5)
    await writeFile(path.join(folder, 'tokenizer.json'), '{}')
  })

  after(() => rm(root, { recursive: true, force: true }))

  async function copy(name: string, ...changes: Array<(folder: string) => Promise<unknown>>): Promise<string> {
    const target = path.join(root, name)
    await cp(folder, target, { recursive: true })
    for (const change of changes) await change(target)
    return target
  }

  const editConfig = (change: Record<string, unknown>) => async (target: string) => {
    const file = path.join(target, 'config.json')
    const config = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>
    await writeFile(file, JSON.stringify({ ...config, ...change }))
  }

  async function idOf(target: string, name = 'x'): Promise<string> {
    const checkpoint = await openCheckpoint(target, { name, cacheDir })
    await checkpoint.close()
    return checkpoint.modelId
  }

  async function refuses(target: string, code: string, ...words: string[]): Promise<void> {
    await assert.rejects(openCheckpoint(target, { cacheDir }), (error) => {
      assert.ok(error instanceof CheckpointError, String(error))
      assert.equal(error.code, code)
      for (const word of words) assert.ok(error.message.includes(word), `${error.message} lacks ${word}`)
      return true
    })
  }

  it('reads the configuration, names the model after its shape, and reads tensors', async () => {
    const checkpoint = await openCheckpoint(folder, { cacheDir })
    assert.match(checkpoint.modelId, /^llama-2x64@[0-9a-f]{32}$/)
    assert.equal(checkpoint.config.blocks, 2)
    assert.deepEqual(checkpoint.config.ropeScaling, { kind: 'none' })
    assert.deepEqual(checkpoint.tensor('model.norm.weight'), { name: 'model.norm.weight', dtype: 'bf16', shape: [64], byteLength: 128 })
    assert.equal(checkpoint.tensor('nothing'), undefined)
    assert.deepEqual([...(await checkpoint.readFloat32('model.norm.weight'))], new Array(64).fill(1))
    await checkpoint.close()
  })

  it('gives a model one id however it is stored, and another one when anything that counts differs', async () => {
    const id = await idOf(folder)
    assert.equal(await idOf(await copy('volatile', editConfig({ transformers_version: '9.9', _name_or_path: 'y' }))), id)
    const named = await openCheckpoint(folder, { cacheDir, name: 'my model' })
    assert.equal(named.modelId, id.replace(/^[^@]+/, 'my-model'))
    await named.close()
    assert.notEqual(await idOf(await copy('theta', editConfig({ rope_theta: 20000 }))), id)
    assert.notEqual(await idOf(await copy('tokenizer', (target) => writeFile(path.join(target, 'tokenizer.json'), '{ }'))), id)
    assert.equal(await idOf(await copy('other-files', (target) => writeFile(path.join(target, 'README.md'), 'hello'))), id)
    const one = path.join(root, 'one')
    const three = path.join(root, 'three')
    await makeRandomCheckpoint(one, {}, 8, { files: 1 })
    await mkdir(three)
    // The same tensors in three files: the header of each is cut from the single file's.
    await splitFile(one, three)
    assert.equal(await idOf(three), await idOf(one))
  })

  it('hashes once, reporting progress, and again when a file changes', async () => {
    const target = await copy('progress')
    const seen: HashProgress[] = []
    const open = async () => (await openCheckpoint(target, { cacheDir, onProgress: (progress) => seen.push(progress) })).close()
    await open()
    const last = seen.at(-1)
    assert.ok(last !== undefined && last.doneBytes === last.totalBytes && last.totalBytes > 100_000)
    seen.length = 0
    await open()
    assert.equal(seen.length, 0)
    await utimes(path.join(target, 'model.safetensors'), 1, 1)
    await open()
    assert.ok(seen.length > 0)
  })

  it('makes a damaged manifest in the cache again', async () => {
    const own = path.join(root, 'own-cache')
    const first = await openCheckpoint(folder, { cacheDir: own })
    await first.close()
    const [name] = await readdir(path.join(own, 'manifests'))
    await writeFile(path.join(own, 'manifests', name as string), '{"version":1,')
    const second = await openCheckpoint(folder, { cacheDir: own })
    await second.close()
    assert.equal(second.modelId, first.modelId)
  })

  it('opens without a cache that can be written, and says so', async () => {
    const file = path.join(root, 'a-file')
    await writeFile(file, '')
    const checkpoint = await openCheckpoint(folder, { cacheDir: file })
    assert.equal(checkpoint.manifestKept, false)
    await checkpoint.close()
  })

  it('verifies a single tensor', async () => {
    const target = await copy('verify')
    const checkpoint = await openCheckpoint(target, { cacheDir })
    await checkpoint.verifyTensor('model.norm.weight')
    const file = path.join(target, 'model.safetensors')
    const bytes = await readFile(file)
    const at = bytes.byteLength - 100 // in the head, the last tensor
    bytes[at] = (bytes[at] as number) ^ 1
    await writeFile(file, bytes)
    await checkpoint.verifyTensor('model.norm.weight')
    await assert.rejects(checkpoint.verifyTensor('lm_head.weight'), { code: 'ERR_SKEIN_CHECKPOINT_WRONG_HASH' })
    await checkpoint.close()
  })

  it('stops hashing when it is aborted', async () => {
    await assert.rejects(openCheckpoint(await copy('aborted'), { cacheDir, signal: AbortSignal.abort() }), { code: 'ERR_SKEIN_ABORTED' })
  })

  it('says which file is missing', async () => {
    await refuses(path.join(root, 'nowhere'), 'ERR_SKEIN_CHECKPOINT_MISSING_FILE', 'nowhere', 'config.json')
    for (const bad of [path.join(root, 'nowhere'), path.join(folder, 'config.json')]) {
      // What to do, and not what the system calls it.
      await refuses(bad, 'ERR_SKEIN_CHECKPOINT_MISSING_FILE', 'is missing: expected a folder as Hugging Face publishes them')
      await assert.rejects(openCheckpoint(bad, { cacheDir }), (error) => !describeError(error).includes('ENO'))
    }
    const target = await copy('no-weights', (own) => rm(path.join(own, 'model.safetensors')))
    await refuses(target, 'ERR_SKEIN_CHECKPOINT_MISSING_FILE', 'model.safetensors')
    const sharded = path.join(root, 'no-shard')
    await makeRandomCheckpoint(sharded, {}, 1, { files: 2 })
    await rm(path.join(sharded, 'model-00002-of-00002.safetensors'))
    await refuses(sharded, 'ERR_SKEIN_CHECKPOINT_MISSING_FILE', 'model-00002-of-00002.safetensors')
  })

  it('asks for a tokenizer where its caller needs one, before it hashes', async () => {
    const seen: HashProgress[] = []
    const open = async (target: string): Promise<void> => {
      const checkpoint = await openCheckpoint(target, { cacheDir, requireTokenizer: true, onProgress: (progress) => seen.push(progress) })
      await checkpoint.close()
    }
    const file = (target: string): string => path.join(target, 'tokenizer.json')
    const none = await copy('no-tokenizer', (own) => rm(file(own)))
    await assert.rejects(open(none), { code: 'ERR_SKEIN_CHECKPOINT_MISSING_FILE', message: /no-tokenizer.tokenizer\.json is missing/ })
    for (const [index, text] of ['{}', '[]', '{"model":{"type":"BPE"}}'].entries()) {
      const empty = await copy(`bad-tokenizer-${index}`, (own) => writeFile(file(own), text))
      await assert.rejects(open(empty), {
        code: 'ERR_SKEIN_CHECKPOINT_BAD_TOKENIZER',
        message: new RegExp(`bad-tokenizer-${index}.tokenizer\\.json is no tokenizer`)
      })
    }
    await assert.rejects(open(await copy('no-json', (own) => writeFile(file(own), '{'))), { code: 'ERR_SKEIN_CHECKPOINT_BAD_HEADER' })
    assert.deepEqual(seen, [])
    // Vocabularies are objects, and lists in Unigram models.
    for (const vocab of ['{"a":0}', '[["a",-1]]']) {
      await open(await copy(`tokenizer-${vocab.length}`, (own) => writeFile(file(own), `{"model":{"vocab":${vocab}}}`)))
    }
  })

  it('says which file is cut short, wherever the cut is', async () => {
    const { size } = await stat(path.join(folder, 'model.safetensors'))
    for (const bytes of [0, 7, 40, size - 1]) {
      const target = await copy(`cut-${bytes}`, (own) => truncate(path.join(own, 'model.safetensors'), bytes))
      await refuses(target, 'ERR_SKEIN_CHECKPOINT_TRUNCATED', 'model.safetensors')
    }
  })

  it('refuses garbage without allocating for it', async () => {
    const huge = Buffer.alloc(64)
    huge.writeBigUInt64LE(2n ** 62n)
    await refuses(
      await copy('huge', (own) => writeFile(path.join(own, 'model.safetensors'), huge)),
      'ERR_SKEIN_CHECKPOINT_BAD_HEADER',
      'model.safetensors'
    )
    const git = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'
    await refuses(
      await copy('lfs', (own) => writeFile(path.join(own, 'model.safetensors'), git)),
      'ERR_SKEIN_CHECKPOINT_BAD_HEADER',
      'model.safetensors'
    )
    const index = JSON.stringify({ weight_map: { 'model.norm.weight': '../../secret' } })
    const outside = await copy('outside', (own) => writeFile(path.join(own, 'model.safetensors.index.json'), index))
    await refuses(outside, 'ERR_SKEIN_CHECKPOINT_BAD_HEADER', 'secret')
    await refuses(
      await copy('json', (own) => writeFile(path.join(own, 'config.json'), '{')),
      'ERR_SKEIN_CHECKPOINT_BAD_HEADER',
      'config.json'
    )
  })

  it('says what is wrong with a tensor', async () => {
    await refuses(
      await copy('shape', editConfig({ intermediate_size: 192 })),
      'ERR_SKEIN_CHECKPOINT_WRONG_SHAPE',
      'gate_proj',
      '[160, 64]',
      '[192, 64]'
    )
    await refuses(
      await copy('bias', editConfig({ attention_bias: true })),
      'ERR_SKEIN_CHECKPOINT_MISSING_TENSOR',
      'q_proj.bias',
      'is the download whole'
    )
    await refuses(await copy('blocks', editConfig({ num_hidden_layers: 3 })), 'ERR_SKEIN_CHECKPOINT_MISSING_TENSOR', 'model.layers.2.')
    const dtype = await copy('dtype', async (own) => {
      const file = path.join(own, 'model.safetensors')
      const bytes = await readFile(file)
      const at = bytes.indexOf('"BF16"')
      bytes.write('"I16" ', at)
      await writeFile(file, bytes)
    })
    await refuses(dtype, 'ERR_SKEIN_CHECKPOINT_UNKNOWN_DTYPE', 'embed_tokens', 'I16')
  })

  it('lists the known families when it does not know one', async () => {
    await refuses(await copy('family', editConfig({ model_type: 'gpt2' })), 'ERR_SKEIN_UNKNOWN_FAMILY', '"gpt2"', 'llama, mistral, qwen2')
    await refuses(
      await copy('typeless', editConfig({ model_type: undefined })),
      'ERR_SKEIN_CHECKPOINT_BAD_CONFIG',
      'model_type',
      'copy the file'
    )
  })

  /** Writes each tensor of a single file to one of three files, with an index. */
  async function splitFile(from: string, to: string): Promise<void> {
    await copyFile(path.join(from, 'config.json'), path.join(to, 'config.json'))
    const bytes = await readFile(path.join(from, 'model.safetensors'))
    const start = 8 + Number(bytes.readBigUInt64LE())
    const header = JSON.parse(bytes.subarray(8, start).toString()) as Record<string, { data_offsets: [number, number] }>
    const weightMap: Record<string, string> = {}
    for (let part = 0; part < 3; part++) {
      const own: Record<string, unknown> = {}
      const data: Buffer[] = []
      let end = 0
      for (const [name, entry] of Object.entries(header).filter((_, index) => index % 3 === part)) {
        const [begin, stop] = entry.data_offsets
        own[name] = { ...entry, data_offsets: [end, (end += stop - begin)] }
        data.push(bytes.subarray(start + begin, start + stop))
        weightMap[name] = `part-${part}.safetensors`
      }
      const json = Buffer.from(JSON.stringify(own))
      const prefix = Buffer.alloc(8)
      prefix.writeBigUInt64LE(BigInt(json.byteLength))
      await writeFile(path.join(to, `part-${part}.safetensors`), Buffer.concat([prefix, json, ...data]))
    }
    await writeFile(path.join(to, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
  }
})
