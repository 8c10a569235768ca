import assert from 'node:assert/strict'
import type { GenerateOptions, GenerationResult, SwarmClient } from '@skein/coordinator'
import { LocalSwarm } from '../harness/local-swarm.ts'
import type { NodeProcess } from '../harness/node-process.ts'
import { eventually } from '../harness/program.ts'
import { launchSkein } from '../harness/skein-command.ts'

const prompt = 'Tell me a story'
const options: GenerateOptions = { temperature: 0, maxTokens: 16 }
/** The token after which a node is lost. */
const lossAt = 5

describe('processes that die', function () {
  this.timeout(180_000)
  const swarm = new LocalSwarm()
  after(() => swarm.close())

  let client: SwarmClient
  let undisturbed: GenerationResult

  before(async () => {
    await swarm.node({ blocks: '0:3' })
    await Promise.all(['3:6', '6:8'].map((blocks) => swarm.node({ blocks })))
    client = await swarm.client({ coverageTimeoutMs: 20_000 })
    undisturbed = await client.generate(prompt, options).result
    assert.equal(undisturbed.tokens.length, options.maxTokens)
  })

  /** Generates, and does something to the node in use of the blocks once there are a few tokens. */
  async function generateWithLoss(blocks: string, lose: (node: NodeProcess) => Promise<unknown>): Promise<GenerationResult> {
    let lost: Promise<unknown> | undefined
    let inUse: NodeProcess | undefined
    const generation = client.generate(prompt, {
      ...options,
      onEvent: (event) => {
        if (event.type !== 'chain-opened') return
        const stage = event.chain.find(({ start, end }) => `${start}:${end}` === blocks)
        inUse = swarm.nodes.find(({ peerId }) => peerId === stage?.peerId)
      }
    })
    generation.result.catch(() => {})
    let tokens = 0
    for await (const piece of generation) {
      tokens += piece.tokens.length
      if (tokens < lossAt || lost !== undefined) continue
      assert.ok(inUse !== undefined, `no stage of blocks ${blocks}`)
      lost = lose(inUse)
      // What is tested is a loss, so the next token must not come before it.
      await Promise.race([lost, inUse.exited, new Promise((resolve) => setTimeout(resolve, 200))])
    }
    await lost
    return generation.result
  }

  for (const [place, blocks] of [
    ['first', '0:3'],
    ['middle', '3:6'],
    ['last', '6:8']
  ] as const) {
    it(`gives the same tokens when the ${place} stage is killed`, async () => {
      const spare = await swarm.node({ blocks })
      await swarm.known(client, [spare])
      let killed: NodeProcess | undefined
      const result = await generateWithLoss(blocks, (node) => (killed = node).crash())
      assert.deepEqual(result.tokens, undisturbed.tokens)
      assert.equal(result.text, undisturbed.text)
      assert.ok(result.recoveries >= 1)
      assert.ok(!result.chain.some(({ peerId }) => peerId === killed?.peerId))
      await swarm.idle()
    })
  }

  it('gives the same tokens when a stage is asked to stop, and that node exits with 0', async () => {
    const spare = await swarm.node({ blocks: '3:6' })
    await swarm.known(client, [spare])
    let stopped: NodeProcess | undefined
    const result = await generateWithLoss('3:6', (node) => (stopped = node).stop())
    assert.deepEqual(result.tokens, undisturbed.tokens)
    assert.deepEqual(await stopped?.exited, { code: 0, signal: null })
    assert.match(stopped?.logs() ?? '', /"event":"stopped"/)
    await swarm.idle()
  })

  it('gives the same tokens when a stage stands still, and is not disturbed when it wakes', async () => {
    const spare = await swarm.node({ blocks: '3:6' })
    await swarm.known(client, [spare])
    let frozen: NodeProcess | undefined
    try {
      const result = await generateWithLoss('3:6', (node) => {
        frozen = node
        node.kill('SIGSTOP')
        return Promise.resolve()
      })
      assert.deepEqual(result.tokens, undisturbed.tokens)
      assert.ok(result.recoveries >= 1)
      assert.ok(!result.chain.some(({ peerId }) => peerId === frozen?.peerId))
    } finally {
      frozen?.kill('SIGCONT')
    }
    // It finishes what it had begun and finds that nobody wants it: its session ends, and it serves on.
    await swarm.idle()
    assert.equal((await frozen?.status())?.state, 'serving')
    assert.deepEqual((await client.generate(prompt, options).result).tokens, undisturbed.tokens)
  })

  it('opens another chain when its last stage stands still, and does not wait for that one at the end', async () => {
    const spare = await swarm.node({ blocks: '6:8' })
    await swarm.known(client, [spare])
    const { chain } = await client.generate(prompt, { ...options, maxTokens: 1 }).result
    const node = swarm.nodes.find(({ peerId }) => peerId === chain.at(-1)?.peerId)!
    node.kill('SIGSTOP')
    try {
      let lastPieceMs = 0
      const generation = client.generate(prompt, options)
      for await (const _ of generation) lastPieceMs = performance.now()
      const { tokens } = await generation.result
      assert.deepEqual(tokens, undisturbed.tokens)
      assert.ok(performance.now() - lastPieceMs < 2_000, 'the result waited for who had been lost')
    } finally {
      node.kill('SIGCONT')
    }
    await swarm.idle()
    await spare.crash()
  })

  it('names the blocks that nobody serves any more, and goes on when the killed node is started again', async () => {
    const impatient = await swarm.client({ coverageTimeoutMs: 1_000 })
    const last = swarm.nodes.find((node) => node.ready.start === 6 && !node.program.ended)
    assert.ok(last !== undefined)
    const generation = impatient.generate(prompt, options)
    generation.result.catch(() => {})
    await assert.rejects(
      async () => {
        for await (const _ of generation) await last.crash()
      },
      { code: 'ERR_SKEIN_NO_COVERAGE', message: /6:8/ }
    )
    await swarm.idle()
    const again = await swarm.node({ blocks: '6:8', folder: last.folder })
    assert.equal(again.peerId, last.peerId)
    await swarm.known(impatient, [again])
    const result = await eventually('the node that came back is used', () => impatient.generate(prompt, options).result)
    assert.deepEqual(result.tokens, undisturbed.tokens)
  })

  it('frees the caches of a client that is killed in the middle of its answer', async () => {
    // Hot enough that the answer does not end by itself.
    const run = launchSkein(['run', '--raw', 'Once', '--temperature', '5', '--seed', '1', '--max-tokens', '900'], swarm.bootstrap)
    const living = swarm.nodes.filter((node) => !node.program.ended)
    await run.waitFor('some text', () => (run.stdout().length > 10 ? true : undefined))
    const loads = await Promise.all(living.map((node) => node.status()))
    assert.equal(loads.filter(({ load }) => load.sessions === 1).length, 3)
    run.kill('SIGKILL')
    assert.deepEqual(await run.exited, { code: null, signal: 'SIGKILL' })
    await swarm.idle()
  })
})
