import assert from 'node:assert/strict'
import type { PeerId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { memoryAddress, memoryInternet, type MemoryInternet } from '../memory/memory-network.ts'
import { decodeDirectoryRequest, encodeDirectory } from '../messages/directory.ts'
import type { Channel, Network } from '../ports/network.ts'
import { model } from '../testing/directory-swarm.node.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { protocols } from '../versions.ts'
import { ChannelPool } from './channel-pool.ts'
import type { DirectoryChannel } from './directory-channel.ts'

const { signal } = new AbortController()

/** One who asks, and others who answer every fetch with nothing. */
class Bench {
  readonly clock = new ManualClock()
  readonly internet: MemoryInternet = memoryInternet()
  readonly network: Network
  readonly pool: ChannelPool
  /** The answering sides, in the order in which they were opened. */
  readonly served: Channel[] = []
  /** Requests and pushes that arrived, by the index of their channel. */
  readonly requests: number[] = []

  constructor(more: Partial<ConstructorParameters<typeof ChannelPool>[1]> = {}) {
    this.network = this.internet.join(testIdentity('asker').peerId)
    const init = { answerMs: 1_000, maxKeptChannels: 2, keepMs: 60_000, ...more }
    this.pool = new ChannelPool({ network: this.network, clock: this.clock }, init)
  }

  answerer(name: string): PeerId {
    const { peerId } = testIdentity(name)
    this.network.learn({ peer: peerId, addresses: [memoryAddress(peerId)], source: 'trusted' })
    this.internet.join(peerId).handle(protocols.directory, channelLimits.directory, (channel) => {
      const index = this.served.push(channel) - 1
      this.#serve(channel, index).catch(() => {})
    })
    return peerId
  }

  async #serve(channel: Channel, index: number): Promise<void> {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const request = decodeDirectoryRequest(frame.head)
      this.requests.push(index)
      if (request.type !== 'push') channel.send({ head: encodeDirectory({ type: 'records', id: request.id, records: [] }) })
    }
    await channel.end()
  }

  fetch(peer: PeerId): Promise<void> {
    return this.pool.use(peer, signal, fetch)
  }
}

async function fetch(channel: DirectoryChannel): Promise<void> {
  await channel.request({ type: 'fetch', id: channel.nextId(), model, peers: [] })
}

async function push(channel: DirectoryChannel): Promise<void> {
  await channel.push({ type: 'push', model, records: [] })
}

describe('ChannelPool', () => {
  it('uses one channel again and again', async () => {
    const bench = new Bench()
    const peer = bench.answerer('one')
    for (let use = 0; use < 3; use++) await bench.fetch(peer)
    assert.deepEqual(bench.requests, [0, 0, 0])
    assert.equal(bench.clock.pendingTimers, 0, 'a channel that rests has no timer here')
    bench.pool.close()
  })

  it('opens another one for a second use at the same time, and ends what is too many when it was read', async () => {
    const bench = new Bench()
    const peer = bench.answerer('one')
    await Promise.all([bench.pool.use(peer, signal, push), bench.pool.use(peer, signal, push)])
    assert.equal((await bench.served[1]!.closed).kind, 'ended')
    assert.deepEqual(bench.requests, [0, 1])
    bench.pool.close()
  })

  it('asks anew when the peer has closed the channel meanwhile', async () => {
    const bench = new Bench()
    const peer = bench.answerer('one')
    for (const close of [(channel: Channel) => channel.reset(), (channel: Channel) => void channel.end()]) {
      await bench.fetch(peer)
      close(bench.served.at(-1)!)
      await bench.fetch(peer)
    }
    assert.deepEqual(bench.requests, [0, 1, 1, 1, 2], 'who has only ended its side still hears the request, and cannot answer')
    assert.equal(bench.served.length, 3)
    bench.pool.close()
  })

  it('does not ask anew when the peer breaks off in the middle', async () => {
    const bench = new Bench()
    const peer = bench.answerer('one')
    await bench.fetch(peer)
    const twice = async (channel: DirectoryChannel): Promise<void> => {
      await fetch(channel)
      bench.served[0]!.reset()
      await fetch(channel)
    }
    await assert.rejects(bench.pool.use(peer, signal, twice), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    assert.equal(bench.served.length, 1)
    bench.pool.close()
  })

  it('keeps only so many, and none for long', async () => {
    const bench = new Bench()
    const kinds: string[] = []
    for (const [index, name] of ['one', 'two', 'three'].entries()) {
      await bench.fetch(bench.answerer(name))
      void bench.served[index]!.closed.then(({ kind }) => (kinds[index] = kind))
    }
    await bench.clock.advanceAsync(30_000)
    assert.deepEqual(kinds, ['remote'])
    bench.pool.expire(bench.clock.monotonicMs())
    await bench.clock.advanceAsync(30_000)
    assert.deepEqual(kinds, ['remote'])
    bench.pool.expire(bench.clock.monotonicMs())
    await bench.clock.advanceAsync(1)
    assert.deepEqual(kinds, ['remote', 'remote', 'remote'])
  })

  it('waits until the peer has read the last word, and keeps nothing once it is closed', async () => {
    const bench = new Bench()
    const peer = bench.answerer('one')
    await bench.pool.useAndEnd(peer, signal, push)
    assert.deepEqual(bench.requests, [0])
    assert.equal((await bench.served[0]!.closed).kind, 'ended')
    bench.pool.close()
    await bench.fetch(peer)
    assert.equal((await bench.served[1]!.closed).kind, 'ended')
    assert.equal(bench.clock.pendingTimers, 0)
  })
})
