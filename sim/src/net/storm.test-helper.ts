import { type Channel, seededRandom } from '@skein/protocol'
import type { NatClass } from '../scenario/scenario.ts'
import { modelled, type TestPeer, TestWorld, testProtocol } from './test-world.test-helper.ts'

const limits = { maxHeadBytes: 1e6, maxBodyBytes: 1e9, sendBufferBytes: 500_000 }

/** A short run with everything in it that the network can do to peers. @returns the hash of its event log and its number of events */
export async function stormHash(seed: number): Promise<string> {
  const world = new TestWorld(
    {
      latency: { kind: 'measured', dataSet: 'ibm-cloud-2024' },
      jitterMs: { kind: 'lognormal', median: 2, sigma: 1 },
      lossShare: 0.0005
    },
    {
      regions: [
        { name: 'frankfurt', latitude: 50, longitude: 8 },
        { name: 'tokyo', latitude: 35, longitude: 139 }
      ]
    },
    seed
  )
  const random = seededRandom(seed)
  const kinds: NatClass[] = ['open', 'cone', 'symmetric']
  const regionOf = (index: number): string => (index % 2 === 0 ? 'frankfurt' : 'tokyo')
  const peers = Array.from({ length: 12 }, (_, index) =>
    world.join(`p${index}`, {
      up: 1e6 * (1 + random.below(10)),
      down: 1e6 * (1 + random.below(10)),
      nat: kinds[index % 3]!,
      region: regionOf(index)
    })
  )
  for (const peer of peers) void wander(world, peer, peers, seed)
  world.clock.setTimer(3000, () => world.internet.crash(peers[3]!.peer))
  world.clock.setTimer(4000, () => world.internet.freeze(peers[4]!.peer, true))
  world.clock.setTimer(9000, () => world.internet.freeze(peers[4]!.peer, false))
  world.clock.setTimer(5000, () => {
    const heal = world.internet.cut({ from: (peer) => Number(/\d+$/.exec(peer)?.[0]) % 2 === 0, to: () => true, oneWay: true })
    world.clock.setTimer(2500, heal)
  })
  world.clock.setTimer(6000, () => world.internet.crash(peers[6]!.peer, 'host'))
  await world.clock.runUntil(60_000)
  return `${world.clock.eventLogHash()} ${world.clock.events}`
}

async function wander(world: TestWorld, self: TestPeer, peers: readonly TestPeer[], seed: number): Promise<void> {
  const random = seededRandom(seed).fork(self.peer)
  self.network.handle(testProtocol, limits, (channel) => void drain(channel))
  for (;;) {
    await world.clock.sleep(random.below(400))
    const other = peers[random.below(peers.length)]!
    if (other === self) continue
    try {
      const channel = await self.network.open(other.peer, testProtocol, { limits })
      for (let count = random.below(8); count >= 0; count--) {
        await channel.writable()
        channel.send(modelled(random.below(300_000)))
      }
      if (random.below(4) === 0) channel.reset()
      else await channel.end()
    } catch {
      // The storm: what failed is in the event log.
    }
  }
}

async function drain(channel: Channel): Promise<void> {
  try {
    while ((await channel.receive()) !== undefined);
    await channel.end()
  } catch {
    // As above.
  }
}
