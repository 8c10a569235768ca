import assert from 'node:assert/strict'
import type { Channel } from '@skein/protocol'
import fc from 'fast-check'
import { modelled, TestWorld } from './test-world.test-helper.ts'

interface Talk {
  readonly from: number
  readonly to: number
  readonly sizes: readonly number[]
  readonly readerPauseMs: number
  readonly sendBufferBytes: number
}

const hosts = 4

describe('delivery', () => {
  it('is complete and in order, whatever windows, buffers, slow readers, changing links, short cuts and freezes there are', async function () {
    this.timeout(60_000)
    const talk = fc.record({
      from: fc.nat(hosts - 1),
      to: fc.nat(hosts - 1),
      sizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 2000, max: 400_000 })), {
        minLength: 1,
        maxLength: 12
      }),
      readerPauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 200 })),
      sendBufferBytes: fc.constantFrom(1000, 100_000, 1e9)
    })
    const change = fc.record({
      atMs: fc.nat(3000),
      kind: fc.constantFrom('link', 'cut', 'freeze' as const),
      host: fc.nat(hosts - 1),
      amount: fc.integer({ min: 1, max: 20 })
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(talk, { minLength: 1, maxLength: 12 }),
        fc.array(change, { maxLength: 6 }),
        fc.constantFrom(20_000, 300_000, 4 << 20),
        fc.constantFrom(0, 0.002),
        async (talks, changes, windowBytes, lossShare) => {
          const world = new TestWorld(
            { lossShare, jitterMs: { kind: 'uniform', min: 0, max: lossShare === 0 ? 0 : 5 } },
            { windowBytes, keepAliveTimeoutMs: 600_000 }
          )
          const peers = Array.from({ length: hosts }, (_, index) => world.join(`p${index}`, { up: 2e6, down: 3e6 }))
          const pairs: Array<[Talk, Channel, Channel]> = []
          for (const each of talks) {
            if (each.from === each.to) continue
            const limits = { maxHeadBytes: 1000, maxBodyBytes: 1e9, sendBufferBytes: each.sendBufferBytes }
            pairs.push([each, ...(await world.open(peers[each.from]!, peers[each.to]!, limits))])
          }
          for (const { atMs, kind, host, amount } of changes) {
            const { peer } = peers[host]!
            const { internet, clock } = world
            clock.setTimer(atMs, () => {
              if (kind === 'link') internet.setLink(peer, { upBytesPerSecond: amount * 1e5, downBytesPerSecond: amount * 2e5 })
              else if (kind === 'cut') clock.setTimer(amount * 100, internet.cut({ from: (each) => each === peer, to: () => true }))
              else {
                internet.freeze(peer, true)
                clock.setTimer(amount * 100, () => internet.freeze(peer, false))
              }
            })
          }
          await world.run(Promise.all(pairs.flatMap(([each, near, far]) => [speak(near, each), listen(world, far, each)])), 'the talks')
        }
      ),
      { numRuns: 150, seed: 11 }
    )
  })
})

async function speak(channel: Channel, { sizes }: Talk): Promise<void> {
  for (const size of sizes) {
    await channel.writable()
    channel.send(modelled(size))
  }
  await channel.end()
  assert.equal(await channel.receive(), undefined)
  assert.deepEqual(await channel.closed, { kind: 'ended' })
}

async function listen(world: TestWorld, channel: Channel, { sizes, readerPauseMs }: Talk): Promise<void> {
  const got: number[] = []
  for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
    got.push(frame.body?.byteLength ?? 0)
    await world.clock.sleep(readerPauseMs)
  }
  assert.deepEqual(got, sizes)
  await channel.end()
  assert.deepEqual(await channel.closed, { kind: 'ended' })
}
