import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { SpanRuntime } from '@skein/node'
import { defineScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const constant = (value: number) => ({ kind: 'constant', value }) as const
const workload = { kind: 'closed', startMs: constant(3_000), thinkMs: constant(1_000), maxRequests: 1_000 } as const
const scenario = defineScenario({
  durationMs: 20_000,
  clients: [{ workload: { ...workload, promptTokens: constant(8), outputTokens: constant(8) } }]
})

/** A runtime that does something behind the ports' back at each turn. */
const sneaky =
  (act: () => void) =>
  (runtime: SpanRuntime): SpanRuntime => ({
    info: runtime.info,
    freeKvTokens: () => runtime.freeKvTokens(),
    reserve: (...args) => runtime.reserve(...args),
    run: (entries) => {
      act()
      return runtime.run(entries)
    },
    release: (cache) => runtime.release(cache),
    stop: () => runtime.stop()
  })

describe('a world in which something real is used', () => {
  const uses: ReadonlyArray<readonly [name: string, act: () => void]> = [
    ['globalThis.setTimeout', () => clearTimeout(setTimeout(() => {}, 1))],
    ['Date.now', () => void Date.now()],
    ['Math.random', () => void Math.random()],
    ['node:net.createServer', () => void createServer().listen(0).close()]
  ]
  for (const [name, act] of uses) {
    it(`ends with a violation that names ${name} and its caller`, async () => {
      const record = await simulate({ scenario, wrapRuntime: sneaky(act) }).run()
      assert.deepEqual(
        record.violations.map(({ oracle }) => oracle),
        ['ports']
      )
      const text = record.violations[0]?.text ?? ''
      assert.ok(text.startsWith(`${name} was called in a simulated world`), text)
      assert.match(text, /real-time\.test/)
      assert.ok(record.virtualMs < 6_000, `it ran on until ${record.virtualMs} ms`)
    })
  }

  it('has it found also by runFor and runUntil', async () => {
    const acting = { now: false }
    const world = simulate({ scenario: defineScenario(), wrapRuntime: sneaky(() => acting.now && Date.now()) })
    await world.runFor(5_000)
    await world.runUntil(world.client(0).generate())
    assert.deepEqual(world.violations, [])
    acting.now = true
    await world.runUntil(world.client(0).generate())
    assert.match(world.record().violations[0]?.text ?? '', /Date\.now was called/)
  })

  it('blames neither who shows how far it is, nor worlds that run at the same time', async () => {
    const real = Date.now
    let shown = 0
    const onProgress = (): void => {
      shown += Date.now() > 0 ? 1 : 0
      clearTimeout(setTimeout(() => {}, 1))
    }
    const records = await Promise.all([1, 2].map((seed) => simulate({ scenario, seed, onProgress }).run()))
    assert.deepEqual(
      records.map(({ violations }) => violations),
      [[], []]
    )
    assert.ok(shown > 40)
    assert.equal(Date.now, real)
    // What runs beside it does not change it.
    const alone = await simulate({ scenario, seed: 1 }).run()
    assert.equal(records[0]?.eventLogHash, alone.eventLogHash)
  })
})
