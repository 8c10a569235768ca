import assert from 'node:assert/strict'
import path from 'node:path'
import { loadModelText } from '@skein/coordinator'
import type { HeadRuntime, OrtSpanRuntime } from '@skein/node'
import { decodeRows, encodeRows, type BlockRange, type TensorEncoding, type WeightDtype } from '@skein/protocol'
import { best, compareTokens, largestError } from '../harness/margins.ts'
import { floats, ModelUnderTest, step, testFolder } from './model-under-test.ts'

const questions = [
  'Tell me a story about an owl.',
  'What is the capital of France?',
  'How does a swarm generate text?',
  'What is 3 plus 4?'
]
const contextTokens = 128
const stages = [0, 2, 4, 6].map((start): BlockRange => ({ start, end: start + 2 }))

interface Case {
  readonly weights: WeightDtype
  readonly encoding: TensorEncoding
  /** The weights of the reference. @default the same */
  readonly against?: WeightDtype
  /** Bounds of the measured error, as a part of the logits' range: an error below would mean that nothing differs from exact mode. */
  readonly error: readonly [above: number, below: number]
  /** The least share of positions whose margin is above ten times the measured error. */
  readonly clear: number
}

// Beside each case what was measured on AVX-512. Products with 8-bit weights round their inputs to 8 bits as well, so that a
// difference in the last bit can become one of a whole step.
const cases: readonly Case[] = [
  { weights: 'f32', encoding: 'f32', error: [0, 1e-5], clear: 0.98 }, // 2.5e-7 alone, 7.2e-7 in shared turns; 100 %
  { weights: 'f32', encoding: 'f16', error: [1e-5, 1e-3], clear: 0.8 }, // 1.7e-4; 97 %
  { weights: 'f32', encoding: 'bf16', error: [1e-4, 8e-3], clear: 0.6 }, // 1.5e-3; 88 %
  { weights: 'q8', encoding: 'f32', error: [0, 0.02], clear: 0.5 }, // 5.0e-3; 74 %
  { weights: 'q8', encoding: 'f16', error: [1e-5, 0.02], clear: 0.5 }, // 4.9e-3; 74 %
  { weights: 'q8', encoding: 'bf16', error: [1e-4, 0.02], clear: 0.5 }, // 5.4e-3; 74 %
  { weights: 'q8', encoding: 'f16', against: 'f32', error: [1e-3, 0.03], clear: 0.4 } // 1.3e-2; 63 %, and 6 other tokens elsewhere
]

/** A session: its tokens, the rows of its first step, of its second and so on, round and round, and the turn of its first step. */
interface Plan {
  readonly context: readonly number[]
  readonly rows: readonly number[]
  readonly from: number
}

/**
 * The reference is exact mode on f32 links in one node, which gives the same bits however its steps are cut, and is within
 * 1.1e-6 of the range of the golden logits.
 */
describe('normal mode', function () {
  this.timeout(120_000)

  let model: ModelUnderTest
  let contexts: readonly (readonly number[])[]
  const references = new Map<WeightDtype, { readonly logits: readonly Float32Array[]; readonly head: HeadRuntime }>()

  before(async () => {
    model = await ModelUnderTest.open('skein-tiny')
    const { tokenizer, chatTemplate } = await loadModelText(path.join(testFolder, 'models', 'skein-tiny'), [])
    const prompts = questions.map((content) => {
      const text = chatTemplate.render([{ role: 'user', content }], { nowMs: 0 })
      return tokenizer.encode(text, { addSpecialTokens: false })
    })
    for (const dtype of ['f32', 'q8'] as const) {
      const head = await model.openHead(dtype)
      const whole = await model.openSpan({ start: 0, end: model.blocks }, { dtype })
      if (dtype === 'f32') {
        const answered: number[][] = []
        for (const prompt of prompts) answered.push(await continued(whole, head, prompt))
        // And tokens without sense, of whose successors the model is not sure.
        contexts = [...answered, Array.from({ length: contextTokens }, (_, index) => (index * 131 + 7) % 1000)]
      }
      const logits: Float32Array[] = []
      for (const context of contexts) logits.push(await reference(whole, head, context))
      references.set(dtype, { logits, head })
    }
  })

  after(async () => {
    for (const { head } of references.values()) await head.stop()
    await model.close()
  })

  async function reference(whole: OrtSpanRuntime, head: HeadRuntime, context: readonly number[]): Promise<Float32Array> {
    const { span } = whole.info
    await whole.reserve('reference', context.length, span)
    const hidden = await step(whole, model.embed(context), { cache: 'reference', position: 0, span, exact: true })
    await whole.release('reference')
    return head.run(floats(hidden))
  }

  /** The prompt and the reference's own tokens, past the end of the answer, up to {@link contextTokens}. */
  async function continued(whole: OrtSpanRuntime, head: HeadRuntime, prompt: readonly number[]): Promise<number[]> {
    const { span } = whole.info
    const context = [...prompt]
    await whole.reserve('greedy', contextTokens, span)
    for (let position = 0; context.length < contextTokens;) {
      const input = model.embed(context.slice(position))
      const hidden = floats(await step(whole, input, { cache: 'greedy', position, span, exact: true }))
      position = context.length
      context.push(best(await head.run(hidden.slice(-model.hiddenSize))).token)
    }
    await whole.release('greedy')
    return context
  }

  for (const { weights, encoding, against = weights, error, clear } of cases) {
    it(`gives the tokens of ${against} weights wherever their margin is clear, with ${weights} weights and ${encoding} links`, async () => {
      const { vocabSize } = model.checkpoint.config
      const expected = references.get(against)!.logits
      const { head } = references.get(weights)!
      const chain = await Promise.all(stages.map((span) => model.openSpan(span, { dtype: weights })))

      // The error is measured on prompts: one session at a time, in chunks and single rows.
      const measured: Float32Array[] = []
      for (const context of contexts)
        measured.push(...(await runTogether(model, head, chain, encoding, [{ context, rows: [33, 1, 20, 1, 64], from: 0 }])))
      const alone = largestError(measured, expected)

      // And holds for what a busy node computes: every turn has decode rows of sessions at different places, which share a lane
      // over idle slots, and beside them a chunk of a prompt, one prompt after another.
      const decoding = contexts.map((context, index): Plan => ({ context, rows: [1], from: 4 * index }))
      const prompts = contexts.map((context, index): Plan => ({ context, rows: [7, 2, 12, 1, 4], from: 25 * index }))
      const shared = await runTogether(model, head, chain, encoding, [...decoding, ...prompts])
      const twice = [...expected, ...expected]
      const [above, below] = error
      for (const { relative } of [alone, largestError(shared, twice)]) {
        assert.ok(relative > above && relative < below, `the error is ${relative} of the range`)
      }
      const result = compareTokens(shared, twice, vocabSize, 10 * alone.absolute)
      assert.equal(result.positions, 2 * contexts.length * contextTokens)
      assert.ok(result.clear >= clear, `only ${result.clear} of the margins are clear`)
      assert.equal(result.wrong, 0, JSON.stringify(result))
    })
  }
})

/** Runs the sessions' steps in common turns, stage after stage. @returns each session's logits, `[tokens, vocabSize]` */
async function runTogether(
  model: ModelUnderTest,
  head: HeadRuntime,
  chain: readonly OrtSpanRuntime[],
  encoding: TensorEncoding,
  plans: readonly Plan[]
): Promise<Float32Array[]> {
  const sessions = plans.map((plan, index) => ({ ...plan, cache: `session ${index}`, position: 0, outputs: [] as Uint8Array[] }))
  const each = async (act: (runtime: OrtSpanRuntime, session: (typeof sessions)[number]) => Promise<void>): Promise<void> => {
    for (const runtime of chain) for (const session of sessions) await act(runtime, session)
  }
  await each((runtime, { cache, context }) => runtime.reserve(cache, context.length, runtime.info.span))
  for (let turn = 0; sessions.some(({ position, context }) => position < context.length); turn++) {
    let entries = sessions.flatMap((session) => {
      const { context, rows: cycle, from, position } = session
      if (turn < from || position === context.length) return []
      const rows = Math.min(cycle[(turn - from) % cycle.length] as number, context.length - position)
      const input = encodeRows(encoding, floats(model.embed(context.slice(position, position + rows))))
      return [{ session, rows, input }]
    })
    for (const runtime of chain) {
      const turnEntries = entries.map(({ session: { cache, position }, rows, input }) => ({
        ...{ cache, position, rows, input, encoding },
        ...{ span: runtime.info.span, exact: false }
      }))
      const { outputs } = await runtime.run(turnEntries)
      entries = entries.map((entry, index) => {
        const output = outputs[index]
        if (output?.ok !== true) throw new Error(output?.message ?? 'the turn gave no output')
        return { ...entry, input: output.output }
      })
    }
    for (const { session, rows, input } of entries) {
      session.outputs.push(input)
      session.position += rows
    }
  }
  await each((runtime, { cache }) => runtime.release(cache))
  const logits: Float32Array[] = []
  for (const { outputs } of sessions) logits.push(await head.run(new Float32Array(decodeRows(encoding, Buffer.concat(outputs)))))
  return logits
}
