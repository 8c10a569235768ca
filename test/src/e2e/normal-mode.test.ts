import assert from 'node:assert/strict'
import { connectDefaults, type ConnectOptions, loadModelText, type SwarmClient } from '@skein/coordinator'
import { LocalSwarm } from '../harness/local-swarm.ts'
import { best, largestError } from '../harness/margins.ts'
import { tinyModel } from '../harness/work-folder.ts'

const questions = [
  'Tell me a story about an owl.',
  'Tell me a story',
  'What is the capital of France?',
  'What is the capital of Japan?',
  'How does a swarm generate text?',
  'What is 3 plus 4?',
  'Who are you?',
  'What happens when a node leaves?'
]

/** How a client differs from the reference, which is exact mode on f32 links over the same nodes. */
const settings: readonly Partial<ConnectOptions>[] = [
  // Whole prompts on f32 links give the same bits as exact mode: only single rows differ.
  { encoding: 'f32', prefillChunkTokens: 1 },
  {},
  { encoding: 'bf16', prefillChunkTokens: 7 }
]

/** The error's bound as a part of the logits' range, and the least share of clear margins. */
const bounds = {
  f32: { error: 8e-3, clear: 0.6 },
  q8: { error: 0.02, clear: 0.4 }
}

for (const dtype of ['f32', 'q8'] as const) {
  describe(`normal mode over libp2p with ${dtype} weights`, function () {
    this.timeout(180_000)
    const swarm = new LocalSwarm()
    let reference: SwarmClient
    let prompts: number[][]

    before(async () => {
      for (const blocks of ['0:4', '4:8']) await swarm.node({ blocks, args: ['--dtype', dtype] })
      reference = await swarm.client()
      const { tokenizer, chatTemplate } = await loadModelText(tinyModel, [])
      prompts = questions.map((content) => {
        const text = chatTemplate.render([{ role: 'user', content }], { nowMs: 0 })
        return tokenizer.encode(text, { addSpecialTokens: false })
      })
    })
    after(() => swarm.close())

    for (const options of settings) {
      it(`generates the reference's tokens wherever their margin is clear, many answers at once, ${JSON.stringify(options)}`, async () => {
        const defaults = { exact: false, encoding: 'f16' } as const
        const client = await swarm.client({ ...defaults, ...options })
        const before = await turnsAndRows(swarm)
        const answers = await Promise.all(questions.map((question) => client.generate(question, { temperature: 0, maxTokens: 40 }).result))
        const after = await turnsAndRows(swarm)
        // Else nothing is shown of rows that share a turn. The last token of an answer is not computed further.
        const chunk = options.prefillChunkTokens ?? connectDefaults.prefillChunkTokens
        const steps = answers.reduce((sum, { tokens, promptTokens }) => sum + Math.ceil(promptTokens / chunk) + tokens.length - 1, 0)
        for (const [node, { turns, rows }] of after.entries()) {
          assert.ok(rows - before[node]!.rows >= steps, 'the nodes have computed fewer rows than there were steps')
          assert.ok(turns - before[node]!.turns < steps, `${steps} steps took ${turns - before[node]!.turns} turns: none were shared`)
        }

        const contexts = answers.map(({ tokens }, index) => [...prompts[index]!, ...tokens.slice(0, -1)])
        const logits = async (of: SwarmClient): Promise<Float32Array[]> => {
          const results = await Promise.all(contexts.map((context) => of.forward(context)))
          return results.map((result) => result.logits)
        }
        const expected = await logits(reference)
        const error = largestError(await logits(client), expected)
        assert.ok(error.relative > 0 && error.relative < bounds[dtype].error, `the error is ${error.relative} of the range`)

        const counts = { positions: 0, clear: 0 }
        for (const [index, { tokens }] of answers.entries()) {
          const vocabSize = expected[index]!.length / contexts[index]!.length
          for (const [at, token] of tokens.entries()) {
            const row = prompts[index]!.length - 1 + at
            const wanted = best(expected[index]!.subarray(row * vocabSize, (row + 1) * vocabSize))
            counts.positions++
            if (wanted.margin <= 10 * error.absolute) continue
            counts.clear++
            assert.equal(
              token,
              wanted.token,
              `token ${at} of the answer to ${questions[index]}, margin ${wanted.margin}, error ${error.absolute}`
            )
          }
        }
        assert.ok(counts.positions > 150, `only ${counts.positions} tokens were generated`)
        assert.ok(counts.clear >= bounds[dtype].clear * counts.positions, JSON.stringify(counts))
        await client.close()
      })
    }
  })
}

async function turnsAndRows(swarm: LocalSwarm): Promise<{ readonly turns: number; readonly rows: number }[]> {
  const all = await Promise.all(swarm.nodes.map((node) => node.status()))
  return all.map(({ done }) => done)
}
