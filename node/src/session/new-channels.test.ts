import assert from 'node:assert/strict'
import { type Channel, channelLimits, type Network, protocols } from '@skein/protocol'
import { drainMicrotasks, ManualClock, memoryAddress, memoryInternet, testIdentity } from '@skein/protocol/testing'
import { NewChannels } from './new-channels.ts'

const max = 4
const timeoutMs = 1_000

/** A host that waits for first frames, and peers that open channels to it. */
class Bench {
  readonly clock = new ManualClock()
  readonly shutdown = new AbortController()
  /** By the number of the channel: what it came to. */
  readonly outcomes: string[] = []
  readonly #internet = memoryInternet()
  readonly #host = this.#internet.join(testIdentity(1).peerId)
  readonly #peers = new Map<number, Network>()

  constructor() {
    const channels = new NewChannels(this.clock, max)
    let next = 0
    this.#host.handle(protocols.control, channelLimits.control, (channel) => {
      const number = next++
      channels.firstFrame(channel, timeoutMs, this.shutdown.signal).then(
        ({ head }) => (this.outcomes[number] = `frame ${head[0]}`),
        (error: unknown) => (this.outcomes[number] = (error as { code: string }).code)
      )
    })
  }

  async open(number: number): Promise<Channel> {
    const peer = this.#peers.get(number) ?? this.#internet.join(testIdentity(1 + number).peerId)
    this.#peers.set(number, peer)
    peer.learn({ peer: this.#host.self, addresses: [memoryAddress(this.#host.self)], source: 'trusted' })
    const channel = await peer.open(this.#host.self, protocols.control, { limits: channelLimits.control })
    await drainMicrotasks()
    return channel
  }
}

describe('channels that have said nothing yet', () => {
  it('of a peer that fills the room give way to the first channel of another one, the oldest first', async () => {
    const bench = new Bench()
    for (let count = 0; count < max; count++) await bench.open(1)
    const honest = await bench.open(2)
    honest.send({ head: Uint8Array.of(7) })
    await drainMicrotasks()
    assert.deepEqual(Object.entries(bench.outcomes), [
      ['0', 'ERR_SKEIN_BUSY'],
      [String(max), 'frame 7']
    ])
  })

  it('are refused to the peer that has the most of them', async () => {
    const bench = new Bench()
    for (let count = 0; count < max - 1; count++) await bench.open(1)
    await bench.open(2)
    await bench.open(1)
    await bench.open(1)
    assert.deepEqual(Object.entries(bench.outcomes), [
      ['4', 'ERR_SKEIN_BUSY'],
      ['5', 'ERR_SKEIN_BUSY']
    ])
  })

  it('of many peers with one each give way too', async () => {
    const bench = new Bench()
    for (let peer = 1; peer <= max + 2; peer++) await bench.open(peer)
    assert.deepEqual(Object.entries(bench.outcomes), [
      ['0', 'ERR_SKEIN_BUSY'],
      ['1', 'ERR_SKEIN_BUSY']
    ])
  })

  it('are given up in time, and when the host stops, and leave room and no timer', async () => {
    const bench = new Bench()
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < max; count++) await bench.open(1)
      bench.clock.advance(timeoutMs)
      await drainMicrotasks()
    }
    assert.deepEqual(
      bench.outcomes,
      Array.from({ length: 3 * max }, () => 'ERR_SKEIN_BUSY')
    )
    await bench.open(1)
    bench.shutdown.abort()
    await drainMicrotasks()
    assert.equal(bench.outcomes.at(-1), 'ERR_SKEIN_ABORTED')
    assert.equal(bench.clock.pendingTimers, 0)
  })
})
