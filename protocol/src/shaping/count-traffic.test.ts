import assert from 'node:assert/strict'
import { memoryInternet } from '../memory/memory-network.ts'
import { memoryCompliance } from '../testing/memory-compliance.node.ts'
import { numbered, openPair } from '../testing/network-compliance-setup.ts'
import { networkCompliance } from '../testing/network-compliance.ts'
import { countTraffic } from './count-traffic.ts'

describe('a network whose traffic is counted', () => {
  let counted: Array<ReturnType<typeof countTraffic>> = []
  const inMemory = memoryCompliance(memoryInternet, (network) => {
    const one = countTraffic(network)
    counted.push(one)
    return one.network
  })
  const { teardown } = inMemory
  const setup = async () => {
    counted = []
    return { ...(await inMemory.setup()), traffic: () => counted.map(({ traffic }) => traffic()) }
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
