import assert from 'node:assert/strict'
import { memoryAddress, memoryInternet } from '../memory/memory-network.ts'
import type { Network } from '../ports/network.ts'
import { systemClock } from '../ports/system/system-clock.node.ts'
import { numbered, openPair } from '../testing/network-compliance-setup.ts'
import { networkCompliance } from '../testing/network-compliance.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { countTraffic } from './count-traffic.ts'

describe('a network whose traffic is counted', () => {
  const [peerA, peerB, peerC] = ['a', 'b', 'c'].map((name) => testIdentity(name).peerId) as [never, never, never]
  let networks: Network[] = []

  const setup = async () => {
    const internet = memoryInternet()
    const [countedA, countedB] = [countTraffic(internet.join(peerA)), countTraffic(internet.join(peerB))]
    const [a, b] = [countedA.network, countedB.network]
    networks = [a, b]
    internet.cut(peerA, peerC, 'hang')
    return {
      a,
      b,
      traffic: () => [countedA.traffic(), countedB.traffic()],
      clock: systemClock(),
      disconnect: () => {
        internet.cut(peerA, peerB)
        internet.heal(peerA, peerB)
      },
      silent: { peer: peerC, addresses: [memoryAddress(peerC)], source: 'trusted' as const },
      transportBytes: 0,
      rendezvous: true
    }
  }
  const teardown = async (): Promise<void> => {
    await Promise.all(networks.map((network) => network.stop()))
  }

  networkCompliance({ setup, teardown })

  it('counts heads and bodies, at who sends when they are sent and at who receives when they are taken', async () => {
    const common = await setup()
    const [near, far] = await openPair(common)
    near.send(numbered(1, 1_000))
    near.send(numbered(2))
    assert.deepEqual(common.traffic(), [
      { sentBytes: 1_008, receivedBytes: 0 },
      { sentBytes: 0, receivedBytes: 0 }
    ])
    await far.receive()
    far.send(numbered(3, 10))
    await near.receive()
    assert.deepEqual(common.traffic(), [
      { sentBytes: 1_008, receivedBytes: 14 },
      { sentBytes: 14, receivedBytes: 1_004 }
    ])
    near.reset()
    assert.throws(() => near.send(numbered(4)))
    assert.equal(common.traffic()[0]?.sentBytes, 1_008)
    await teardown()
  })
})
