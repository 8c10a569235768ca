import assert from 'node:assert/strict'
import type { Channel } from '@skein/protocol'
import { seededRandom } from '@skein/protocol'
import { draw } from '../workload/draw.ts'
import { modelled, TestWorld } from './test-world.test-helper.ts'

function within(actual: number, expected: number, share: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= share * expected, `${what}: ${actual} where theory says ${expected}`)
}

/** The first comparison: simulated figures against the closed form. */
describe('theory', () => {
  it('one flow: bytes over the narrower link, and the delay', async () => {
    const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 30 } })
    const [a, b] = [world.join('a', { up: 10e6 }), world.join('b', { down: 20e6 })]
    const [near, far] = await world.open(a, b)
    const startMs = world.clock.monotonicMs()
    near.send(modelled(5e6))
    await world.run(far.receive())
    within(world.clock.monotonicMs() - startMs, 500 + 30, 1e-5, 'the time of 5 MB at 10 MB/s')
  })

  it('a connection: its round trips, then one for the channel', async () => {
    const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 30 }, connectRoundTrips: 4 })
    const [a, b] = [world.join('a'), world.join('b')]
    await world.open(a, b)
    within(world.clock.monotonicMs(), (4 + 1) * 60, 1e-4, 'the first channel')
    const startMs = world.clock.monotonicMs()
    await world.open(a, b)
    within(world.clock.monotonicMs() - startMs, 60, 1e-4, 'the second channel')
  })

  it('two flows through one uplink: half each while both last', async () => {
    const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 10 } })
    const [a, b, c] = [world.join('a', { up: 10e6 }), world.join('b'), world.join('c')]
    const [toB, atB] = await world.open(a, b)
    const [toC, atC] = await world.open(a, c)
    const startMs = world.clock.monotonicMs()
    const arrival = async (channel: Channel): Promise<number> => {
      await channel.receive()
      return world.clock.monotonicMs() - startMs
    }
    toB.send(modelled(5e6))
    await world.clock.runUntil(startMs + 100)
    toC.send(modelled(2e6))
    // 1 MB of the first has gone; both at 5 MB/s; the second ends at 500, the first has 2 MB left for the whole link.
    const [first, second] = await world.run(Promise.all([arrival(atB), arrival(atC)]))
    within(second, 500 + 10, 1e-3, 'the second')
    within(first, 500 + 200 + 10, 1e-3, 'the first')
  })

  it('max-min: what one flow cannot use the others get', async () => {
    const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 0 } })
    const [a, slow, fast] = [world.join('a', { up: 10e6 }), world.join('slow', { down: 2e6 }), world.join('fast', { down: 100e6 })]
    const [toSlow] = await world.open(a, slow)
    const [toFast, atFast] = await world.open(a, fast)
    toSlow.send(modelled(100e6))
    const startMs = world.clock.monotonicMs()
    toFast.send(modelled(8e6))
    await world.run(atFast.receive())
    within(world.clock.monotonicMs() - startMs, 1000, 1e-3, '8 MB at the 8 MB/s that are left')
  })

  it('a ring of k stages: compute, delay and transfer of each, added up', async () => {
    for (const [stages, rowBytes] of [
      [1, 16_384],
      [3, 16_384],
      [8, 8192]
    ] as const) {
      const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 12.5 } })
      const ring = Array.from({ length: stages + 1 }, (_, index) => world.join(`p${index}`, { up: 12.5e6, down: 50e6 }))
      const computeMs = ring.map((_, index) => 2 + 3 * index)
      const links: Array<[Channel, Channel]> = []
      for (const [index, peer] of ring.entries()) links.push(await world.open(peer, ring[(index + 1) % ring.length]!))
      for (const [index] of ring.entries()) {
        if (index === 0) continue
        const [from, to] = [links[index - 1]![1], links[index]![0]]
        void (async () => {
          for (;;) {
            await from.receive()
            await world.clock.sleep(computeMs[index]!)
            to.send(modelled(rowBytes))
          }
        })()
      }
      const tokens = 50
      const startMs = world.clock.monotonicMs()
      const generate = async (): Promise<void> => {
        for (let token = 0; token < tokens; token++) {
          await world.clock.sleep(computeMs[0]!)
          links[0]![0].send(modelled(rowBytes))
          await links.at(-1)![1].receive()
        }
      }
      await world.run(generate())
      const hopMs = 12.5 + (rowBytes / 12.5e6) * 1000
      const expected = computeMs.reduce((sum, ms) => sum + ms, 0) + (stages + 1) * hopMs
      within((world.clock.monotonicMs() - startMs) / tokens, expected, 1e-3, `a token through ${stages} stages`)
    }
  })

  it('M/D/1: the mean wait of Poisson arrivals at a link', async function () {
    this.timeout(30_000)
    const [load, bytes, count] = [0.5, 10_000, 100_000]
    const world = new TestWorld({}, { windowBytes: Infinity })
    const [a, b] = [world.join('a', { up: 1e6 }), world.join('b')]
    const [near, far] = await world.open(a, b)
    const serviceMs = 10
    const random = seededRandom('arrivals')
    const reading = (async () => {
      for (let index = 0; index < count; index++) await far.receive()
    })()
    const writing = (async () => {
      for (let index = 0; index < count; index++) {
        await world.clock.sleep(draw({ kind: 'exponential', mean: serviceMs / load }, random))
        near.send(modelled(bytes))
      }
    })()
    await world.run(Promise.all([reading, writing]), 'the queue')
    const waitMs = world.transfers.reduce((sum, { startMs, sentMs }) => sum + startMs - sentMs, 0) / count
    within(waitMs, (load * serviceMs) / (2 * (1 - load)), 0.01, 'the mean wait (Pollaczek-Khinchine)')
  })

  it('M/D/1 with processor sharing: the mean time of frames on channels of their own', async function () {
    this.timeout(30_000)
    const [load, bytes, count] = [0.5, 10_000, 60_000]
    const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 0 } })
    const [a, b] = [world.join('a', { up: 1e6 }), world.join('b')]
    const serviceMs = 10
    const random = seededRandom('sharing')
    const idle: Channel[] = []
    let doneMs = 0
    for (let index = 0; index < 60; index++) {
      const [near, far] = await world.open(a, b)
      idle.push(near)
      void (async () => {
        for (;;) {
          await far.receive()
          idle.push(near)
        }
      })()
    }
    const writing = (async () => {
      for (let index = 0; index < count; index++) {
        await world.clock.sleep(draw({ kind: 'exponential', mean: serviceMs / load }, random))
        ;(idle.shift() as Channel).send(modelled(bytes))
      }
      await world.clock.sleep(1e4)
    })()
    await world.run(writing, 'the sharing')
    for (const { arrivedMs, sentMs } of world.transfers) doneMs += arrivedMs - sentMs
    assert.equal(world.transfers.length, count)
    within(doneMs / count, serviceMs / (1 - load), 0.01, 'the mean time')
  })
})
