import assert from 'node:assert/strict'
import { DialError, WireErrorCode } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { memoryAddress } from '../memory/memory-network.ts'
import { decodeDirectoryResponse, encodeDirectory } from '../messages/directory.ts'
import type { DirectoryRecord, DirectoryRequest } from '../messages/directory.ts'
import { silentLogger, type LogContext } from '../ports/logger.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { protocols } from '../versions.ts'
import type { DirectoryEvent } from './announcement-store.ts'
import { directoryDefaults } from './directory-init.ts'
import { model, rawChannel, Swarm } from '../testing/directory-swarm.node.ts'
import type { Peer } from '../testing/directory-swarm.node.ts'

describe('DirectoryService', () => {
  let swarm: Swarm
  beforeEach(() => {
    swarm = new Swarm()
  })
  afterEach(async () => {
    await swarm.stop()
  })

  async function threeNodes(): Promise<[Peer, Peer, Peer]> {
    const first = swarm.add('first')
    const second = swarm.add('second', {}, [first])
    const third = swarm.add('third', {}, [first])
    for (const peer of [first, second, third]) swarm.announce(peer, 1)
    await swarm.clock.advanceAsync(30_000)
    return [first, second, third]
  }

  it('makes three nodes and one that joins late know each other', async () => {
    const nodes = await threeNodes()
    for (const node of nodes) assert.equal(swarm.known(node).size, 3)
    const late = swarm.add('late', {}, [nodes[1]])
    swarm.announce(late, 1)
    await swarm.clock.advanceAsync(1_000)
    assert.equal(swarm.known(late).size, 4, 'the newcomer knows all within a few round trips')
    for (const node of nodes) assert.ok(swarm.known(node).has(late.id), 'and all know the newcomer')
  })

  it('lets a coordinator know the swarm by one refresh, without taking channels itself', async () => {
    const nodes = await threeNodes()
    const coordinator = swarm.add('coordinator', { mesh: false, exchangeMs: 1e9 }, [nodes[2]])
    const result = await swarm.settle(coordinator.service.refresh())
    assert.deepEqual({ ...result, news: 0 }, { answered: 1, news: 0, failures: [] })
    assert.equal(swarm.known(coordinator).size, 3)
    nodes[0].network.learn({ peer: coordinator.id, addresses: [memoryAddress(coordinator.id)], source: 'trusted' })
    await assert.rejects(nodes[0].network.open(coordinator.id, protocols.directory, { limits: channelLimits.directory }), {
      code: WireErrorCode.Unsupported
    })
    // The addresses came with the announcements.
    await coordinator.network.ping(nodes[0].id)
  })

  it('asks for the hosts of some blocks alone', async () => {
    const [first, second] = await threeNodes()
    swarm.announce(second, 2, { span: { start: 4, end: 8 }, entryPoints: [4, 8] })
    await swarm.clock.advanceAsync(30_000)
    const { channel } = await rawChannel(swarm, 'asker', first)
    channel.send({ head: encodeDirectory({ type: 'ask', id: 1, model, blocks: { start: 5, end: 6 }, limit: 9 }) })
    const answer = decodeDirectoryResponse((await channel.receive())!.head)
    assert.ok(answer.type === 'records' && answer.records.length === 1)
    channel.reset()
  })

  it('finds its first contact by the rendezvous', async () => {
    const nodes = await threeNodes()
    const stranger = swarm.add('stranger', { mesh: false })
    await swarm.settle(stranger.service.refresh())
    assert.ok(nodes.every((node) => swarm.known(stranger).has(node.id)))
  })

  it('finds others by the rendezvous when all its contacts are gone', async () => {
    const [first, second] = await threeNodes()
    const coordinator = swarm.add('coordinator', { mesh: false, coordinatorExchangeMs: 1e9 }, [first])
    await swarm.settle(first.service.stop())
    await first.network.stop()
    await swarm.settle(coordinator.service.refresh())
    await swarm.settle(coordinator.service.refresh())
    assert.ok(swarm.known(coordinator).has(second.id))
  })

  it('tries the rendezvous again soon when it cannot be reached, and seldom when it could', async () => {
    const node = swarm.add('early')
    let failures = 3
    let calls = 0
    node.network.advertise = async () => {
      calls++
      if (failures-- > 0) throw new DialError('the DHT knows nobody yet')
    }
    await swarm.clock.advanceAsync(120_000)
    assert.equal(calls, 4)
    await swarm.clock.advanceAsync(2_700_000)
    assert.ok(calls > 4)
  })

  it('says whom it could not ask, and why', async () => {
    const [first] = await threeNodes()
    const coordinator = swarm.add('coordinator', { mesh: false, exchangeMs: 1e9 }, [first])
    swarm.internet.cut(coordinator.id, first.id, 'hang')
    const result = await swarm.settle(coordinator.service.refresh())
    assert.equal(result.answered, 0)
    assert.deepEqual(
      result.failures.map(({ peer }) => peer),
      [first.id]
    )
  })

  it('forgets a node that falls silent, everywhere and for good', async () => {
    const [first, second, third] = await threeNodes()
    await swarm.settle(third.service.stop())
    const events: DirectoryEvent[] = []
    first.service.watch((event) => events.push(event))
    for (let sequence = 2; sequence < 12; sequence++) {
      swarm.announce(first, sequence)
      swarm.announce(second, sequence)
      await swarm.clock.advanceAsync(20_000)
    }
    for (const node of [first, second]) assert.deepEqual([...swarm.known(node).keys()].sort(), [first.id, second.id].sort())
    const removed = events.filter((event) => event.type === 'removed').map(({ record }) => record.announcement.peer)
    assert.deepEqual(removed, [third.id], 'it went once, and did not come back by way of the other')
  })

  it('keeps those who live without another signature, and costs no verification', async () => {
    const nodes = await threeNodes()
    const coordinator = swarm.add('coordinator', { mesh: false }, [nodes[0]])
    await swarm.settle(coordinator.service.refresh())
    const before = swarm.peers.map((peer) => peer.verified())
    for (let minute = 0; minute < 10; minute++) {
      await swarm.clock.advanceAsync(60_000)
      for (const peer of swarm.peers) assert.equal(swarm.known(peer).size, 3)
    }
    assert.deepEqual(
      swarm.peers.map((peer) => peer.verified()),
      before
    )
    await swarm.settle(nodes[2].service.stop())
    await nodes[2].network.stop()
    await swarm.clock.advanceAsync(100_000)
    for (const peer of [nodes[0], nodes[1], coordinator]) assert.equal(swarm.known(peer).size, 2)
  })

  it('tells a node of another host with its key', async () => {
    const [first, second, third] = await threeNodes()
    const events: DirectoryEvent[] = []
    first.service.watch((event) => events.push(event))
    assert.equal(second.store.put(swarm.sign(first.identity, 9), third.id, 0, swarm.clock.monotonicMs()), 'changed')
    await swarm.clock.advanceAsync(40_000)
    const [event] = events.filter(({ record }) => record.announcement.peer === first.id)
    assert.ok(event?.type === 'changed' && event.record.announcement.sequence === 9)
  })

  it('spreads the last word of a node that stops', async () => {
    const [first, second, third] = await threeNodes()
    swarm.announce(third, 2, { state: 'draining' })
    await swarm.settle(third.service.flush())
    for (const node of [first, second]) assert.equal(swarm.known(node).get(third.id), 'draining')
    swarm.announce(third, 3, { state: 'offline' })
    await swarm.settle(third.service.flush())
    await swarm.settle(third.service.stop())
    await third.network.stop()
    for (const node of [first, second]) assert.equal(swarm.known(node).get(third.id), 'offline')
    // An old word does not bring it back.
    const stale = swarm.sign(third.identity, 2)
    assert.equal(first.store.put(stale, second.id, 0, swarm.clock.monotonicMs()), 'held')
  })

  it('converges after a partition heals', async () => {
    const nodes = await threeNodes()
    const [first, second, third] = nodes
    swarm.internet.cut(first.id, third.id)
    swarm.internet.cut(second.id, third.id)
    swarm.announce(third, 2, { kvTokens: 7 })
    swarm.announce(first, 2, { kvTokens: 8 })
    await swarm.clock.advanceAsync(20_000)
    assert.equal(first.store.get(model, third.id, swarm.clock.monotonicMs())?.announcement.sequence, 1)
    swarm.internet.heal(first.id, third.id)
    swarm.internet.heal(second.id, third.id)
    await swarm.clock.advanceAsync(35_000)
    for (const node of nodes) {
      const sequences = node.store
        .list(model, swarm.clock.monotonicMs())
        .map(({ announcement }) => [announcement.peer, announcement.sequence])
      assert.deepEqual(
        new Map(sequences as Array<[PeerId, number]>),
        new Map([
          [first.id, 2],
          [second.id, 1],
          [third.id, 2]
        ])
      )
    }
  })

  it('tells twenty nodes of each other, and a piece of news costs each of them little', async () => {
    const first = swarm.add('node 0')
    for (let n = 1; n < 20; n++) swarm.add(`node ${n}`, {}, [first])
    for (const peer of swarm.peers) swarm.announce(peer, 1)
    await swarm.clock.advanceAsync(30_000)
    for (const peer of swarm.peers) assert.equal(swarm.known(peer).size, 20)
    const before = swarm.peers.map((peer) => peer.verified())
    swarm.announce(first, 2)
    await swarm.clock.advanceAsync(30_000)
    for (const [n, peer] of swarm.peers.entries()) {
      assert.equal(peer.store.get(model, first.id, swarm.clock.monotonicMs())?.announcement.sequence, 2)
      assert.ok(peer.verified() - before[n]! <= 1, 'one signature is verified once')
    }
  })

  describe('in a swarm that is larger than its keepers', () => {
    const init = { keepers: 4, askKeepersMs: 20_000 }
    let sequence = 1

    async function pass(seconds: number, living: readonly Peer[] = swarm.peers): Promise<void> {
      for (let passed = 0; passed < seconds; passed += 20) {
        sequence++
        for (const peer of living) if (peer.store.size > 0) swarm.announce(peer, sequence)
        await swarm.clock.advanceAsync(20_000)
      }
    }

    async function largeSwarm(): Promise<Peer[]> {
      const first = swarm.add('node 0', init)
      for (let n = 1; n < 24; n++) swarm.add(`node ${n}`, init, [first])
      for (const peer of swarm.peers) swarm.announce(peer, 1)
      await pass(60)
      return [...swarm.peers].sort((a, b) => (a.id < b.id ? -1 : 1))
    }

    it('the first by id know everybody, and the others know them and little else', async () => {
      const sorted = await largeSwarm()
      for (const [rank, peer] of sorted.entries()) {
        const known = [...swarm.known(peer).keys()]
        if (rank < init.keepers) assert.equal(known.length, 24, `keeper ${rank}`)
        else assert.ok(known.length <= 2 * init.keepers + 1, `${known.length} are known to number ${rank}`)
        for (const keeper of sorted.slice(0, init.keepers)) assert.ok(known.includes(keeper.id))
      }
    })

    it('a coordinator whose contact is no keeper knows everybody by one refresh', async () => {
      const sorted = await largeSwarm()
      const coordinator = swarm.add('coordinator', { ...init, mesh: false }, [sorted.at(-1) as Peer])
      await swarm.settle(coordinator.service.refresh())
      assert.equal(swarm.known(coordinator).size, 24)
    })

    it('news costs those who are no keepers nothing', async () => {
      const sorted = await largeSwarm()
      const before = sorted.map((peer) => peer.verified())
      const [member, bystander] = [sorted.at(-1) as Peer, sorted.at(-2) as Peer]
      swarm.announce(member, ++sequence, { kvTokens: 7 })
      await swarm.clock.advanceAsync(10_000)
      for (const keeper of sorted.slice(0, init.keepers)) {
        assert.equal(keeper.store.get(model, member.id, swarm.clock.monotonicMs())?.announcement.kvTokens, 7)
      }
      assert.equal(bystander.verified(), before[sorted.indexOf(bystander)])
    })

    it('those who live stay known without another signature, and those who do not are forgotten', async () => {
      const sorted = await largeSwarm()
      const coordinator = swarm.add('coordinator', { ...init, mesh: false }, [sorted[0] as Peer])
      await swarm.settle(coordinator.service.refresh())
      for (const peer of swarm.peers) if (peer !== coordinator) swarm.announce(peer, 1_000, { lifeMs: 180_000 })
      await swarm.clock.advanceAsync(60_000)
      const before = sorted.map((peer) => peer.verified())
      const aware = [...sorted.slice(0, init.keepers), coordinator]
      for (let minute = 0; minute < 8; minute++) {
        await swarm.clock.advanceAsync(60_000)
        for (const peer of aware) assert.equal(swarm.known(peer).size, 24, `minute ${minute}`)
      }
      assert.deepEqual(
        sorted.map((peer) => peer.verified()),
        before
      )
      const gone = sorted.at(-1) as Peer
      await swarm.settle(gone.service.stop())
      await gone.network.stop()
      await swarm.clock.advanceAsync(190_000)
      for (const peer of aware) assert.equal(swarm.known(peer).size, 23)
    })

    it('others take the place of keepers that vanish, all at once', async () => {
      const sorted = await largeSwarm()
      const living = sorted.slice(init.keepers)
      for (const gone of sorted.slice(0, init.keepers)) {
        await swarm.settle(gone.service.stop())
        await gone.network.stop()
      }
      await pass(200, living)
      for (const keeper of living.slice(0, init.keepers)) {
        assert.deepEqual([...swarm.known(keeper).keys()].sort(), living.map(({ id }) => id).sort())
      }
    })
  })

  it('lets nobody who lives drop out of the maps, from the first minute on', async () => {
    // Of these names some first ask peers that turn out to be no keepers.
    const first = swarm.add('knot 0')
    for (let n = 1; n < 60; n++) swarm.add(`knot ${n}`, {}, [first])
    for (const peer of swarm.peers) swarm.announce(peer, 1, { lifeMs: 180_000 })
    await swarm.clock.advanceAsync(30_000)
    const keepers = [...swarm.peers].sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, 24)
    const coordinators = [0, 1].map((n) => swarm.add(`coordinator ${n}`, { mesh: false }, [keepers[n] as Peer]))
    for (const coordinator of coordinators) await swarm.settle(coordinator.service.refresh())
    const removed: string[] = []
    for (const [index, peer] of [...keepers, ...coordinators].entries()) {
      peer.service.watch(({ type, record }) => {
        if (type === 'removed') removed.push(`${record.announcement.peer} at ${index} after ${swarm.clock.monotonicMs()} ms`)
      })
    }
    await swarm.clock.advanceAsync(1_200_000)
    assert.deepEqual(removed, [])
    for (const peer of [...keepers, ...coordinators]) assert.equal(swarm.known(peer).size, 60)
  }).timeout(120_000)

  it('closes a channel that rests before the other side loses patience', async () => {
    const ends = new Map<unknown, number>()
    const debug = (message: string, context?: LogContext): void => {
      if (message === 'a directory channel failed') ends.set(context?.['code'], (ends.get(context?.['code']) ?? 0) + 1)
    }
    swarm = new Swarm({ ...silentLogger, debug })
    const first = swarm.add('node 0')
    for (let n = 1; n < 60; n++) swarm.add(`node ${n}`, {}, [first])
    for (const peer of swarm.peers) swarm.announce(peer, 1, { lifeMs: 180_000 })
    await swarm.clock.advanceAsync(900_000)
    assert.deepEqual([...ends.keys()], ['ERR_SKEIN_CHANNEL_CLOSED'], 'none waited until time was up')
    const { keepMs, askKeepersMs } = directoryDefaults
    assert.ok(keepMs >= 3 * (5 / 4) * askKeepersMs, 'those to the usual keepers are kept, though now and then another is asked')
  }).timeout(120_000)

  describe('under attack', () => {
    const push = (records: readonly DirectoryRecord[]): DirectoryRequest => ({ type: 'push', model, records })

    it('contains a flood of garbage: refuses, bans, and serves the others', async () => {
      const [first] = await threeNodes()
      const { channel, identity } = await rawChannel(swarm, 'vandal', first)
      channel.send({ head: Uint8Array.of(0xc1, 1, 2, 3) })
      const refusal = decodeDirectoryResponse((await channel.receive())!.head)
      assert.ok(refusal.type === 'refused' && refusal.code === WireErrorCode.Malformed)
      channel.reset()
      const network = swarm.internet.join(testIdentity('vandal 2').peerId)
      network.learn({ peer: first.id, addresses: [memoryAddress(first.id)], source: 'trusted' })
      const before = first.verified()
      for (let n = 0; n < 20; n++) {
        const next = await network.open(first.id, protocols.directory, { limits: channelLimits.directory })
        next.send({ head: encodeDirectory(push(Array.from({ length: 500 }, () => [0, Uint8Array.of(1, 2, n)]))) })
        await swarm.clock.advanceAsync(10)
        next.reset()
      }
      const banned = await network.open(first.id, protocols.directory, { limits: channelLimits.directory })
      assert.equal((await banned.closed).kind, 'remote')
      assert.equal(first.verified(), before, 'no signature was verified for garbage')
      assert.equal(swarm.known(first).size, 3)
      const coordinator = swarm.add('coordinator', { mesh: false, exchangeMs: 1e9 }, [first])
      assert.equal((await swarm.settle(coordinator.service.refresh())).answered, 1)
      assert.ok(!swarm.known(first).has(identity.peerId))
    })

    it('verifies only so many signatures for a peer that invents others', async () => {
      const rate = { burst: 20, perSecond: 1 }
      const target = swarm.add('target', { pushRate: rate, exchangeMs: 1e9 })
      const { channel } = await rawChannel(swarm, 'sybil', target)
      const invented = Array.from({ length: 60 }, (_, n): DirectoryRecord => [0, swarm.sign(testIdentity(`invented ${n}`), 1).encoded])
      channel.send({ head: encodeDirectory(push(invented)) })
      await swarm.clock.advanceAsync(1_000)
      assert.ok(target.verified() <= 21)
      assert.ok(target.store.size <= 21)
      // The same again costs nothing for those that are known.
      const before = target.verified()
      channel.send({ head: encodeDirectory(push(invented.slice(0, 20))) })
      await swarm.clock.advanceAsync(100)
      assert.equal(target.verified(), before)
      channel.reset()
    })

    it('counts forged signatures against their sender', async () => {
      const [first, second] = await threeNodes()
      const { channel } = await rawChannel(swarm, 'forger', first)
      const record = swarm.sign(second.identity, 99).encoded
      const forged = Array.from({ length: 20 }, (_, n): DirectoryRecord => {
        const bytes = Uint8Array.from(record)
        bytes[bytes.length - 1 - n] = bytes[bytes.length - 1 - n]! ^ 1
        return [0, bytes]
      })
      const before = first.verified()
      channel.send({ head: encodeDirectory(push(forged)) })
      await swarm.clock.advanceAsync(1_000)
      assert.equal(first.verified() - before, 8, 'it stops at the last strike')
      assert.equal(first.store.get(model, second.id, swarm.clock.monotonicMs())?.announcement.sequence, 1)
      channel.reset()
    })

    it('limits requests and channels, and ends those that rest', async () => {
      const [first] = await threeNodes()
      const { channel } = await rawChannel(swarm, 'hasty', first)
      const codes: string[] = []
      for (let id = 1; id < 200; id++) {
        try {
          channel.send({ head: encodeDirectory({ type: 'fetch', id, model, peers: [] }) })
          const frame = await channel.receive()
          if (frame === undefined) break
          const answer = decodeDirectoryResponse(frame.head)
          if (answer.type === 'refused') codes.push(answer.code)
        } catch {
          break
        }
      }
      assert.deepEqual(codes, [WireErrorCode.RateLimited])
      channel.reset()
      const network = swarm.internet.join(testIdentity('squatter').peerId)
      network.learn({ peer: first.id, addresses: [memoryAddress(first.id)], source: 'trusted' })
      const open = await Promise.all(
        Array.from({ length: 6 }, () => network.open(first.id, protocols.directory, { limits: channelLimits.directory }))
      )
      await swarm.clock.advanceAsync(100)
      const closed: string[] = []
      for (const one of open) void one.closed.then(({ kind }) => closed.push(kind))
      await swarm.clock.advanceAsync(0)
      assert.equal(closed.length, 2, 'four at a time')
      await swarm.clock.advanceAsync(401_000)
      assert.equal(closed.length, 6, 'and none for ever')
    })

    it('makes room for newcomers by closing the channel that has rested longest', async () => {
      const first = swarm.add('first', { maxChannels: 3 })
      const kinds: string[] = []
      const open = async (name: string): Promise<void> => {
        const { channel } = await rawChannel(swarm, name, first)
        const at = kinds.push('open') - 1
        void channel.closed.then(({ kind }) => (kinds[at] = kind))
        await swarm.clock.advanceAsync(10)
      }
      for (const name of ['a', 'b', 'c']) await open(name)
      assert.deepEqual(kinds, ['open', 'open', 'open'])
      await open('d')
      assert.deepEqual(kinds, ['remote', 'open', 'open', 'open'])
    })

    it('gives up on a peer that does not answer, or whose pages have no end', async () => {
      const mute = testIdentity('mute')
      const muteNetwork = swarm.internet.join(mute.peerId)
      muteNetwork.handle(protocols.directory, channelLimits.directory, () => {})
      const coordinator = swarm.add('coordinator', { mesh: false, exchangeMs: 1e9, contacts: [mute.peerId] })
      coordinator.network.learn({ peer: mute.peerId, addresses: [memoryAddress(mute.peerId)], source: 'trusted' })
      const result = await swarm.settle(coordinator.service.refresh())
      assert.match(result.failures[0]!.reason, /answer to ask/)

      muteNetwork.handle(protocols.directory, channelLimits.directory, (channel) => {
        const next = testIdentity('some peer').peerId
        const reply = async (): Promise<void> => {
          for (let id = 1; (await channel.receive()) !== undefined; id++)
            channel.send({ head: encodeDirectory({ type: 'records', id, records: [], next }) })
        }
        reply().catch(() => {})
      })
      const endless = await swarm.settle(coordinator.service.refresh())
      assert.ok(endless.failures.some(({ reason }) => reason.includes('do not go forward')))
    })
  })
})
