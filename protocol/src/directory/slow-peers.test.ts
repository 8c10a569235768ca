import assert from 'node:assert/strict'
import { ChannelClosedError, TimeoutError, WireErrorCode } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { memoryAddress } from '../memory/memory-network.ts'
import { decodeDirectoryResponse, encodeDirectory } from '../messages/directory.ts'
import type { DirectoryRecord, DirectoryRequest, DirectoryResponse } from '../messages/directory.ts'
import type { Channel } from '../ports/network.ts'
import { emptyDelta, model, Swarm } from '../testing/directory-swarm.node.ts'
import type { Peer } from '../testing/directory-swarm.node.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { protocols } from '../versions.ts'

describe('directories of peers that are slow, silent or banned', () => {
  let swarm: Swarm
  beforeEach(() => {
    swarm = new Swarm()
  })
  afterEach(async () => {
    await swarm.stop()
  })

  /** A peer that opens channels to another, and writes what it likes on them. */
  function stranger(to: Peer): () => Promise<Channel> {
    const network = swarm.internet.join(testIdentity('stranger').peerId)
    network.learn({ peer: to.id, addresses: [memoryAddress(to.id)], source: 'trusted' })
    return async () => await network.open(to.id, protocols.directory, { limits: channelLimits.directory })
  }

  async function askOn(channel: Channel): Promise<DirectoryResponse> {
    channel.send({ head: encodeDirectory({ type: 'fetch', id: 1, model, peers: [] }) })
    return decodeDirectoryResponse((await channel.receive())!.head)
  }

  it('a peer that falls silent on an open channel is not asked a second time on another', async () => {
    let silent = false
    const keeper = swarm.pretend('keeper', (request) =>
      silent || request.type !== 'exchange' ? undefined : { ...emptyDelta, id: request.id }
    )
    const coordinator = swarm.coordinatorOf(keeper.id)
    await swarm.settle(coordinator.service.exchange(keeper.id))
    silent = true
    const startMs = swarm.clock.monotonicMs()
    await assert.rejects(swarm.settle(coordinator.service.exchange(keeper.id)), TimeoutError)
    assert.ok(swarm.clock.monotonicMs() - startMs <= 5_100)
    assert.equal(keeper.channels, 1)
  })

  /** A keeper that names seventy peers, and gives one of their records at a time, slowly. */
  function dripping(records: (index: number) => DirectoryRecord): { id: PeerId; fetches: () => number } {
    let fetches = 0
    const entries = Array.from({ length: 70 }, (_, index) => [testIdentity(`node ${index}`).peerId, 1, 0] as const)
    const answer = (request: DirectoryRequest): DirectoryResponse | undefined => {
      if (request.type === 'fetch') return { type: 'records', id: request.id, records: [records(fetches++)] }
      return request.type === 'exchange' ? { ...emptyDelta, id: request.id, entries } : undefined
    }
    const { id } = swarm.pretend('keeper', answer, 4_900)
    return { id, fetches: () => fetches }
  }

  it('a peer whose records are no news is not asked for more of them', async () => {
    const known = swarm.sign(testIdentity('node 0'), 1).encoded
    const keeper = dripping(() => [0, known])
    const coordinator = swarm.coordinatorOf(keeper.id)
    await swarm.clock.advanceAsync(60_000)
    assert.equal(keeper.fetches(), 2, 'the second brought nothing')
    await swarm.settle(coordinator.service.exchange(keeper.id))
    assert.equal(keeper.fetches(), 3)
  })

  it('a peer that gives its records slowly on purpose is given up after a minute', async () => {
    const keeper = dripping((index) => [0, swarm.sign(testIdentity(`node ${index}`), 1).encoded])
    const coordinator = swarm.coordinatorOf(keeper.id)
    const startMs = swarm.clock.monotonicMs()
    await assert.rejects(swarm.settle(coordinator.service.exchange(keeper.id), 120_000), TimeoutError)
    assert.ok(swarm.clock.monotonicMs() - startMs < 75_000)
    assert.equal(swarm.known(coordinator).size, keeper.fetches())
  })

  it('a refresh does not wait for the silent when another has answered', async () => {
    const first = swarm.add('first')
    swarm.announce(first, 1)
    const mute = swarm.pretend('mute', () => undefined)
    const coordinator = swarm.coordinatorOf(first.id, mute.id)
    await swarm.clock.advanceAsync(10_000)
    const startMs = swarm.clock.monotonicMs()
    const { answered, failures } = await swarm.settle(coordinator.service.refresh())
    assert.ok(swarm.clock.monotonicMs() - startMs <= 1_200)
    assert.ok(answered > 0)
    assert.ok(failures.every(({ peer: silent }) => silent === mute.id))
  })

  it('a ban reaches the channels that are open', async () => {
    const first = swarm.add('first')
    const open = stranger(first)
    const [channel, other] = [await open(), await open()]
    assert.equal((await askOn(channel)).type, 'records')
    const forged = Uint8Array.from(swarm.sign(testIdentity('somebody'), 1).encoded)
    forged[forged.length - 1]! ^= 1
    other.send({ head: encodeDirectory({ type: 'push', model, records: Array.from({ length: 8 }, () => [0, forged] as const) }) })
    await swarm.clock.advanceAsync(100)
    const refusal = await askOn(channel)
    assert.ok(refusal.type === 'refused' && refusal.code === WireErrorCode.RateLimited)
    other.reset()
    channel.reset()
  })

  it('a channel that has rested for too long is reset without a word', async () => {
    const channel = await stranger(swarm.add('first', { idleMs: 60_000 }))()
    assert.equal((await askOn(channel)).type, 'records')
    let isClosed = false
    void channel.closed.then(() => (isClosed = true))
    const received = assert.rejects(channel.receive(), ChannelClosedError)
    await swarm.clock.advanceAsync(59_999)
    assert.ok(!isClosed)
    await swarm.clock.advanceAsync(1)
    await received
    assert.equal((await channel.closed).kind, 'remote')
  })

  it('a peer that comes back takes the place of its own channels that rest', async () => {
    const open = stranger(swarm.add('first'))
    const left = await open()
    const later = [await open(), await open(), await open(), await open()]
    assert.equal((await left.closed).kind, 'remote')
    assert.equal((await askOn(later[3]!)).type, 'records')
    for (const channel of later) channel.reset()
  })
})
