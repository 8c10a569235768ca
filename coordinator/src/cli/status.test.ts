import assert from 'node:assert/strict'
import { CliHarness } from '../testing/cli-harness.ts'
import { fakePeers, fakeStatus } from '../testing/fake-swarm-client.ts'
import { blockMap } from './status-view.ts'

describe('skein status', () => {
  it('shows the nodes, a map of the blocks and what is missing', async () => {
    const cli = new CliHarness()
    assert.equal(await cli.run('status'), 0)
    assert.deepEqual(cli.stdout.text.split('\n'), [
      'model   skein-tiny@00112233445566778899aabbccddeeff',
      'blocks  8',
      'nodes   3',
      '',
      'node       blocks  state       step  round trip       free KV  sessions  weights',
      '…AAAAAAAA  0:3     serving   0.8 ms      1.3 ms  1000 of 1024         2  f32',
      '…BBBBBBBB  2:6     serving    12 ms           ?      ? of 512         ?  f32',
      '…CCCCCCCC  5:8     draining   1.2 s           ?      ? of 512         ?  f32',
      '',
      '           0       8',
      '…AAAAAAAA  ███·····',
      '…BBBBBBBB  ··████··',
      '…CCCCCCCC  ·····▒▒▒',
      'serving    112111--',
      '',
      'nobody serves 2 of 8 blocks: 6:8',
      ''
    ])
    assert.equal(cli.stderr.text, '', 'no prompt is sent, so there is nothing to warn of')
    assert.equal(cli.swarm.calls.connects[0]?.coverageTimeoutMs, 0, 'it does not wait for a whole swarm')
    assert.equal(cli.swarm.calls.closedClients, 1)
  })

  it('says that a swarm is whole, and that it is empty', async () => {
    const whole = new CliHarness({ status: { ...fakeStatus, uncoveredBlocks: [] } })
    await whole.run('status')
    assert.match(whole.stdout.text, /\nevery block is covered\n$/)
    const empty = new CliHarness({ status: { ...fakeStatus, nodes: [], uncoveredBlocks: [{ start: 0, end: 8 }] } })
    assert.equal(await empty.run('status'), 0)
    assert.match(empty.stdout.text, /nodes {3}0\n\nnobody serves 8 of 8 blocks: 0:8\n$/)
  })

  it('shows who does not answer, and does not count it', async () => {
    const [first, ...others] = fakeStatus.nodes
    const nodes = [{ ...first!, hasAnswered: false }, ...others.map((node) => ({ ...node, hasAnswered: true }))]
    const cli = new CliHarness({ status: { ...fakeStatus, nodes } })
    await cli.run('status')
    assert.match(cli.stdout.text, /…AAAAAAAA {2}0:3 {5}silent /)
    assert.match(cli.stdout.text, /\n…AAAAAAAA {2}\?\?\?·{5}\n/)
    assert.match(cli.stdout.text, /\nserving {4}--1111--\n\nsilent: no answer within 3 s, or 9 s where .*\n\nnobody serves/)
  })

  it('prints one object with --json', async () => {
    const cli = new CliHarness()
    assert.equal(await cli.run('status', '--json'), 0)
    const status = JSON.parse(cli.stdout.text) as typeof fakeStatus
    assert.deepEqual(
      status.nodes.map(({ peerId, start, end, state }) => ({ peerId, start, end, state })),
      [
        { peerId: fakePeers[0], start: 0, end: 3, state: 'serving' },
        { peerId: fakePeers[1], start: 2, end: 6, state: 'serving' },
        { peerId: fakePeers[2], start: 5, end: 8, state: 'draining' }
      ]
    )
    assert.deepEqual(status.uncoveredBlocks, [{ start: 6, end: 8 }])
  })

  it('offers the flags that matter to it, and takes the others', async () => {
    const cli = new CliHarness()
    assert.equal(await cli.run('status', '--exact', '--transport', 'star', '--encoding', 'f32', '--stats', '--data-dir', 'd'), 0)
    const help = new CliHarness()
    assert.equal(await help.runRaw('status', '--help'), 0)
    const offered = [...help.stdout.text.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag)
    assert.deepEqual(offered, ['--model', '--bootstrap', '--lan', '--cache-dir', '--link', '--json', '--help'])
  })

  it('takes the flags of answers, so that one set of flags serves all commands', async () => {
    const cli = new CliHarness()
    assert.equal(await cli.run('status', '--temperature', '1', '--stop', 'x', '--json'), 0)
  })

  it('gives up at an interrupt', async () => {
    const cli = new CliHarness({ connectHangs: true })
    const exit = cli.run('status')
    while (cli.swarm.calls.connects.length === 0) await Promise.resolve()
    cli.interrupt()
    assert.equal(await exit, 130)
    assert.equal(cli.stdout.text, '')
  })

  it('draws a large model in cells of several blocks, each with its least covered one', () => {
    const [node] = fakeStatus.nodes
    const status = { ...fakeStatus, blocks: 130, nodes: [{ ...node!, start: 0, end: 4 }] }
    const [ruler, first, counts] = blockMap(status)
    assert.match(ruler!, /\(a cell is 3 blocks\)$/)
    assert.match(first!, /…AAAAAAAA {2}██·{42}$/)
    assert.match(counts!, /serving {4}1-{43}$/)
  })
})
