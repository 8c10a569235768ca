import assert from 'node:assert/strict'
import { encodeDirectory } from '../messages/directory.ts'
import { model, type Peer, rawChannel, Swarm } from '../testing/directory-swarm.node.ts'
import { testIdentity } from '../testing/test-identity.node.ts'

const init = { keepers: 3, exchangeMs: 1e9, coordinatorExchangeMs: 1e9 }
const invented = 60

describe('a directory full of peers that somebody has invented', () => {
  let swarm: Swarm
  let nodes: [Peer, Peer]
  beforeEach(async () => {
    swarm = new Swarm()
    const first = swarm.add('first', init)
    nodes = [first, swarm.add('second', init, [first])]
    for (const node of nodes) swarm.announce(node, 1, { lifeMs: 3_600_000 })
    await swarm.clock.advanceAsync(10_000)
    for (const node of nodes) {
      const { channel } = await rawChannel(swarm, `inventor of ${node.id}`, node)
      const records = Array.from({ length: invented }, (_, n) => {
        return [0, swarm.sign(testIdentity(`nobody ${n}`), 1, { lifeMs: 3_600_000 }).encoded] as const
      })
      channel.send({ head: encodeDirectory({ type: 'push', model, records }) })
      await swarm.clock.advanceAsync(1_000)
      channel.reset()
    }
    assert.ok([...swarm.known(nodes[0]).keys()].filter((peer) => peer < nodes[0].id).length > init.keepers, 'the nodes are no keepers')
  })
  afterEach(() => swarm.stop())

  it('still tells a coordinator of the nodes that it was told to begin with', async () => {
    const coordinator = swarm.add('coordinator', { ...init, mesh: false }, nodes)
    await swarm.settle(coordinator.service.refresh())
    for (const node of nodes) assert.ok(swarm.known(coordinator).has(node.id))
  })

  it('still tells it when it knows many already, and none of those answers', async () => {
    const coordinator = swarm.add('coordinator', { ...init, mesh: false }, nodes)
    await swarm.settle(coordinator.service.refresh())
    for (const node of nodes) swarm.announce(node, 2, { kvTokens: 7 })
    await swarm.settle(coordinator.service.refresh())
    for (const node of nodes) {
      assert.equal(coordinator.store.get(model, node.id, swarm.clock.monotonicMs())?.announcement.kvTokens, 7)
    }
  })
})
