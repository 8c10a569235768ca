import assert from 'node:assert/strict'
import type { Channel } from '@skein/protocol'
import { attachment } from '@skein/protocol'
import { modelled, TestWorld, testProtocol, wideLimits } from './test-world.test-helper.ts'

const closedCode = { code: 'ERR_SKEIN_CHANNEL_CLOSED' }
const dialFailed = { code: 'ERR_SKEIN_DIAL_FAILED' }

/** Numbers of the frames that a channel gets, as they come. */
function collect(world: TestWorld, channel: Channel): Array<readonly [number, number]> {
  const got: Array<readonly [number, number]> = []
  const read = async (): Promise<void> => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      got.push([frame.head[0]!, world.clock.monotonicMs()])
    }
  }
  read().catch(() => got.push([-1, world.clock.monotonicMs()]))
  return got
}

const numbered = (number: number) => ({ head: Uint8Array.of(number) })

describe('a crash', () => {
  it('of a process resets its connections: the others know after one delay, and a dial is refused', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    let lateMs: number | undefined
    const startMs = world.clock.monotonicMs()
    void near.closed.then(() => (lateMs = world.clock.monotonicMs() - startMs))
    let settled = 0
    const count = (): void => void settled++
    far.receive().then(count, count)
    far.closed.then(count, count)
    world.internet.crash(b.peer)
    assert.equal(far.send(numbered(1)), true)
    far.writable().then(count, count)
    b.network.open(a.peer, testProtocol, { limits: wideLimits }).then(count, count)
    await world.clock.runUntil(startMs + 1000)
    assert.equal(lateMs, 5)
    assert.equal(settled, 0, 'a dead peer went on')
    assert.ok(world.clock.discarded >= 3)
    await assert.rejects(world.run(a.network.ping(b.peer)), dialFailed)
    assert.equal(world.clock.monotonicMs(), startMs + 1010)
    const again = world.join('b')
    await world.open(a, again)
  })

  it('of a host is silence, until the connection monitor gives up, and dials wait for nothing', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near] = await world.open(a, b)
    const startMs = world.clock.monotonicMs()
    world.internet.crash(b.peer, 'host')
    await world.run(near.closed)
    const lateMs = world.clock.monotonicMs() - startMs
    assert.ok(lateMs >= 5000 && lateMs <= 15_000, `noticed after ${lateMs} ms`)
    const dialMs = world.clock.monotonicMs()
    await assert.rejects(world.run(a.network.ping(b.peer)), dialFailed)
    assert.equal(world.clock.monotonicMs() - dialMs, 6000)
  })
})

describe('a freeze', () => {
  it('keeps back what arrives until the peer thaws', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const got = collect(world, far)
    const startMs = world.clock.monotonicMs()
    world.internet.freeze(b.peer, true)
    near.send(numbered(1))
    near.send(numbered(2))
    await world.clock.runUntil(startMs + 2000)
    assert.deepEqual(got, [])
    world.internet.freeze(b.peer, false)
    await world.clock.runUntil(startMs + 60_000)
    assert.deepEqual(got, [
      [1, startMs + 2000],
      [2, startMs + 2000]
    ])
  })

  it('that lasts breaks the connections', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near] = await world.open(a, b)
    world.internet.freeze(b.peer, true)
    assert.equal((await world.run(near.closed)).kind, 'remote')
  })
})

describe('a cut', () => {
  const sides = (world: TestWorld, oneWay: boolean): (() => void) =>
    world.internet.cut({ from: (peer) => peer.endsWith('a'), to: (peer) => peer.endsWith('b'), oneWay })

  it('that is short delays what was sent, to the next retransmission', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const got = collect(world, far)
    const startMs = world.clock.monotonicMs()
    const heal = sides(world, false)
    near.send(numbered(1))
    await world.clock.runUntil(startMs + 1000)
    heal()
    await world.clock.runUntil(startMs + 60_000)
    // Tries at 200, 600 and 1400 ms.
    assert.equal(got.length, 1)
    assert.ok(Math.abs(got[0]![1] - startMs - 1405) < 0.01, `it came after ${got[0]![1] - startMs} ms`)
  })

  it('that lasts breaks both sides, and new dials go through after it', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const heal = sides(world, false)
    await world.run(Promise.all([near.closed, far.closed]))
    await assert.rejects(world.run(b.network.ping(a.peer)), dialFailed)
    heal()
    assert.equal(Math.round(await world.run(b.network.ping(a.peer))), 10)
  })

  it('of one way lets the other pass until the monitors give up', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const [atA, atB] = [collect(world, near), collect(world, far)]
    const startMs = world.clock.monotonicMs()
    sides(world, true)
    near.send(numbered(1))
    far.send(numbered(2))
    await world.clock.runUntil(startMs + 4000)
    assert.deepEqual([atA.map(([number]) => number), atB], [[2], []])
    await world.clock.runUntil(startMs + 20_000)
    assert.deepEqual([atA.at(-1)![0], atB.map(([number]) => number)], [-1, [-1]])
  })

  it('that ends between the two monitors resets the side that had not noticed', async () => {
    const world = new TestWorld({}, { keepAliveIntervalMs: 60_000 }, 3)
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const heal = sides(world, false)
    await world.run(Promise.race([near.closed, far.closed]))
    heal()
    const healedMs = world.clock.monotonicMs()
    await world.run(Promise.all([near.closed, far.closed]))
    assert.ok(world.clock.monotonicMs() - healedMs < 121_000)
  })
})

describe('corruption', () => {
  it('is seen as a broken connection, never as content', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const got = collect(world, far)
    const stop = world.internet.corrupt({ peers: (peer) => peer === a.peer, share: 1 })
    near.send(numbered(1))
    assert.equal((await world.run(near.closed)).kind, 'remote')
    assert.deepEqual(
      got.map(([number]) => number),
      [-1]
    )
    stop()
    const [, again] = await world.open(a, b)
    assert.equal(again.peer, a.peer)
  })
})

describe('links and windows', () => {
  it('follow a change of bandwidth in the middle of a transfer', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a', { up: 10e6 }), world.join('b')]
    const [near, far] = await world.open(a, b)
    const startMs = world.clock.monotonicMs()
    near.send(modelled(10e6))
    await world.clock.runUntil(startMs + 500)
    world.internet.setLink(a.peer, { upBytesPerSecond: 1e6 })
    await world.run(far.receive())
    assert.ok(Math.abs(world.clock.monotonicMs() - startMs - (500 + 5000 + 5)) < 0.01)
  })

  it('stop a sender whose reader stalls, and let it go on when it reads', async () => {
    const world = new TestWorld({}, { windowBytes: 1e6 })
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    for (let index = 0; index < 50; index++) near.send(modelled(1e5))
    await world.clock.runUntil(world.clock.monotonicMs() + 10_000)
    assert.equal(world.transfers.length, 10)
    for (let index = 0; index < 50; index++) await world.run(far.receive())
    assert.equal(world.internet.statsOf(b.peer).receivedBytes, 5e6)
  })

  it('keep the order of a connection under jitter, and lose nothing to loss', async () => {
    const world = new TestWorld({ jitterMs: { kind: 'exponential', mean: 20 }, lossShare: 0.05 })
    const [a, b] = [world.join('a'), world.join('b')]
    const [near, far] = await world.open(a, b)
    const got = collect(world, far)
    const startMs = world.clock.monotonicMs()
    for (let index = 0; index < 200; index++) {
      near.send({ head: Uint8Array.of(index), body: attachment(new Uint8Array(3000)) })
      await world.clock.runUntil(world.clock.monotonicMs() + 50)
    }
    await world.clock.runUntil(startMs + 60_000)
    assert.deepEqual(
      got.map(([number]) => number),
      Array.from({ length: 200 }, (_, index) => index)
    )
    const delays = world.transfers.map(({ arrivedMs, finishMs }) => arrivedMs - finishMs)
    assert.ok(Math.max(...delays) > 200, 'no loss cost a retransmission')
    assert.ok(delays.reduce((sum, ms) => sum + ms, 0) / delays.length > 25)
  })
})

describe('distances of pairs', () => {
  it('are kept by connections, and frames keep their order whatever the jitter', async () => {
    const world = new TestWorld({
      latency: { kind: 'matrix', oneWayMs: [[{ kind: 'empirical', values: [0, 10, 80] }]] },
      jitterMs: { kind: 'exponential', mean: 30 }
    })
    const peers = Array.from({ length: 8 }, (_, index) => world.join(`p${index}`))
    const least = new Set<number>()
    for (const to of peers.slice(1)) {
      const [near, far] = await world.open(peers[0]!, to)
      const roundTripMs = peers[0]!.network.path(to.peer)?.roundTripMs ?? assert.fail()
      least.add(roundTripMs)
      world.transfers.length = 0
      for (let number = 1; number <= 60; number++) near.send(modelled(number))
      for (let number = 1; number <= 60; number++) assert.equal((await world.run(far.receive()))?.body?.byteLength, number)
      const delays = world.transfers.map(({ arrivedMs, finishMs }) => arrivedMs - finishMs)
      assert.ok(Math.min(...delays) >= roundTripMs / 2, `${Math.min(...delays)} of ${roundTripMs}`)
    }
    assert.deepEqual(
      [...least].toSorted((a, b) => a - b),
      [0, 20, 160]
    )
  })
})

describe('connections beyond the limit', () => {
  it('are refused to who dials, as soon as it is heard, and taken again when there is room', async () => {
    const world = new TestWorld({}, { maxConnections: 2 })
    const [full, a, b, late] = [world.join('full'), world.join('a'), world.join('b'), world.join('late')]
    await world.open(a, full)
    await world.open(b, full)
    const startMs = world.clock.monotonicMs()
    await assert.rejects(world.run(late.network.ping(full.peer)), /no room for more connections/)
    assert.equal(Math.round(world.clock.monotonicMs() - startMs), 10, 'a round trip')
    await world.run(a.network.stop())
    await world.clock.runUntil(world.clock.monotonicMs() + 10)
    assert.ok((await world.run(late.network.ping(full.peer))) > 0)
  })

  it('make a host that dials close idle ones, those that others opened before its own, and none that is used', async () => {
    const world = new TestWorld({}, { maxConnections: 3 })
    const host = world.join('host')
    const others = ['used', 'idle', 'own', 'far', 'farther', 'farthest'].map((name) => ({ name, ...world.join(name) }))
    const connected = (): string[] => others.filter(({ peer }) => host.network.path(peer) !== undefined).map(({ name }) => name)
    const open = (name: string) =>
      world.open(
        host,
        others.find((other) => other.name === name)!
      )
    await world.open(others[0]!, host)
    await world.run(others[1]!.network.ping(host.peer))
    await world.run(host.network.ping(others[2]!.peer))
    assert.deepEqual(connected(), ['used', 'idle', 'own'])
    await open('far')
    assert.deepEqual(connected(), ['used', 'own', 'far'])
    await open('farther')
    assert.deepEqual(connected(), ['used', 'far', 'farther'])
    await open('farthest')
    assert.deepEqual(connected(), ['used', 'far', 'farther', 'farthest'])
  })
})

describe('idle connections', () => {
  /** A full host, all of whose places are taken by peers of which each has pinged it once. */
  async function fullOfIdle(maxConnections: number) {
    const world = new TestWorld({}, { maxConnections })
    const host = world.join('host')
    const peers = Array.from({ length: maxConnections }, (_, index) => world.join(`peer${index}`))
    for (const peer of peers) await world.run(peer.network.ping(host.peer))
    const connected = (): number[] => peers.flatMap(({ peer }, index) => (host.network.path(peer) === undefined ? [] : [index]))
    return { world, host, peers, connected }
  }

  it('give way before the limit, so that a host full of them takes newcomers: those that nobody has used for longest', async () => {
    const { world, host, peers, connected } = await fullOfIdle(16)
    const late = world.join('late')
    await assert.rejects(world.run(late.network.ping(host.peer)), /no room/, 'each may be about to be used')
    const [used] = await world.open(peers[0]!, host)
    const [, brief] = await world.open(peers[1]!, host)
    await world.clock.runUntil(5_000)
    brief.reset()
    await world.clock.runUntil(12_000)
    assert.deepEqual(connected(), [0, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 'down to 12, without the next dial')
    assert.ok((await world.run(late.network.ping(host.peer))) > 0)
    assert.equal(peers[2]!.network.path(host.peer), undefined)
    used.send({ head: Uint8Array.of(1) })
    assert.ok(await world.run(peers[2]!.network.ping(host.peer)), 'and who gave way comes again')
  })

  it('give way as soon as they have been idle for long enough, when all were in use', async () => {
    const { world, host, peers, connected } = await fullOfIdle(8)
    const channels = []
    for (const peer of peers) channels.push(await world.open(peer, host))
    await world.clock.runUntil(60_000)
    assert.equal(connected().length, 8)
    for (const [near] of channels.slice(0, 5)) near.reset()
    await world.clock.runUntil(69_900)
    assert.equal(connected().length, 8)
    await world.clock.runUntil(71_000)
    assert.deepEqual(connected(), [2, 3, 4, 5, 6, 7])
  })

  it('are made anew for a channel that is opened while the other side closes them', async () => {
    const { world, host, peers, connected } = await fullOfIdle(8)
    const first = peers[0]!
    // The host looks when its eight connections are ten seconds old, and hears of the channel 5 ms later.
    let gone = false
    first.network.subscribe((event) => (gone ||= event.type === 'disconnected'))
    while (connected().includes(0)) await world.clock.runUntil(world.clock.monotonicMs() + 1)
    assert.equal(gone, false, 'it has not heard of it')
    const [near, far] = await world.open(first, host)
    assert.equal(gone, true)
    near.send({ head: Uint8Array.of(7) })
    assert.deepEqual((await world.run(far.receive()))?.head, Uint8Array.of(7))
  })
})

describe('NAT', () => {
  const kinds = ['open', 'cone', 'symmetric'] as const

  /** Who gets a direct connection, as `dialer>target`. */
  async function directPairs(holePunching: boolean): Promise<string[]> {
    const direct: string[] = []
    for (const from of kinds) {
      for (const to of kinds) {
        const world = new TestWorld({ holePunching })
        world.join('relay')
        const [a, b] = [world.join('a', { nat: from, relay: false }), world.join('b', { nat: to, relay: false })]
        await world.open(a, b)
        const path = a.network.path(b.peer)
        assert.equal(path?.roundTripMs, path?.kind === 'direct' ? 10 : 20, `${from}>${to}`)
        if (path?.kind === 'direct') direct.push(`${from}>${to}`)
      }
    }
    return direct
  }

  it('leaves whoever is not open to a relay, as libp2p without DCUtR does', async () => {
    assert.deepEqual(await directPairs(false), ['open>open', 'cone>open', 'symmetric>open'])
  })

  it('with hole punching is left by those who dial back, and by two cones', async () => {
    assert.deepEqual(await directPairs(true), ['open>open', 'open>cone', 'open>symmetric', 'cone>open', 'cone>cone', 'symmetric>open'])
  })

  it('is not crossed where nobody relays, however many are open', async () => {
    const world = new TestWorld()
    const [a, b] = [world.join('a', { relay: false }), world.join('b', { nat: 'cone' })]
    world.join('c', { relay: false })
    await assert.rejects(world.run(a.network.ping(b.peer)), /behind a NAT and there is no relay/)
    assert.ok((await world.run(b.network.ping(a.peer))) > 0)
  })

  it('makes a relayed connection pay both hops, share the relay, and end with it', async () => {
    const world = new TestWorld({}, { relayBytesPerSecond: 2e6 })
    const relay = world.join('relay', { up: 4e6 })
    const [a, b] = [world.join('a', { nat: 'cone' }), world.join('b', { nat: 'cone' })]
    const [near, far] = await world.open(a, b)
    const startMs = world.clock.monotonicMs()
    near.send(modelled(1e6))
    await world.run(far.receive())
    assert.ok(Math.abs(world.clock.monotonicMs() - startMs - (500 + 10)) < 0.01)
    assert.equal(world.internet.statsOf(relay.peer).relayedBytes, 1e6)
    world.internet.crash(relay.peer)
    await assert.rejects(world.run(far.receive()), closedCode)
    await assert.rejects(world.run(a.network.ping(b.peer)), dialFailed)
  })
})
