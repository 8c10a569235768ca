import assert from 'node:assert/strict'
import type { TokenSession } from '@skein/coordinator'
import { hex, MemorySwarm, reference, type SwarmNode, until } from '../harness/memory-swarm.ts'

const prompt = Array.from({ length: 40 }, (_, index) => index * 7)

/** Prefill in chunks of 16, then `count` tokens one by one; each output must be the reference's. */
async function generate(
  session: TokenSession,
  count: number,
  between: (step: number) => Promise<void> | void = () => {}
): Promise<number[]> {
  const context: number[] = []
  for (let position = 0; position < prompt.length; position += 16) {
    const chunk = prompt.slice(position, position + 16)
    void session.step(chunk, position, 'none').catch(() => {})
    context.push(...chunk)
  }
  for (let step = 0; step < count; step++) {
    await between(step)
    const token = 1000 + step
    const output = await session.step([token], session.rows, 'last')
    context.push(token)
    assert.equal(hex(output.body), reference(context), `step ${step}`)
  }
  return context
}

describe('a swarm in memory', () => {
  let swarm: MemorySwarm
  let a: SwarmNode
  let b: SwarmNode
  let c: SwarmNode
  let stages: { node: SwarmNode; span: { start: number; end: number } }[]

  beforeEach(async () => {
    swarm = new MemorySwarm()
    a = await swarm.addNode({ start: 0, end: 3 })
    b = await swarm.addNode({ start: 3, end: 6 })
    c = await swarm.addNode({ start: 6, end: 8 })
    stages = [
      { node: a, span: { start: 0, end: 3 } },
      { node: b, span: { start: 3, end: 6 } },
      { node: c, span: { start: 6, end: 8 } }
    ]
  })

  afterEach(() => swarm.stop())

  for (const transport of ['ring', 'star'] as const) {
    it(`computes what one machine would, as a ${transport}, and leaves nothing reserved`, async () => {
      const { session } = await swarm.open(swarm.addCoordinator(), stages, { transport })
      assert.equal(swarm.reservedCaches(), 3)
      await generate(session, 12)
      await session.close()
      await until(() => swarm.reservedCaches() === 0)
    })
  }

  it('runs many sessions at once', async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, () => swarm.open(swarm.addCoordinator(), stages)))
    await Promise.all(sessions.map(({ session }) => generate(session, 10)))
    await Promise.all(sessions.map(({ session }) => session.close()))
    await until(() => swarm.reservedCaches() === 0)
  })

  for (const [name, victim] of [
    ['first', 0],
    ['middle', 1],
    ['last', 2]
  ] as const) {
    it(`goes on without losing a token when the ${name} node is killed`, async () => {
      const span = stages[victim]?.span ?? { start: 0, end: 0 }
      const spare = await swarm.addNode(span)
      const { session, events } = await swarm.open(swarm.addCoordinator(), stages)
      await generate(session, 12, async (step) => {
        if (step === 5) await stages[victim]?.node.crash()
      })
      assert.equal(session.recoveries, 1)
      assert.ok(session.chain.some(({ peer }) => peer === spare.peer))
      assert.deepEqual(
        events.map(({ type }) => type),
        ['opened', 'recovering', 'recovered']
      )
      await session.close()
    })
  }

  it('goes on when two neighbours are killed at once, during a prefill', async () => {
    await swarm.addNode({ start: 3, end: 8 })
    const { session } = await swarm.open(swarm.addCoordinator(), stages)
    await generate(session, 6, async (step) => {
      if (step === 0) await Promise.all([b.crash(), c.crash()])
    })
    assert.ok(session.recoveries >= 1)
    await session.close()
  })

  it('goes on when the line between two nodes is cut and both live', async () => {
    await swarm.addNode({ start: 3, end: 6 })
    const { session } = await swarm.open(swarm.addCoordinator(), stages)
    await generate(session, 8, (step) => {
      if (step === 3) swarm.internet.cut(a.peer, b.peer)
    })
    await session.close()
  })

  it('rolls back and goes on elsewhere', async () => {
    const { session } = await swarm.open(swarm.addCoordinator(), stages)
    const context = await generate(session, 6)
    const kept = context.slice(0, 43)
    const output = await session.step([5, 6, 7], 43, 'all')
    assert.equal(output.rows, 3)
    assert.equal(hex(output.body.subarray(64)), reference([...kept, 5, 6, 7]))
    await session.close()
  })

  it('frees every cache when the coordinator vanishes in the middle of a step', async () => {
    const network = swarm.addCoordinator()
    const { session } = await swarm.open(network, stages)
    await generate(session, 3)
    const step = session.step([1], session.rows, 'last').catch(() => {})
    await network.stop()
    await until(() => swarm.reservedCaches() === 0)
    await session.close()
    await step
  })

  it('says which blocks nobody serves, after the stated wait', async () => {
    const { session, events } = await swarm.open(swarm.addCoordinator(), stages, { options: { coverageWaitMs: 50, searchAgainMs: 10 } })
    const run = generate(session, 12, async (step) => {
      if (step === 4) await b.crash()
    })
    await assert.rejects(run, { code: 'ERR_SKEIN_NO_COVERAGE', message: /3:6/ })
    assert.ok(events.some((event) => event.type === 'uncovered' && event.blocks[0]?.start === 3))
    await session.close()
    await until(() => swarm.nodes.filter(({ peer }) => peer !== b.peer).every(({ runtime }) => runtime.caches === 0))
  })

  it('waits for a node that comes back', async () => {
    const { session } = await swarm.open(swarm.addCoordinator(), stages, { options: { searchAgainMs: 10 } })
    await generate(session, 8, async (step) => {
      if (step !== 4) return
      await b.crash()
      swarm.nodes.splice(swarm.nodes.indexOf(b), 1)
      void new Promise((resolve) => setTimeout(resolve, 100)).then(() => swarm.addNode({ start: 3, end: 6 }))
    })
    await session.close()
  })

  it('refuses what does not fit a node, with the numbers', async () => {
    await assert.rejects(swarm.open(swarm.addCoordinator(), stages, { kvTokens: 1_000_000 }), /2048/)
    await until(() => swarm.reservedCaches() === 0)
  })
})
