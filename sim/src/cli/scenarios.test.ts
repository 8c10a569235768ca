import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { seededRandom } from '@skein/protocol'
import { modelPresets } from '../compute/model-presets.ts'
import { planLive } from '../live/live-plan.ts'
import type { RunRecord } from '../record/run-record.ts'
import { type FigureName, figures, missedExpectations } from '../report/figures.ts'
import { describeMissed } from '../report/format.ts'
import { parseOverride } from '../scenario/overrides.ts'
import { simulate } from '../world/simulate.ts'
import { loadScenario, scenarioFile, shippedScenarios } from './scenario-files.ts'

/** Runs the small variant of a shipped scenario, with fields replaced. */
async function runSmall(name: string, ...overrides: string[]): Promise<RunRecord> {
  const scenario = loadScenario(name, { ci: true, overrides: overrides.map(parseOverride) })
  const record = await simulate({ scenario, seed: scenario.seed }).run()
  assert.deepEqual(record.violations, [], name)
  return record
}

async function figureOf(name: FigureName, scenario: string, ...overrides: string[]): Promise<number> {
  const value = figures(await runSmall(scenario, ...overrides))[name]
  assert.ok(value !== undefined, `${scenario} has no ${name}`)
  return value
}

describe('shipped scenarios', function () {
  // Seconds of simulation each; the limit is for a machine that is busy with other things.
  this.timeout(120_000)

  it('are at least ten, each with a question, expectations and a small variant', () => {
    const names = shippedScenarios()
    assert.ok(names.length >= 10)
    for (const name of names) {
      const [full, small] = [loadScenario(name), loadScenario(name, { ci: true })]
      assert.equal(full.name, name)
      assert.match(full.question, /\?$/)
      assert.ok(full.expect.length > 0 && small.expect.length > 0, name)
      assert.ok(small.durationMs <= 100_000, `${name} is small enough for a test`)
      assert.ok(scenarioFile(name).endsWith(`${name}.yaml`))
    }
  })

  it('and the one of docs/simulation.md answers its question with yes, also at small size', async () => {
    const text = await readFile(new URL('../../../docs/simulation.md', import.meta.url), 'utf8')
    const [, example] = /```yaml\n([^]*?)```/.exec(text) ?? []
    const folder = await mkdtemp(join(tmpdir(), 'skein-sim-'))
    try {
      const file = join(folder, 'my-swarm.yaml')
      await writeFile(file, example ?? '')
      const [full, small] = [loadScenario(file), loadScenario(file, { ci: true })]
      assert.deepEqual([full.nodes[0]?.count, small.nodes[0]?.count], [8, 4])
      for (const scenario of [full, small]) {
        const record = await simulate({ scenario }).run()
        assert.deepEqual(record.violations, [])
        assert.ok(scenario.expect.length > 0)
        assert.deepEqual(missedExpectations(figures(record), scenario.expect).map(describeMissed), [])
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('and those of its live runs are of the demo model, and can run', async () => {
    const text = await readFile(new URL('../../../docs/simulation.md', import.meta.url), 'utf8')
    const commands = [...text.matchAll(/skein-sim live ([a-z-]+)((?: --ci| --set [\w.=-]+)*)/g)]
    assert.ok(commands.length >= 3, 'the text has changed')
    for (const [command, name = '', flags = ''] of commands) {
      const overrides = [...flags.matchAll(/--set ([\w.=-]+)/g)].map(([, set = '']) => parseOverride(set))
      const scenario = loadScenario(name, { overrides, ci: flags.includes('--ci') })
      assert.deepEqual(scenario.model, modelPresets['skein-tiny'], command)
      assert.ok(planLive(scenario, seededRandom(scenario.seed).fork(scenario.name)).nodes.length > 0, command)
    }
  })

  it('run in another process as they do in this one', async () => {
    const command = fileURLToPath(new URL('../bin/skein-sim.js', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [command, 'run', 'churn', '--ci', '--json'])
    const { eventLogHash, events } = await runSmall('churn')
    const there = JSON.parse(stdout) as Pick<RunRecord, 'eventLogHash' | 'events'>
    assert.deepEqual([there.eventLogHash, there.events], [eventLogHash, events])
  })

  for (const name of shippedScenarios()) {
    it(`${name}: comes out as expected at small size`, async () => {
      const scenario = loadScenario(name, { ci: true })
      const record = await runSmall(name)
      const missed = missedExpectations(figures(record), scenario.expect).map(describeMissed)
      assert.deepEqual(missed, [])
      assert.ok(record.generations.length > 0)
    })
  }

  describe('find that', () => {
    it('the time of an answer that lost a region has causes, nearly all of it', async () => {
      const { generations } = await runSmall('region-loss')
      const hit = generations.filter(({ recoveries }) => recoveries > 0)
      assert.ok(hit.length > 0)
      for (const { startMs, lastTokenMs = startMs, time } of hit) {
        const charged = Object.values<number>({ ...time }).reduce((sum, ms) => sum + ms, 0)
        assert.ok(Math.abs(charged / (lastTokenMs - startMs) - 1) < 0.05, `${charged} of ${lastTokenMs - startMs} ms`)
        assert.ok(time.silenceMs > 1_000 && time.recoveryMs > 1_000)
      }
    })

    it('volunteers who switch off at night cover the model around the clock in three time zones, and not in one', async () => {
      const [three, one] = [await runSmall('day-and-night'), await runSmall('day-and-night', 'regions=[frankfurt]')].map(figures)
      assert.deepEqual([three?.coveredShare, one?.leastCoverage], [1, 0])
      // The night of one day of 50 s, in a run of three minutes.
      assert.ok((one?.coveredShare ?? 1) < 0.95, `${one?.coveredShare}`)
    })

    it('a ring is at least half as fast again as a star across an ocean', async () => {
      const speed = 'sessionTokensPerSecondP50'
      const star = await figureOf(speed, 'ring-or-star', 'clients.users.transport=star')
      assert.ok((await figureOf(speed, 'ring-or-star')) > 1.5 * star)
    })

    it('a link of 1 Mbit/s costs a session at least the 66 ms that a row takes on it', async () => {
      const speed = 'sessionTokensPerSecondP50'
      const [slow, fast] = [await figureOf(speed, 'slow-link'), await figureOf(speed, 'slow-link', 'nodes.slow.up=100 Mbit/s')]
      const lostMs = 1000 / slow - 1000 / fast
      assert.ok(lostMs > 60 && lostMs < 100, `${lostMs} ms a token`)
    })

    it('six users get at least four times the tokens of one, since their turns share batches and fill gaps', async () => {
      const throughput = 'tokensPerSecond'
      const one = await figureOf(throughput, 'batching', 'clients.users.count=1')
      assert.ok((await figureOf(throughput, 'batching')) > 4 * one)
    })

    it('a relay between every two stages costs a session at least 10 ms a token', async () => {
      const speed = 'sessionTokensPerSecondP50'
      const open = await figureOf(speed, 'relay-price', 'nodes.homes.nat=open', 'clients.users.nat=open')
      const lostMs = 1000 / (await figureOf(speed, 'relay-price')) - 1000 / open
      assert.ok(lostMs > 10 && lostMs < 40, `${lostMs} ms a token`)
    })

    it('a cone is as good as a symmetric NAT until holes are punched, and then as an open node', async () => {
      const figuresWith = async (...overrides: string[]) => {
        const { sessionTokensPerSecondP50, latencyMsP50 } = figures(await runSmall('relay-price', ...overrides))
        return { speed: sessionTokensPerSecondP50 ?? 0, latencyMsP50 }
      }
      const [cone, symmetric] = [await figuresWith('nodes.homes.nat=cone'), await figuresWith('nodes.homes.nat=symmetric')]
      assert.deepEqual(cone, symmetric)
      const punching = 'network.holePunching=true'
      const [punched, open] = [await figuresWith('nodes.homes.nat=cone', punching), await figuresWith('nodes.homes.nat=open', punching)]
      assert.ok(punched.speed > 1.05 * cone.speed && punched.speed > 0.9 * open.speed, `${cone.speed}, ${punched.speed}, ${open.speed}`)
    })

    it('a message late in a conversation waits half as long at the most as one that sends all of it', async () => {
      const kept = await figureOf('laterTurnTokenMsP50', 'conversation')
      const talk = 'clients.users.workload.conversation.turns=1'
      // As long as the third prompt of four is.
      const whole = await figureOf('firstTurnTokenMsP50', 'conversation', talk, 'clients.users.workload.promptTokens=360')
      assert.ok(kept < 0.65 * whole, `${kept} ms, and ${whole} ms`)
    })

    it('lost packets make answers slower', async () => {
      const latency = 'latencyMsP50'
      const none = await figureOf(latency, 'packet-loss', 'network.loss=0')
      assert.ok((await figureOf(latency, 'packet-loss', 'network.loss=3 %')) > 1.1 * none)
    })
  })
})
