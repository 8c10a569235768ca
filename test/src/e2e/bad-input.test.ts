import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, openSync, closeSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { LocalSwarm } from '../harness/local-swarm.ts'
import { launchNode, spawnNode, waitForEvent } from '../harness/node-process.ts'
import { skein } from '../harness/skein-command.ts'
import { newFolder, tinyModel } from '../harness/work-folder.ts'

const weights = 'model.safetensors'

/** A copy of the model with something wrong in it. */
function copyOfModel(change: (folder: string) => void): string {
  const folder = newFolder('model')
  for (const entry of readdirSync(tinyModel, { withFileTypes: true })) {
    if (entry.isFile()) copyFileSync(join(tinyModel, entry.name), join(folder, entry.name))
  }
  change(folder)
  return folder
}

function editJson(path: string, change: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  change(value)
  writeFileSync(path, JSON.stringify(value))
}

/** Writes over bytes of the file of weights, at an offset from its end if that is negative. */
function overwrite(folder: string, offset: number, bytes: Uint8Array): void {
  const path = join(folder, weights)
  const size = readFileSync(path).byteLength
  const file = openSync(path, 'r+')
  writeSync(file, bytes, 0, bytes.byteLength, offset < 0 ? size + offset : offset)
  closeSync(file)
}

/** The one line that the node ends with. */
async function nodeRefuses(model: string): Promise<string> {
  const { program } = launchNode({ model })
  assert.deepEqual(await program.exited, { code: 1, signal: null }, program.logs())
  assert.match(program.stderr(), /^skein-node: [^\n]+\n$/)
  return program.stderr()
}

describe('bad input to real processes', function () {
  this.timeout(180_000)
  const swarm = new LocalSwarm()
  after(() => swarm.close())

  before(() => swarm.node({ args: ['--max-kv-tokens', '96'] }))

  for (const { what, change, expected } of [
    {
      what: 'no weights',
      change: (folder: string) => rmSync(join(folder, weights)),
      expected: [/model\.safetensors/]
    },
    {
      what: 'weights that are cut off',
      change: (folder: string) => truncateSync(join(folder, weights), 1_000_000),
      expected: [/model\.safetensors is truncated/, /tensor "model\.layers\.1\.self_attn\.o_proj\.weight"/, /1000448/]
    },
    {
      what: 'a tensor that is missing',
      change: (folder: string) => {
        const header = readFileSync(join(folder, weights)).subarray(0, 65_536)
        overwrite(folder, header.indexOf('model.layers.5.mlp.up_proj.weight'), Buffer.from('other'))
      },
      expected: [/model\.layers\.5\.mlp\.up_proj\.weight/]
    },
    {
      what: 'no tokenizer, of which the id is made',
      change: (folder: string) => rmSync(join(folder, 'tokenizer.json')),
      expected: [/tokenizer\.json is missing/]
    },
    {
      what: 'a tokenizer that is none',
      change: (folder: string) => writeFileSync(join(folder, 'tokenizer.json'), '{}'),
      expected: [/tokenizer\.json is no tokenizer/]
    },
    {
      what: 'a configuration of another model',
      change: (folder: string) => editJson(join(folder, 'config.json'), (config) => (config['intermediate_size'] = 512)),
      expected: [/model\.safetensors/, /model\.layers\.0\.mlp\.\w+\.weight/, /384/, /512/]
    },
    {
      what: 'a family that nobody knows',
      change: (folder: string) => editJson(join(folder, 'config.json'), (config) => (config['model_type'] = 'bert')),
      expected: [/"bert"/, /llama/, /mistral/, /qwen2/]
    }
  ]) {
    it(`names what is wrong with a checkpoint: ${what}`, async () => {
      const line = await nodeRefuses(copyOfModel(change))
      for (const part of expected) assert.match(line, part)
    })
  }

  it('says so when the disk takes no more, leaves nothing half done, and starts once there is room', async function () {
    if (spawnSync('prlimit', ['--version']).status !== 0) return this.skip()
    const [cacheDir, folder] = [newFolder('weights'), newFolder('full')]
    // As a full disk, but for this process alone; the weights of a block take more.
    const { program } = launchNode({ cacheDir, folder, blocks: '0:1', wrapper: ['prlimit', '--fsize=300000'] })
    assert.deepEqual(await program.exited, { code: 1, signal: null }, program.logs())
    assert.match(program.stderr(), /^skein-node: \S+ takes no file as large as the converted weights of blocks? 0[^\n]*\n$/)
    // In a swarm of its own, so that the other tests' has one node.
    const node = await spawnNode({ cacheDir, folder, blocks: '0:1' })
    assert.equal((await node.status()).state, 'serving')
    await node.crash()
  })

  // Below /proc nothing can be made; mkdir of Node.js with `recursive` would try for ever.
  for (const flag of ['--cache-dir', '--data-dir', '--identity']) {
    it(`ends when the folder of ${flag} cannot be made`, async function () {
      if (process.platform !== 'linux') return this.skip()
      for (const path of ['/proc/skein/x', join(tinyModel, 'config.json', 'x')]) {
        // The last of two flags counts; a key is by default in the data folder.
        const args = flag === '--data-dir' ? [flag, path, '--identity', join(path, 'node.key')] : [flag, path]
        const { program } = launchNode({ blocks: '0:1', args })
        assert.deepEqual(await program.exited, { code: 1, signal: null }, program.logs())
        assert.match(program.stderr(), /^skein-node: [^\n]+\n$/)
        assert.ok(program.stderr().includes(path), program.stderr())
      }
    })
  }

  it('names the folder that is not there, to the node and to the command', async () => {
    assert.match(await nodeRefuses('/nowhere/model'), /\/nowhere\/model\/config\.json/)
    const { code, stderr } = await skein(['run', 'hi', '--model', '/nowhere/model'], swarm.bootstrap)
    assert.equal(code, 1)
    assert.match(stderr, /skein: .*\/nowhere\/model/)
  })

  it('never mixes two models of one name', async () => {
    // The last weight of all, so that the shapes and the name are the same.
    const model = copyOfModel((folder) => overwrite(folder, -2, Uint8Array.of(0x12, 0x3d)))
    await assert.rejects(swarm.client({ model, coverageTimeoutMs: 500 }), {
      code: 'ERR_SKEIN_NO_COVERAGE',
      message: /blocks 0:8 of \S+@[0-9a-f]{32} are served by no node .* no node of it was found/
    })
    const { program } = launchNode({ model, bootstrap: swarm.bootstrap })
    const other = await waitForEvent(program, 'ready')
    const [ours] = swarm.nodes
    const names = [String(other['model']), ours!.ready.model].map((id) => id.split('@'))
    assert.equal(names[0]![0], names[1]![0])
    assert.notEqual(names[0]![1], names[1]![1])
    // Each finds only its own, through either's address.
    const client = await swarm.client()
    assert.deepEqual(
      (await client.status()).nodes.map(({ peerId }) => peerId),
      [ours!.peerId]
    )
    program.kill('SIGKILL')
    await program.exited
  })

  it('says the numbers when a prompt does not fit the context or the nodes', async () => {
    const client = await swarm.client()
    assert.throws(() => client.generate('word '.repeat(1500), { raw: true }), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message: /the prompt has \d{4} tokens, and the context has 1024/
    })
    // By which a chat knows that its conversation is full.
    assert.throws(
      () => client.generate('word '.repeat(1500), { raw: true }),
      (error) => error instanceof Error && (error as Error & { detail?: Record<string, unknown> }).detail?.['contextTokens'] === 1024
    )
    await assert.rejects(client.generate('word '.repeat(60), { raw: true, maxTokens: 60 }).result, {
      code: 'ERR_SKEIN_KV_FULL',
      message: /needs \d+ tokens of KV cache.*96 at the most/
    })
    assert.throws(() => client.generate(undefined as unknown as string), { message: /^the prompt is undefined/ })
    assert.throws(() => client.generate('Hello', { logitBias: { 1024: 5 } }), { message: /names token 1024: .* 0 to 1023/ })
    await assert.rejects(client.forward(Array.from({ length: 1025 }, () => 1)), { message: /1025 tokens.*1 to 1024/ })
    await assert.rejects(client.forward('abc' as unknown as number[]), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(client.forward([1], { rows: 'first' as 'all' }), { message: /^rows is "first": expected one of all, last/ })
    await assert.rejects(client.forward([1024]), { message: /1024 is no token of this model: its ids are 0 to 1023/ })
    const { code, stderr } = await skein(['run', '-', '--raw'], swarm.bootstrap, { input: 'word '.repeat(1500) })
    assert.equal(code, 2)
    assert.match(stderr, /the prompt has \d{4} tokens, and the context has 1024/)
    await swarm.idle()
  })

  it('waits for room that other sessions hold, and says so when it does not come', async () => {
    const client = await swarm.client({ coverageTimeoutMs: 500 })
    const session = await client.session({ maxContextTokens: 90 })
    await assert.rejects(client.generate('Hello', { raw: true, maxTokens: 20 }).result, {
      code: 'ERR_SKEIN_NO_COVERAGE',
      message: /blocks 0:8 .*room/
    })
    await session.close()
    assert.equal((await client.generate('Hello', { raw: true, maxTokens: 4, temperature: 0 }).result).finishReason, 'length')
    await swarm.idle()
  })

  it('names the bootstrap peer that cannot be reached', async () => {
    const [address] = swarm.bootstrap
    const nobody = address!.replace(/tcp\/\d+/, 'tcp/9')
    const { code, stderr } = await skein(['run', 'hi'], [nobody])
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`^skein: no bootstrap peer answered .*${swarm.nodes[0]!.peerId}`, 'm'))
    const bad = await skein(['run', 'hi'], ['/ip4/127.0.0.1/tcp/9'])
    assert.equal(bad.code, 2)
    assert.match(bad.stderr, /multiaddr with a peer id/)
  })
})
