import assert from 'node:assert/strict'
import type { Frame } from '@skein/protocol'
import type { GenerationResult } from '@skein/coordinator'
import { message, rowsOf, step } from '../harness/hostile-peer.ts'
import { LocalSwarm } from '../harness/local-swarm.ts'
import { LyingNode } from '../harness/lying-node.ts'

const options = { temperature: 0, maxTokens: 8 } as const

/** Acknowledgements without an end, which acknowledge nothing. */
function* endless(): Iterable<Frame> {
  for (;;) yield message({ type: 'ack', seq: 0, steps: 1, bytes: 1 })
}

describe('a coordinator among lying nodes', function () {
  this.timeout(120_000)
  const swarm = new LocalSwarm()
  after(() => swarm.close())

  let truth: GenerationResult

  before(async () => {
    // One hop is better than two, so a node that says it hosts all blocks is always asked first.
    await swarm.node({ blocks: '0:4' })
    await swarm.node({ blocks: '4:8' })
    truth = await (await swarm.client()).generate('Tell me a story', options).result
  })

  for (const [what, answer] of [
    ['garbage', () => [{ head: Uint8Array.of(0xc1, 7, 7) }]],
    ['a frame beyond the limits', () => [{ head: new Uint8Array(1_000_000) }]],
    ['rows of the wrong shape', () => [message(step(2), rowsOf(1))]],
    [
      'results of steps that were never sent',
      () => [message(step(1, { from: 900, to: 900, runs: [{ seq: 900, rows: 1, want: 'last' }] }), rowsOf(1))]
    ],
    ['results that are no numbers', () => [message(step(1, { runs: [{ seq: 1, rows: 1, want: 'last' }] }), rowsOf(1, Number.NaN))]],
    ['frames without an end', endless]
  ] as const) {
    it(`answers with the truth though the node that seems best sends ${what}`, async () => {
      const client = await swarm.client()
      const liar = await LyingNode.join(swarm.nodes[0]!, answer)
      try {
        while (!(await client.status()).nodes.some(({ peerId }) => peerId === liar.peerId));
        const result = await client.generate('Tell me a story', options).result
        assert.deepEqual(result.tokens, truth.tokens)
        assert.ok(liar.sessions > 0, 'the liar was never asked')
        assert.ok(result.recoveries > 0)
        assert.deepEqual(
          result.chain.map(({ peerId }) => peerId),
          swarm.nodes.map(({ peerId }) => peerId)
        )
      } finally {
        await client.close()
        await liar.stop()
      }
      await swarm.idle()
    })
  }
})
