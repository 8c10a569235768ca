import assert from 'node:assert/strict'
import { memoryInternet } from '../memory/memory-network.ts'
import type { CancelTimer } from '../ports/clock.ts'
import type { Channel, ChannelLimits, Network } from '../ports/network.ts'
import { seededRandom } from '../ports/seeded-random.ts'
import { systemClock } from '../ports/system/system-clock.node.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { memoryCompliance, peerA, peerB } from '../testing/memory-compliance.node.ts'
import { numbered, numberOf, protocol } from '../testing/network-compliance-setup.ts'
import { networkCompliance } from '../testing/network-compliance.ts'
import { parseLinkProfile } from './link-profile.ts'
import { maxInnerBufferBytes } from './shaped-channel.ts'
import { shapeNetwork } from './shape-network.ts'

const limits: ChannelLimits = { maxHeadBytes: 1024, maxBodyBytes: 2 ** 20, sendBufferBytes: 100_000 }

for (const profile of ['{}', '{"oneWayMs": 2, "jitterMs": 2, "upMbps": 4000, "downMbps": 3000}']) {
  describe(`the network in memory, shaped by ${profile}`, () => {
    const inMemory = memoryCompliance(memoryInternet, (network) =>
      shapeNetwork(network, parseLinkProfile(profile), { clock: systemClock(), random: seededRandom(1) })
    )
    // The channel below holds a frame beyond its bound, at the most.
    const setup = async () => ({ ...(await inMemory.setup()), transportBytes: maxInnerBufferBytes + 2 ** 20 })
    const { teardown } = inMemory
    networkCompliance({ setup, teardown })
  })
}

/** Both ends of a channel through a shaped pair, and when each frame came. */
class Shaped {
  readonly clock: ManualClock
  readonly arrivals: Array<readonly [number: number | 'end' | 'closed', atMs: number]> = []
  readonly a: Network
  readonly b: Network

  constructor(profileA: object, profileB: object = {}, clock = new ManualClock()) {
    this.clock = clock
    const internet = memoryInternet()
    const shaped = (peer: never, profile: object): Network =>
      shapeNetwork(internet.join(peer), parseLinkProfile(JSON.stringify({ connectRoundTrips: 0, ...profile })), {
        clock: this.clock,
        random: seededRandom(7)
      })
    this.a = shaped(peerA, profileA)
    this.b = shaped(peerB, profileB)
    this.a.learn({ peer: peerB, addresses: this.b.addresses(), source: 'trusted' })
  }

  async open(): Promise<Channel> {
    this.b.handle(protocol, limits, (channel) => void this.#read(channel))
    const opening = this.a.open(peerB, protocol, { limits })
    for (let ms = 0; ms < 500; ms++) await this.clock.advanceAsync(1)
    const channel = await opening
    this.startMs = this.clock.monotonicMs()
    return channel
  }

  startMs = 0

  async #read(channel: Channel): Promise<void> {
    const note = (what: number | 'end' | 'closed'): void => void this.arrivals.push([what, this.clock.monotonicMs() - this.startMs])
    try {
      for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) note(numberOf(frame))
      note('end')
    } catch {
      note('closed')
    }
  }
}

/** Whose timers are those of Node.js: whole milliseconds, and some tenths late. */
class LateClock extends ManualClock {
  override setTimer(delayMs: number, callback: () => void): CancelTimer {
    return super.setTimer(Math.ceil(delayMs) + 0.2, callback)
  }
}

/** Arrivals are reckoned to the microsecond and may come half a millisecond early. */
function assertArrivals(shaped: Shaped, expected: ReadonlyArray<readonly [number | 'end' | 'closed', number]>): void {
  assert.deepEqual(
    shaped.arrivals.map(([what]) => what),
    expected.map(([what]) => what)
  )
  for (const [index, [what, atMs]] of expected.entries()) {
    const at = shaped.arrivals[index]![1]
    assert.ok(at >= atMs - 0.51 && at <= atMs + 0.01, `${what} came at ${at} and not at ${atMs} ms`)
  }
}

describe('a shaped network', () => {
  it('delays frames, keeps their order and delays the end as well', async () => {
    const shaped = new Shaped({ oneWayMs: 25 })
    const channel = await shaped.open()
    channel.send(numbered(0))
    await shaped.clock.advanceAsync(10)
    channel.send(numbered(1))
    void channel.end()
    await shaped.clock.advanceAsync(100)
    assertArrivals(shaped, [
      [0, 25],
      [1, 35],
      ['end', 35]
    ])
  })

  it('is right on average with timers that are late', async () => {
    const shaped = new Shaped({ oneWayMs: 5 }, {}, new LateClock())
    const channel = await shaped.open()
    const sentMs: number[] = []
    for (let index = 0; index < 100; index++) {
      sentMs.push(shaped.clock.monotonicMs() - shaped.startMs)
      channel.send(numbered(index))
      await shaped.clock.advanceAsync(20.3)
    }
    const delays = shaped.arrivals.map(([, atMs], index) => atMs - sentMs[index]!)
    assert.equal(delays.length, 100)
    const mean = delays.reduce((sum, ms) => sum + ms) / delays.length
    assert.ok(Math.abs(mean - 5) < 0.02, `the mean delay is ${mean} ms`)
    assert.ok(delays.every((ms) => Math.abs(ms - 5) <= 1))
  })

  it('keeps to its bandwidth, which delays and does not lengthen pauses', async () => {
    // 1 Mbit/s: 125 bytes a millisecond.
    const shaped = new Shaped({ oneWayMs: 10, upMbps: 1 })
    const channel = await shaped.open()
    channel.send(numbered(0, 12_496))
    channel.send(numbered(1, 49_996))
    await shaped.clock.advanceAsync(1000)
    const at = shaped.clock.monotonicMs() - shaped.startMs
    channel.send(numbered(2, 121))
    await shaped.clock.advanceAsync(1000)
    assertArrivals(shaped, [
      [0, 110],
      [1, 510],
      [2, at + 11]
    ])
  })

  it('lets a small frame of another channel pass between the pieces of a large one', async () => {
    const shaped = new Shaped({ upMbps: 1 })
    const bulk = await shaped.open()
    const small = await shaped.a.open(peerB, protocol, { limits })
    bulk.send(numbered(0, 99_996))
    small.send(numbered(1))
    await shaped.clock.advanceAsync(2000)
    assertArrivals(shaped, [
      [1, 131.104],
      [0, 800.032]
    ])
  })

  it('keeps the bandwidth of the line into a process over all who send to it', async () => {
    const shaped = new Shaped({}, { downMbps: 1 })
    const channel = await shaped.open()
    for (let index = 0; index < 4; index++) channel.send(numbered(index, 12_496))
    await shaped.clock.advanceAsync(1000)
    // The first finds a line that was free while it came.
    assertArrivals(shaped, [
      [0, 0],
      [1, 100],
      [2, 200],
      [3, 300]
    ])
  })

  it('holds what would leave in a cut until the first retransmission after it, and then keeps to the bandwidth', async () => {
    const shaped = new Shaped({ oneWayMs: 5, upMbps: 1, cutsMs: [[600, 700]] })
    const channel = await shaped.open()
    await shaped.clock.advanceAsync(97)
    channel.send(numbered(0, 121))
    await shaped.clock.advanceAsync(3)
    channel.send(numbered(1, 12_496))
    await shaped.clock.advanceAsync(110)
    channel.send(numbered(2, 121))
    await shaped.clock.advanceAsync(300)
    // The first has left; TCP tries after 200 ms.
    assertArrivals(shaped, [
      [0, 103],
      [1, 405],
      [2, 406]
    ])
    assert.equal(shaped.a.path(peerB)?.roundTripMs, 10)
  })

  it('counts frames that are under way against the send buffer', async () => {
    const shaped = new Shaped({ oneWayMs: 50 })
    const channel = await shaped.open()
    assert.equal(channel.send(numbered(0, 99_000)), true)
    assert.equal(channel.send(numbered(1, 2000)), false)
    assert.throws(() => channel.send(numbered(2)), { code: 'ERR_SKEIN_CHANNEL_FULL' })
    let writable = false
    void channel.writable().then(() => (writable = true))
    await shaped.clock.advanceAsync(49)
    assert.equal(writable, false)
    await shaped.clock.advanceAsync(1)
    assert.equal(writable, true)
  })

  it('drops what is under way on a reset, of which the other side hears a delay later', async () => {
    const shaped = new Shaped({ oneWayMs: 20 }, { oneWayMs: 20 })
    const channel = await shaped.open()
    channel.send(numbered(0))
    await shaped.clock.advanceAsync(5)
    channel.reset()
    assert.deepEqual(await channel.closed, { kind: 'reset' })
    await shaped.clock.advanceAsync(100)
    assertArrivals(shaped, [['closed', 25]])
    assert.equal(shaped.clock.pendingTimers, 0)
  })

  it('jitters within its bounds, and never lets a frame overtake', async () => {
    const shaped = new Shaped({ oneWayMs: 10, jitterMs: 10 })
    const channel = await shaped.open()
    for (let index = 0; index < 50; index++) {
      channel.send(numbered(index))
      await shaped.clock.advanceAsync(3)
    }
    await shaped.clock.advanceAsync(30)
    assert.deepEqual(
      shaped.arrivals.map(([what]) => what),
      Array.from({ length: 50 }, (_, index) => index)
    )
    const delays = shaped.arrivals.map(([number, at]) => at - 3 * (number as number))
    assert.ok(Math.min(...delays) >= 9.4 && Math.max(...delays) <= 20)
    assert.ok(Math.max(...delays) - Math.min(...delays) > 3)
  })

  it('delays what is lost by a retransmission', async () => {
    const shaped = new Shaped({ oneWayMs: 10, lossShare: 0.2 })
    const channel = await shaped.open()
    for (let index = 0; index < 100; index++) {
      await shaped.clock.advanceAsync(60_000)
      channel.send(numbered(index))
    }
    await shaped.clock.advanceAsync(60_000)
    const delays = shaped.arrivals.map(([number, at]) => Math.round(at - 60_000 * ((number as number) + 1)))
    assert.equal(delays.length, 100)
    // The round trip of 20 ms and 200 ms, which double.
    assert.deepEqual([...new Set(delays)].toSorted((a, b) => a - b).slice(0, 3), [10, 230, 670])
    const lost = delays.filter((ms) => ms > 10).length
    assert.ok(lost > 8 && lost < 35, `${lost} of 100 were lost`)
  })

  it('keeps to the rate that congestion control has where packets are lost', async () => {
    // 1.22 segments of 1448 bytes per round trip of 20 ms and square root of 0.0001: 8.8 bytes a microsecond.
    const shaped = new Shaped({ oneWayMs: 10, lossShare: 1e-4 })
    const channel = await shaped.open()
    for (let index = 0; index < 10; index++) channel.send(numbered(index, 9_996))
    await shaped.clock.advanceAsync(1000)
    assert.equal(shaped.arrivals.length, 10)
    assert.ok(shaped.arrivals.at(-1)![1] >= 10 + 100_000 / 8833 - 0.51)
  })

  it('takes the round trips of a connection, a channel and a ping, with what is said of single peers', async () => {
    const shaped = new Shaped({ oneWayMs: 99, connectRoundTrips: 3, peers: { [peerB]: { oneWayMs: 10 } } })
    shaped.b.handle(protocol, limits, () => {})
    const took = async (work: Promise<unknown>): Promise<number> => {
      const startMs = shaped.clock.monotonicMs()
      let endMs: number | undefined
      void work.then(() => (endMs = shaped.clock.monotonicMs()))
      for (let ms = 0; ms < 300 && endMs === undefined; ms++) await shaped.clock.advanceAsync(1)
      return endMs! - startMs
    }
    assert.equal(await took(shaped.a.open(peerB, protocol, { limits })), 80)
    assert.equal(await took(shaped.a.open(peerB, protocol, { limits })), 20)
    const ping = shaped.a.ping(peerB)
    assert.equal(await took(ping), 20)
    assert.equal(await ping, 20)
    assert.equal(shaped.a.path(peerB)?.roundTripMs, 20)
  })

  it('hears after one round trip that nobody is there, and connects once for all who ask', async () => {
    const shaped = new Shaped({ oneWayMs: 10, connectRoundTrips: 3 })
    shaped.b.handle(protocol, limits, () => {})
    const startMs = shaped.clock.monotonicMs()
    const ends: Array<readonly [string, number]> = []
    const note = (what: string) => (): void => void ends.push([what, shaped.clock.monotonicMs() - startMs])
    const givenUp = new AbortController()
    void shaped.a.open(peerB, protocol, { limits, signal: givenUp.signal }).catch(note('given up'))
    await shaped.clock.advanceAsync(5)
    givenUp.abort()
    // The connection is there below after one round trip, and nobody may use it before it would be.
    await shaped.clock.advanceAsync(20)
    void shaped.a.open(peerB, protocol, { limits }).then(note('opened'))
    await shaped.clock.advanceAsync(60)
    await shaped.b.stop()
    await shaped.clock.advanceAsync(100)
    const lateMs = shaped.clock.monotonicMs() - startMs
    void shaped.a.open(peerB, protocol, { limits }).catch(note('refused'))
    await shaped.clock.advanceAsync(100)
    assert.deepEqual(ends, [
      ['given up', 5],
      ['opened', 80],
      ['refused', lateMs + 20]
    ])
  })
})

describe('a shaped network with a cut', () => {
  const longMs = 60_000
  /** The same cut in both profiles; the times count from the beginning of the shaping. */
  const cutPair = (fromMs: number, toMs: number, oneWay = false): Shaped =>
    new Shaped(
      { oneWayMs: 10, cutsMs: [[fromMs, toMs]], ...(oneWay && { cutsBackMs: [] }) },
      { oneWayMs: 10, cutsMs: oneWay ? [] : [[fromMs, toMs]], cutsBackMs: [[fromMs, toMs]] }
    )

  /** The states of a network's connection to a peer, and when they began. */
  const watch = (shaped: Shaped, network: Network): Array<readonly [string, number]> => {
    const events: Array<readonly [string, number]> = []
    network.subscribe(({ type }) => events.push([type, shaped.clock.monotonicMs()]))
    return events
  }

  it('breaks the connection at both sides after the time of keep-alive, and connects anew afterwards', async () => {
    const shaped = cutPair(1000, longMs)
    const channel = await shaped.open()
    const events = [watch(shaped, shaped.a), watch(shaped, shaped.b)]
    await shaped.clock.advanceAsync(600)
    channel.send(numbered(0))
    const ping = assert.rejects(shaped.a.ping(peerB), { code: 'ERR_SKEIN_DIAL_FAILED', message: /the connection to .* broke/ })
    await shaped.clock.advanceAsync(4800)
    assert.equal(events.flat().length, 0)
    await shaped.clock.advanceAsync(10_200)
    await ping
    assert.deepEqual(await channel.closed, { kind: 'remote' })
    assert.deepEqual(
      shaped.arrivals.map(([what]) => what),
      ['closed']
    )
    assert.deepEqual([shaped.a.path(peerB), shaped.b.path(peerA)], [undefined, undefined])
    for (const own of events) {
      assert.deepEqual(
        own.map(([type]) => type),
        ['disconnected']
      )
      assert.ok(own[0]![1] >= 6000 && own[0]![1] < 16_000)
    }
    await shaped.clock.advanceAsync(longMs)
    await shaped.open()
    for (const own of events)
      assert.deepEqual(
        own.map(([type]) => type),
        ['disconnected', 'connected']
      )
    assert.equal(shaped.a.path(peerB)?.roundTripMs, 20)
    await shaped.a.stop()
    await shaped.b.stop()
    await shaped.clock.advanceAsync(10)
    assert.equal(shaped.clock.pendingTimers, 0)
  })

  it('answers no dial: it is given up after the dial timeout, though the cut may be over by then', async () => {
    const shaped = cutPair(0, 3000)
    shaped.b.handle(protocol, limits, () => {})
    let failedMs: number | undefined
    shaped.a.open(peerB, protocol, { limits }).catch((error: unknown) => {
      assert.match(String(error), /cannot be reached: nobody answers/)
      failedMs = shaped.clock.monotonicMs()
    })
    await shaped.clock.advanceAsync(5999)
    assert.equal(failedMs, undefined)
    await shaped.clock.advanceAsync(1)
    assert.equal(failedMs, 6000)
  })

  it('one way lets through what goes the other way, until the connection breaks', async () => {
    const shaped = cutPair(1000, longMs, true)
    let far: Channel | undefined
    shaped.b.handle(protocol, limits, (channel) => (far = channel))
    const opening = shaped.a.open(peerB, protocol, { limits })
    await shaped.clock.advanceAsync(1000)
    const near = await opening
    near.send(numbered(0))
    far!.send(numbered(1))
    let heard: number | undefined
    void near.receive().then((frame) => (heard = numberOf(frame)))
    const nothing = assert.rejects(far!.receive(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    await shaped.clock.advanceAsync(11)
    assert.equal(heard, 1)
    await shaped.clock.advanceAsync(15_000)
    await nothing
    assert.deepEqual([(await near.closed).kind, (await far!.closed).kind], ['remote', 'remote'])
  })

  it('keeps the news of a peer that has gone', async () => {
    const shaped = cutPair(1000, 3000)
    const channel = await shaped.open()
    const events = watch(shaped, shaped.a)
    await shaped.clock.advanceAsync(1000)
    let closedMs: number | undefined
    void channel.closed.then(() => (closedMs = shaped.clock.monotonicMs()))
    await shaped.b.stop()
    await shaped.clock.advanceAsync(2400)
    assert.deepEqual([closedMs, events], [undefined, []])
    await shaped.clock.advanceAsync(1000)
    // A retransmission comes after 3 s of the cut.
    assertNear(closedMs!, 4010)
    assert.deepEqual(events, [['disconnected', 4000]])
  })

  it('is in the profile that is read again, by the wall clock', async () => {
    const internet = memoryInternet()
    const clock = new ManualClock()
    let newer: string | undefined
    const reread = () => {
      const text = newer
      newer = undefined
      return text === undefined ? undefined : parseLinkProfile(text)
    }
    const a = shapeNetwork(internet.join(peerA), parseLinkProfile('{"connectRoundTrips": 0}'), { clock, random: seededRandom(7), reread })
    const b = internet.join(peerB)
    const arrivedMs: number[] = []
    b.handle(protocol, limits, (channel) => {
      const read = async () => {
        while ((await channel.receive()) !== undefined) arrivedMs.push(clock.monotonicMs())
      }
      void read()
    })
    a.learn({ peer: peerB, addresses: b.addresses(), source: 'trusted' })
    const channel = await a.open(peerB, protocol, { limits })
    newer = JSON.stringify({ connectRoundTrips: 0, startWallMs: clock.wallMs() + 1000, cutsMs: [[500, 600]] })
    for (const number of [0, 1, 2]) {
      await clock.advanceAsync(750)
      channel.send(numbered(number))
    }
    await clock.advanceAsync(1000)
    assert.deepEqual(arrivedMs, [750, 1700, 2250])
    await a.stop()
    assert.equal(clock.pendingTimers, 0)
  })

  function assertNear(ms: number, expected: number): void {
    assert.ok(Math.abs(ms - expected) <= 0.51, `${ms} and not ${expected} ms`)
  }
})
