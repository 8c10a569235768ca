import assert from 'node:assert/strict'
import type { ChatMessage, SwarmClient } from '@skein/coordinator'
import { LocalSwarm } from '../harness/local-swarm.ts'
import { largestError } from '../harness/margins.ts'

/** More than one prefill chunk of 128 rows. */
const tokens = Array.from({ length: 150 }, (_, index) => (index * 37 + 11) % 1000)
const prompts = ['Tell me a story', 'What is the capital of France?', 'How does a swarm generate text?']

async function answer(client: SwarmClient, prompt: string | readonly ChatMessage[], maxTokens = 8): Promise<number[]> {
  const { tokens: ids } = await client.generate(prompt, { temperature: 0, maxTokens }).result
  return [...ids]
}

describe('exactness over libp2p', function () {
  this.timeout(180_000)
  const swarm = new LocalSwarm()
  after(() => swarm.close())

  let client: SwarmClient
  let logits: Float32Array

  before(async () => {
    await swarm.node({ blocks: '0:2' })
    await Promise.all(['2:4', '4:6', '6:8'].map((blocks) => swarm.node({ blocks })))
    client = await swarm.client()
    logits = (await client.forward(tokens)).logits
  })

  it('gives the same answers in the ring, in the star, and several at once', async () => {
    const alone: number[][] = []
    for (const prompt of prompts) alone.push(await answer(client, prompt))
    assert.ok(
      alone.every((ids) => ids.length > 3),
      JSON.stringify(alone)
    )
    const star = await swarm.client({ transport: 'star' })
    assert.deepEqual(bits(await star.forward(tokens)), bits({ logits }))
    assert.deepEqual(await answer(star, prompts[0]!), alone[0])
    assert.deepEqual(await Promise.all(prompts.map((prompt) => answer(client, prompt))), alone)
    await swarm.idle()
  })

  it('holds a conversation whose turns are those of the whole conversation sent anew', async () => {
    const session = await client.session({ system: 'You are a small model.' })
    for (const text of prompts) {
      const messages = [...session.messages, { role: 'user', content: text }]
      const turn = await session.send(text, { temperature: 0, maxTokens: 8 }).result
      assert.deepEqual([...turn.tokens], await answer(client, messages), text)
      assert.equal(session.messages.at(-1)?.content, turn.text)
    }
    assert.equal(session.messages.length, 1 + 2 * prompts.length)
    await session.close()
    await swarm.idle()
  })

  // The error that a link's rounding makes, as the largest difference of logits over their range. Measured on this model: f16
  // 1.5e-4, bf16 1.2e-3. The bounds leave room for other kernels.
  for (const { encoding, bound } of [
    { encoding: 'f16', bound: 1e-3 },
    { encoding: 'bf16', bound: 8e-3 }
  ] as const) {
    it(`stays within ${bound} of the logits' range on ${encoding} links`, async () => {
      const rounded = await swarm.client({ encoding })
      const error = largestError([(await rounded.forward(tokens)).logits], [logits]).relative
      assert.ok(error > 0, 'the links do not round')
      assert.ok(error < bound, `${encoding}: ${error}`)
      await rounded.close()
    })
  }

  // The last test: nodes join, and the chain is always the one with the fewest hops.
  for (const { add, chain } of [
    { add: undefined, chain: ['0:2', '2:4', '4:6', '6:8'] },
    { add: '0:4', chain: ['0:4', '4:6', '6:8'] },
    { add: '4:8', chain: ['0:4', '4:8'] },
    { add: '0:8', chain: ['0:8'] }
  ]) {
    it(`gives the same logits, bit for bit, over ${chain.length} ${chain.length === 1 ? 'node' : 'nodes'}`, async () => {
      if (add !== undefined) await swarm.known(client, [await swarm.node({ blocks: add })])
      const { chain: used } = await client.generate('Hi', { maxTokens: 1 }).result
      assert.deepEqual(
        used.map(({ start, end }) => `${start}:${end}`),
        chain
      )
      assert.deepEqual(bits(await client.forward(tokens)), bits({ logits }))
    })
  }
})

/** For a comparison to the bit, whose failure does not print a hundred thousand numbers. */
function bits({ logits }: { readonly logits: Float32Array }): Buffer {
  return Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength)
}
