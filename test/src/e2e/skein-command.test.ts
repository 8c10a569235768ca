import assert from 'node:assert/strict'
import { LocalSwarm } from '../harness/local-swarm.ts'
import { signalWhileLoading } from '../harness/program.ts'
import { launchSkein, skein } from '../harness/skein-command.ts'

const greedy = ['--temperature', '0', '--max-tokens', '16', '--encoding', 'f32', '--exact']
const question = 'What is the capital of France?'

describe('skein as a process', function () {
  this.timeout(180_000)
  const swarm = new LocalSwarm()
  after(() => swarm.close())

  let answer: string

  before(async () => {
    await swarm.node({ blocks: '0:4' })
    await swarm.node({ blocks: '4:8' })
    const client = await swarm.client()
    answer = (await client.generate(question, { temperature: 0, maxTokens: 16 }).result).text
    assert.match(answer, /Paris/)
  })

  it('answers a prompt of the command line, on standard output alone', async () => {
    const { code, stdout } = await skein(['run', question, ...greedy], swarm.bootstrap)
    assert.equal(code, 0)
    assert.equal(stdout, `${answer}\n`)
  })

  it('prints one object with --json, from standard input', async () => {
    const { code, stdout, stderr } = await skein(['run', '-', '--json', ...greedy], swarm.bootstrap, { input: `${question}\n` })
    assert.equal(code, 0, stderr)
    const report = JSON.parse(stdout) as Record<string, unknown>
    assert.deepEqual(Object.keys(report).sort(), [
      'chain',
      'completionTokens',
      'finishReason',
      'promptTokens',
      'recoveries',
      'text',
      'timeToFirstTokenMs',
      'tokens',
      'tokensPerSecond'
    ])
    const [first, second] = swarm.nodes
    assert.deepEqual(report['chain'], [
      { peerId: first!.peerId, start: 0, end: 4 },
      { peerId: second!.peerId, start: 4, end: 8 }
    ])
    assert.equal(report['text'], answer)
    assert.equal(report['recoveries'], 0)
    assert.equal((report['tokens'] as number[]).length, report['completionTokens'])
    assert.ok(Number(report['promptTokens']) > 5 && Number(report['timeToFirstTokenMs']) > 0 && Number(report['tokensPerSecond']) > 0)
  })

  it('sends the text as it is with --raw', async () => {
    const { stdout } = await skein(['run', '--raw', '--json', 'Once upon ', ...greedy], swarm.bootstrap)
    const report = JSON.parse(stdout) as { text: string; promptTokens: number }
    const client = await swarm.client()
    const same = await client.generate('Once upon ', { raw: true, temperature: 0, maxTokens: 16 }).result
    assert.equal(report.text, same.text)
    assert.equal(report.promptTokens, same.promptTokens)
  })

  it('shows the swarm with status --json', async () => {
    const { code, stdout } = await skein(['status', '--json'], swarm.bootstrap)
    assert.equal(code, 0)
    const { nodes, uncoveredBlocks } = JSON.parse(stdout) as { nodes: Record<string, unknown>[]; uncoveredBlocks: unknown }
    assert.deepEqual(
      nodes.map(({ peerId, start, end, state }) => ({ peerId, start, end, state })),
      swarm.nodes.map(({ peerId, ready: { start, end } }) => ({ peerId, start, end, state: 'serving' }))
    )
    assert.deepEqual(uncoveredBlocks, [])
  })

  it('holds a conversation through a pipe, one line a turn', async () => {
    const client = await swarm.client()
    const session = await client.session()
    const turns = [question, 'Tell me a story']
    const expected: string[] = []
    for (const turn of turns) expected.push((await session.send(turn, { temperature: 0, maxTokens: 16 }).result).text)
    await session.close()
    const { code, stdout, stderr } = await skein(['chat', ...greedy], swarm.bootstrap, { input: `${turns.join('\n')}\n` })
    assert.equal(code, 0, stderr)
    assert.equal(stdout, expected.map((text) => `${text}\n`).join(''))
    await swarm.idle()
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`exits with 130 on ${signal} in the middle of an answer, with what came so far, and frees the caches`, async () => {
      // Hot enough that the answer does not end by itself.
      const args = ['run', '--raw', 'Once', '--temperature', '5', '--seed', '1', '--max-tokens', '900']
      const run = launchSkein(args, swarm.bootstrap)
      await run.waitFor('some text', () => (run.stdout().length > 10 ? true : undefined))
      run.kill(signal)
      assert.deepEqual(await run.exited, { code: 130, signal: null })
      assert.match(run.stderr(), /interrupted/)
      // Freed by the command itself: it does not leave before.
      for (const node of swarm.nodes) assert.equal((await node.status()).load.sessions, 0)
    })
  }

  it('is interrupted while its code is loaded, and says so to programs too', async () => {
    const { code, signal, stdout, stderr } = await skein(['run', question, '--json'], swarm.bootstrap, {
      env: signalWhileLoading('SIGTERM')
    })
    assert.deepEqual([code, signal], [130, null], stderr)
    assert.deepEqual(JSON.parse(stdout), { error: { code: 'ERR_SKEIN_ABORTED', message: 'interrupted' } })
  })

  it('is stopped while it waits for blocks that nobody serves', async () => {
    const half = await swarm.node({ blocks: '0:4', bootstrap: [] })
    const run = launchSkein(['run', 'hi'], half.addresses)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    run.kill('SIGINT')
    assert.deepEqual(await run.exited, { code: 130, signal: null }, run.logs())
    const { code, stdout } = await skein(['status', '--json'], half.addresses)
    assert.equal(code, 0)
    assert.deepEqual((JSON.parse(stdout) as { uncoveredBlocks: unknown }).uncoveredBlocks, [{ start: 4, end: 8 }])
    await half.crash()
  })

  it('tells a failure as an object too with --json', async () => {
    const { code, stdout, stderr } = await skein(['run', ' ', '--json'], swarm.bootstrap)
    assert.equal(code, 2)
    assert.deepEqual(JSON.parse(stdout), { error: { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: 'the prompt is empty' } })
    assert.match(stderr, /^skein: the prompt is empty$/m)
  })

  it('exits with 2 on bad usage, without a stack', async () => {
    const cases = [
      [['run', 'hi', '--temperature', 'warm'], /--temperature/],
      [['run'], /prompt/],
      [['walk'], /walk/],
      [['run', ''], /the prompt is empty/]
    ] as const
    await Promise.all(
      cases.map(async ([args, expected]) => {
        const { code, stdout, stderr } = await skein(args, swarm.bootstrap)
        assert.equal(code, 2)
        assert.equal(stdout, '')
        assert.match(stderr, expected)
        assert.doesNotMatch(stderr, /\n\s+at /)
      })
    )
  })
})
