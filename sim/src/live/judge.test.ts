import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRealModel, type RealModel } from '../compute/real-model.ts'
import { Excuses } from './excuses.ts'
import { checkTokens, judgeAnswers, type LiveAnswer } from './judge.ts'

/** The demo model's folder, seen from `sim/dist/live`. */
const folder = fileURLToPath(new URL('../../../test/models/skein-tiny', import.meta.url))

describe('the judge of live runs', () => {
  const rows = [Float32Array.of(0, 10, 9.9, 5), Float32Array.of(10, 0, 5, 9)]

  it('takes the best token of the reference, and another only where an error may have decided', () => {
    assert.equal(checkTokens([1, 0], rows, []), undefined)
    // The range is 10, so that either logit may be wrong by 0.08.
    assert.equal(checkTokens([2, 0], rows, []), undefined)
    assert.match(
      checkTokens([1, 3], rows, [])!,
      /^token 1 of the answer is 3, and one undisturbed machine gives 0, whose logit is 1\.000 larger/
    )
    assert.match(checkTokens([1, 17], rows, [])!, /is 17/)
    assert.match(checkTokens([1], [Float32Array.of(0, NaN, NaN, 5)], [])!, /token 0/)
  })

  it('takes no token that was not to be chosen, and the best of the others', () => {
    assert.equal(checkTokens([1, 3], rows, [0]), undefined)
    assert.match(checkTokens([1, 0], rows, [0])!, /token 1 of the answer is 0/)
  })

  it('excuses failures in and soon after a fault, and where blocks had nobody', () => {
    const excuses = new Excuses([[1000, 1500]])
    assert.deepEqual(
      [999, 1000, 121_499, 121_500].map((ms) => excuses.excuse(ms)),
      [undefined, 'there was a fault', 'there was a fault', undefined]
    )
    excuses.uncovered(200_000)
    assert.deepEqual([excuses.excuse(201_000), excuses.fault(201_000)], ['blocks were not covered', undefined])
    assert.equal(new Excuses([[0, 9000]]).fault(128_999), 'there was a fault')
  })

  describe('with a real model', function () {
    this.timeout(60_000)
    let cacheDir: string
    let model: RealModel
    const { signal } = new AbortController()

    before(async () => {
      cacheDir = await mkdtemp(join(tmpdir(), 'skein-sim-'))
      model = await openRealModel({ folder, cacheDir })
    })
    after(async () => {
      model.close()
      await rm(cacheDir, { recursive: true, force: true })
    })

    it('agrees with what the model generates, and with nothing else', async () => {
      const prompt = 'Once upon a time there was a cat'
      const tokens = await model.reference(model.encode(prompt), 12)
      const answer: LiveAnswer = { generation: 3, client: 1, atMs: 70, prompt, tokens, wantedTokens: tokens.length, isWhole: true }
      assert.ok(tokens.length > 4)
      assert.deepEqual(await judgeAnswers([answer, { ...answer, tokens: [], isWhole: false }], model, signal), [])
      const swapped = [...tokens]
      swapped.splice(2, 2, swapped[3]!, swapped[2]!)
      const wrong = await judgeAnswers(
        [
          { ...answer, tokens: swapped },
          { ...answer, tokens: tokens.slice(1) }
        ],
        model,
        signal
      )
      assert.equal(wrong.length, 2)
      assert.match(wrong[0]!.text, /^generation 3 of client 1: token 2 of the answer is/)
      const [short] = await judgeAnswers([{ ...answer, tokens: tokens.slice(0, 3) }], model, signal)
      assert.deepEqual(short, { atMs: 70, text: `generation 3 of client 1: it has 3 tokens, and ${tokens.length} were to come` })
      assert.deepEqual(await judgeAnswers([{ ...answer, tokens: tokens.slice(0, 3), isWhole: false }], model, signal), [])
      await assert.rejects(judgeAnswers([answer], model, AbortSignal.abort()), { code: 'ERR_SKEIN_ABORTED' })
    })
  })
})
