import assert from 'node:assert/strict'
import { LocalSwarm } from '../harness/local-swarm.ts'
import { launchNode, type NodeProcessOptions, spawnNode, waitForEvent } from '../harness/node-process.ts'
import { eventually, signalWhileLoading } from '../harness/program.ts'
import { newFolder, tinyBlocks } from '../harness/work-folder.ts'

/** Runs a node that should not come up. @returns its one line on standard error */
async function refusal(options: NodeProcessOptions, code: number): Promise<string> {
  const { program } = launchNode(options)
  const exit = await program.exited
  assert.deepEqual(exit, { code, signal: null }, program.logs())
  const lines = program.stderr().trim().split('\n')
  assert.equal(lines.length, 1, program.stderr())
  assert.match(lines[0]!, /^skein-node: /)
  // A program that reads the log is told the same, as its last line.
  const failure = JSON.parse(program.stdout().trim().split('\n').at(-1)!) as Record<string, unknown>
  assert.deepEqual([failure['event'], failure['level'], failure['reason']], ['failed', 'error', lines[0]!.replace('skein-node: ', '')])
  assert.match(String(failure['code']), /^ERR_SKEIN_/)
  assert.doesNotMatch(program.stdout(), /"serving"|"ready"/)
  return lines[0]!
}

describe('skein-node as a process', function () {
  this.timeout(180_000)
  const swarm = new LocalSwarm()
  after(() => swarm.close())

  it('refuses flags that it cannot use, in one line each', async () => {
    const cases = [
      [['--blocks', '5:3'], /blocks/],
      [['--threads', '0'], /--threads.*from 1 to/],
      [['--dtype', 'f8'], /--dtype.*f32, q8/],
      // Else it would be the folder in which the node was started.
      ...['--model', '--identity', '--data-dir', '--cache-dir'].map((flag) => [[flag, ''], /expected a path/] as const),
      [['--frobnicate'], /unknown option '--frobnicate'/]
    ] as const
    await Promise.all(cases.map(async ([args, expected]) => assert.match(await refusal({ args }, 2), expected)))
  })

  it('refuses a span outside the model, with the numbers', async () => {
    assert.match(await refusal({ blocks: '6:9' }, 2), /6:9 is outside the model: \S+@[0-9a-f]{32} has blocks 0:8/)
  })

  it('refuses a key that another process uses, a port that is taken, and an address that is none', async () => {
    const node = await swarm.node()
    assert.match(
      await refusal({ folder: node.folder }, 1),
      new RegExp(`in use by process ${node.program.pid}: .*--identity FILE.*--listen`)
    )
    const taken = node.addresses[0]!.replace(/\/p2p\/.*/, '')
    assert.match(await refusal({ listen: taken }, 1), new RegExp(`cannot listen on ${taken}: another process has that port .*--listen`))
    assert.match(await refusal({ listen: '/ip4/203.0.113.7/tcp/0' }, 2), /this machine does not have that address/)
    assert.match(await refusal({ args: ['--announce', 'example.org:4774'] }, 2), /"example\.org:4774" is no multiaddr/)
    const foreign = `/ip4/203.0.113.7/tcp/4774/p2p/${node.peerId}`
    assert.match(await refusal({ args: ['--announce', foreign] }, 2), /--announce: the address .* cannot be announced: .*own id/)
    assert.match(await refusal({ listen: '/ip4/300.0.0.1/tcp/0' }, 2), /300\.0\.0\.1/)
    assert.match(await refusal({ bootstrap: ['/ip4/127.0.0.1/tcp/4774'] }, 2), /\/ip4\/127\.0\.0\.1\/tcp\/4774/)
    assert.match(await refusal({ bootstrap: [node.addresses[0]!.slice(0, -1)] }, 2), /it has 51 characters, and a whole one has 52/)
  })

  it('finds a status port that is taken before it does anything else', async () => {
    const { port } = new URL(swarm.nodes[0]!.ready.statusUrl)
    const { program } = launchNode({ args: ['--status-port', port] })
    assert.deepEqual(await program.exited, { code: 1, signal: null }, program.logs())
    assert.match(program.stderr(), new RegExp(`^skein-node: cannot serve the status on 127.0.0.1:${port}; choose another --status-port`))
    const [failure, ...rest] = program.stdout().trim().split('\n')
    assert.equal((JSON.parse(failure!) as Record<string, unknown>)['code'], 'ERR_SKEIN_STATUS_PORT')
    assert.deepEqual(rest, [])
  })

  it('serves on although its bootstrap peer cannot be reached', async () => {
    const [address] = swarm.nodes[0]!.addresses
    const alone = await swarm.node({ bootstrap: [address!.replace(/tcp\/\d+/, 'tcp/9')] })
    assert.equal((await alone.status()).state, 'serving')
    assert.deepEqual(await alone.stop(), { code: 0, signal: null })
  })

  it('drains on SIGINT as long as there are sessions, and leaves at once on the second', async () => {
    const node = await spawnNode({ args: ['--drain-seconds', '600'] })
    const client = await swarm.client({ bootstrap: node.addresses })
    // The session has nowhere else to go.
    const session = await client.session()
    assert.equal((await node.status()).load.sessions, 1)
    node.kill('SIGINT')
    await eventually('the node drains', async () => (await node.status()).state === 'draining' || undefined)
    assert.equal(node.program.ended, false)
    node.kill('SIGINT')
    assert.deepEqual(await node.exited, { code: 130, signal: null })
    await session.close()
  })

  it('leaves within the time of its drain', async () => {
    const node = await spawnNode({ args: ['--drain-seconds', '1'] })
    const client = await swarm.client({ bootstrap: node.addresses })
    const session = await client.session()
    assert.deepEqual(await node.stop(), { code: 0, signal: null })
    await session.close()
  })

  it('starts again after it was killed while it hashed or converted', async () => {
    const cacheDir = newFolder('weights')
    const folder = newFolder('killed')
    // Each start gets as far as the one before was, or further.
    for (const phase of ['hashing the checkpoint', 'converting weights']) {
      const { program } = launchNode({ folder, cacheDir })
      await program.waitFor(phase, () => (program.stdout().includes(phase) ? true : undefined))
      program.kill('SIGKILL')
      assert.deepEqual(await program.exited, { code: null, signal: 'SIGKILL' })
    }
    const node = await spawnNode({ folder, cacheDir })
    const client = await swarm.client({ bootstrap: node.addresses })
    const { logits } = await client.forward([1, 2, 3], { rows: 'last' })
    assert.equal(node.ready.end, tinyBlocks)
    const healthy = await swarm.client({ bootstrap: swarm.nodes[0]!.addresses })
    assert.deepEqual([...logits], [...(await healthy.forward([1, 2, 3], { rows: 'last' })).logits])
    await node.crash()
  })

  it('stops when it is asked to before its code is loaded', async () => {
    const { program } = launchNode({ env: signalWhileLoading('SIGTERM') })
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.logs())
    assert.match(program.stdout(), /"event":"stopped"/)
    assert.doesNotMatch(program.stdout(), /"serving"/)
  })

  it('stops while it starts', async () => {
    const { program } = launchNode({ cacheDir: newFolder('weights') })
    await waitForEvent(program, 'progress')
    program.kill('SIGTERM')
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.logs())
    assert.equal(program.stderr(), '')
    assert.doesNotMatch(program.stdout(), /"ready"/)
  })
})
