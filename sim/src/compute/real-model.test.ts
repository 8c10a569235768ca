import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ChatTemplate } from '@skein/coordinator'
import { loadScenario } from '../cli/scenario-files.ts'
import { parseOverride } from '../scenario/overrides.ts'
import { defineScenario } from '../world/define-scenario.ts'
import { simulate } from '../world/simulate.ts'
import { openRealModel, type RealModel } from './real-model.ts'

/** The demo model's folder, seen from `sim/dist/compute`. */
const folder = fileURLToPath(new URL('../../../test/models/skein-tiny', import.meta.url))

describe('a real model in a simulated world', () => {
  let cacheDir: string
  let realModel: RealModel

  before(async function () {
    this.timeout(60_000)
    cacheDir = await mkdtemp(join(tmpdir(), 'skein-sim-'))
    realModel = await openRealModel({ folder, cacheDir })
  })

  after(async () => {
    realModel.close()
    await rm(cacheDir, { recursive: true, force: true })
  })

  /** Kills a node of the chain in the middle of an answer. */
  async function run() {
    const scenario = defineScenario({ model: 'skein-tiny', nodes: [{ count: 6, blocksPerNode: 3, kvTokens: 1024 }] })
    const world = simulate({ scenario, realModel })
    await world.runFor(5_000)
    const asked = world.client(0).generate({ prompt: 'Once upon a time', outputTokens: 40 })
    await world.runFor(1_500)
    const [, second] = world.record().generations[0]?.chain ?? []
    world.node(second?.node ?? -1).crash()
    const answer = await world.runUntil(asked)
    assert.deepEqual(world.violations, [])
    return { answer, hash: world.record().eventLogHash }
  }

  it('gives real text, the same bit for bit through a lost node, and the same again', async () => {
    const first = await run()
    assert.equal(first.answer.outcome, 'completed')
    assert.equal(first.answer.recoveries, 1)
    assert.deepEqual(first.answer.tokens, first.answer.expected)
    assert.ok(first.answer.text.length > 20)
    assert.deepEqual(await run(), first)
  }).timeout(60_000)

  it('tells the same story in the shipped scenario, whether a stage is lost in the middle of it or not', async () => {
    const story = async (...overrides: string[]) => {
      const scenario = loadScenario('real-text', { ci: true, overrides: overrides.map(parseOverride) })
      const { generations, eventLogHash, violations } = await simulate({ scenario, realModel }).run()
      assert.deepEqual(violations, [])
      return {
        eventLogHash,
        texts: generations.map(({ text }) => text),
        recoveries: generations.reduce((sum, one) => sum + one.recoveries, 0)
      }
    }
    const told = await story()
    assert.equal(told.recoveries, 1)
    assert.deepEqual(await story(), told)
    const undisturbed = await story('faults=[]')
    assert.equal(undisturbed.recoveries, 0)
    assert.deepEqual(undisturbed.texts, told.texts)
    for (const text of told.texts) assert.ok((text?.split(' ').length ?? 0) > 20, text)
  }).timeout(60_000)

  it('holds conversations by its own chat template, whose answers are those of one machine given all of it', async () => {
    const talk = 'conversation: { turns: 4, think: 200ms, stop: 30 % }'
    const overrides = [
      'duration=60s',
      'faults=[{ kind: crash, every: 3s, target: { random: 1 }, restartAfter: 3s }]',
      `clients.readers.workload={ kind: closed, start: 5s, think: 1s, promptTokens: 12, outputTokens: 40, ${talk} }`
    ]
    const scenario = loadScenario('real-text', { ci: true, overrides: overrides.map(parseOverride) })
    const { generations, violations } = await simulate({ scenario, seed: 3, realModel }).run()
    assert.deepEqual(violations, [])
    assert.ok(generations.filter(({ turn = 0 }) => turn > 1).length > 5)
    assert.ok(generations.some(({ turn = 0, recoveries }) => turn > 1 && recoveries > 0))
    assert.ok(generations.some(({ outputTokens }) => outputTokens < 40))
    assert.ok(generations.every(({ outcome }) => outcome === 'completed'))
  }).timeout(60_000)

  it('refuses conversations where the model has no chat template', () => {
    const text = { ...realModel.text, chatTemplate: new ChatTemplate({ config: {} }) }
    const [group] = defineScenario().clients
    const conversation = { turns: { kind: 'constant', value: 2 }, thinkMs: { kind: 'constant', value: 0 }, stopShare: 0 } as const
    const scenario = defineScenario({ clients: [{ workload: { ...group!.workload, conversation } }] })
    assert.throws(() => simulate({ scenario, realModel: { ...realModel, text } }), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message: /chat template/
    })
  })

  it('refuses a scenario of another shape', () => {
    const scenario = defineScenario({ model: 'llama-3-8b' })
    assert.throws(() => simulate({ scenario, realModel }), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: /blocks 8.*32/ })
  })
})
