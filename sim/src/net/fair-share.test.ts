import assert from 'node:assert/strict'
import type { Channel } from '@skein/protocol'
import fc from 'fast-check'
import { modelled, TestWorld } from './test-world.test-helper.ts'

interface Flow {
  readonly from: number
  readonly to: number
  readonly startMs: number
  readonly bytes: number
}

/** The same by brute force: all rates anew at each start and end. Frames of one pair go one after the other. */
function reference(ups: readonly number[], downs: readonly number[], flows: readonly Flow[]): number[] {
  const done = flows.map(() => NaN)
  const left = flows.map(({ bytes }) => bytes)
  let nowMs = 0
  for (;;) {
    const open = flows.map((_, index) => index).filter((index) => Number.isNaN(done[index]))
    if (open.length === 0) return done
    const active = open.filter((index) => {
      const flow = flows[index]!
      const isFirst = !open.some(
        (other) => other !== index && isBefore(flows, other, index) && flows[other]!.from === flow.from && flows[other]!.to === flow.to
      )
      return flow.startMs <= nowMs && isFirst
    })
    const rates = maxMin(
      ups,
      downs,
      active.map((index) => flows[index]!)
    )
    const nextStart = Math.min(...open.map((index) => flows[index]!.startMs).filter((ms) => ms > nowMs))
    const nextEnd = Math.min(...active.map((index, at) => nowMs + (left[index]! / rates[at]!) * 1000))
    const untilMs = Math.min(nextStart, nextEnd)
    for (const [at, index] of active.entries()) {
      left[index]! -= (rates[at]! * (untilMs - nowMs)) / 1000
      if (left[index]! < 1e-3) done[index] = untilMs
    }
    nowMs = untilMs
  }
}

function isBefore(flows: readonly Flow[], a: number, b: number): boolean {
  return flows[a]!.startMs < flows[b]!.startMs || (flows[a]!.startMs === flows[b]!.startMs && a < b)
}

function maxMin(ups: readonly number[], downs: readonly number[], flows: readonly Flow[]): number[] {
  const rates = flows.map(() => 0)
  const open = new Set(flows.keys())
  const free = { up: [...ups], down: [...downs] }
  while (open.size > 0) {
    const users = (side: 'from' | 'to', link: number): number => [...open].filter((flow) => flows[flow]![side] === link).length
    const share = (flow: number): number =>
      Math.min(free.up[flows[flow]!.from]! / users('from', flows[flow]!.from), free.down[flows[flow]!.to]! / users('to', flows[flow]!.to))
    const level = Math.min(...[...open].map(share))
    const fixed = [...open].filter((flow) => share(flow) <= level * (1 + 1e-12))
    for (const flow of fixed) {
      rates[flow] = level
      open.delete(flow)
    }
    for (const flow of fixed) {
      free.up[flows[flow]!.from]! -= level
      free.down[flows[flow]!.to]! -= level
    }
  }
  return rates
}

describe('fair sharing', () => {
  it('delivers when a simulation by brute force does, whatever flows share', async function () {
    this.timeout(60_000)
    const hosts = 5
    const rate = fc.integer({ min: 1, max: 20 }).map((mega) => mega * 1e6)
    const flow = fc.record({
      from: fc.nat(hosts - 1),
      to: fc.nat(hosts - 1),
      startMs: fc.nat(300),
      bytes: fc.integer({ min: 2, max: 2000 }).map((kilo) => kilo * 1000)
    })
    const sides = fc.array(rate, { minLength: hosts, maxLength: hosts })
    await fc.assert(
      fc.asyncProperty(sides, sides, fc.array(flow, { minLength: 1, maxLength: 25 }), async (ups, downs, drawn) => {
        const flows = drawn.filter(({ from, to }) => from !== to)
        const actual = await simulate(ups, downs, flows)
        const expected = reference(ups, downs, flows)
        for (const [index, ms] of actual.entries()) {
          // Each change is noticed within a microsecond of its time.
          assert.ok(Math.abs(ms - expected[index]!) < 0.2, `flow ${index} ended at ${ms} where ${expected[index]} is right`)
        }
      }),
      { numRuns: 150, seed: 5 }
    )
  })
})

describe('single packets', () => {
  it('pass a busy link at once, one behind the other', async () => {
    const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 0 } })
    const [a, b, c] = [world.join('a', { up: 1e6 }), world.join('b'), world.join('c')]
    const [bulk] = await world.open(a, b)
    const [near, far] = await world.open(a, c)
    await world.clock.runUntil(100)
    bulk.send(modelled(1e6))
    const arrivals: number[] = []
    for (let index = 0; index < 3; index++) near.send(modelled(1000))
    for (let index = 0; index < 3; index++) {
      await world.run(far.receive())
      arrivals.push(world.clock.monotonicMs() - 100)
    }
    assert.deepEqual(arrivals, [1, 2, 3])
  })
})

async function simulate(ups: readonly number[], downs: readonly number[], flows: readonly Flow[]): Promise<number[]> {
  const world = new TestWorld({ latency: { kind: 'constant', oneWayMs: 0 } }, { windowBytes: Infinity })
  const peers = ups.map((up, index) => world.join(`p${index}`, { up, down: downs[index]! }))
  const channels = new Map<string, [Channel, Channel]>()
  for (const { from, to } of flows) {
    const key = `${from} ${to}`
    if (!channels.has(key)) channels.set(key, await world.open(peers[from]!, peers[to]!))
  }
  await world.clock.runUntil(Math.ceil(world.clock.monotonicMs()) + 10)
  const startMs = world.clock.monotonicMs()
  const order = [...flows.keys()].sort((a, b) => (isBefore(flows, a, b) ? -1 : 1))
  const done = flows.map(() => NaN)
  const arrivals = order.map(async (index) => {
    const { from, to, startMs: atMs, bytes } = flows[index]!
    const [near, far] = channels.get(`${from} ${to}`)!
    await world.clock.sleep(atMs)
    near.send(modelled(bytes))
    return [index, far] as const
  })
  const reading = [...channels].map(async ([key, [, far]]) => {
    for (const index of order.filter((each) => `${flows[each]!.from} ${flows[each]!.to}` === key)) {
      await far.receive()
      done[index] = world.clock.monotonicMs() - startMs
    }
  })
  await world.run(Promise.all([...arrivals, ...reading]), 'the flows')
  return done
}
