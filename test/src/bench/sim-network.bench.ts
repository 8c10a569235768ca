import { type Channel, type ChannelLimits, parseProtocolId, type PeerId } from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import { seededRandom } from '@skein/protocol/testing'
import { virtualAddress, VirtualClock, virtualInternet } from '@skein/sim'
import type { Bench } from './bench.ts'
import { summarize } from './stats.ts'

const protocol = parseProtocolId('/skein/bench/1.0')
const limits: ChannelLimits = { maxHeadBytes: 1024, maxBodyBytes: 1 << 24, sendBufferBytes: 1 << 24 }

/** What a frame of the activations of one token is charged for: hidden size 4096 in f16. */
const bodyBytes = 8192

interface Setting {
  readonly name: string
  readonly pairs: number
  readonly framesPerPair: number
  /** Frames that a sender has under way at once. */
  readonly depth: number
  /** All senders through one host's uplink, which they share. */
  readonly shared: boolean
  /** Frames per second of wall time that it must reach. */
  readonly least: number
}

export const bench: Bench = {
  name: 'sim-network',
  about: 'frames per second of wall time through the virtual network alone, in one process',
  async run({ quick, log }) {
    const scale = quick ? 0.02 : 1
    const settings: Setting[] = [
      { name: 'streams: 50 pairs', pairs: 50, framesPerPair: 20_000 * scale, depth: 16, shared: false, least: 300_000 },
      { name: 'ping-pong: 1000 pairs', pairs: 1000, framesPerPair: 600 * scale, depth: 1, shared: false, least: 100_000 },
      { name: 'one uplink: 10 flows', pairs: 10, framesPerPair: 10_000 * scale, depth: 16, shared: true, least: 30_000 }
    ]
    const measures = []
    const targets = []
    for (const setting of settings) {
      log(setting.name)
      const rates: number[] = []
      for (let round = quick ? 0 : -1; round < (quick ? 1 : 3); round++) {
        const rate = await measure(setting)
        if (round >= 0) rates.push(rate)
      }
      const nsPerFrame = rates.map((rate) => 1e6 / rate)
      const measured = summarize(setting.name, 'us', nsPerFrame)
      measures.push(measured)
      targets.push({
        name: `${setting.name}, frames per second`,
        value: 1e6 / measured.median,
        limit: setting.least,
        kind: 'at-least' as const
      })
    }
    return { measures, targets, notes: ['Microseconds of wall time for one frame: sent, carried, received.'] }
  }
}

/** Frames per second of wall time. */
async function measure({ pairs, framesPerPair, depth, shared }: Setting): Promise<number> {
  const clock = new VirtualClock()
  const internet = virtualInternet({
    clock,
    random: seededRandom(1),
    network: {
      latency: { kind: 'constant', oneWayMs: 20 },
      jitterMs: { kind: 'constant', value: 0 },
      lossShare: 0,
      connectRoundTrips: 3,
      holePunching: false
    },
    regions: [{ name: 'here', latitude: 0, longitude: 0 }]
  })
  const join = (name: string) =>
    internet.join({ peer: `12D3KooW${name}` as PeerId, region: 'here', upBytesPerSecond: 12.5e6, downBytesPerSecond: 12.5e6, nat: 'open' })
  const hub = join('hub')
  const opening = Array.from({ length: pairs }, async (_, index) => {
    const [from, to] = [shared ? hub : join(`a${index}`), join(`b${index}`)]
    from.learn({ peer: to.self, addresses: [virtualAddress(to.self)], source: 'trusted' })
    const accepted = new Promise<Channel>((resolve) => to.handle(protocol, limits, resolve))
    const near = await from.open(to.self, protocol, { limits })
    return [near, await accepted] as const
  })
  const channels = await clock.runUntilSettled(Promise.all(opening), 'the channels')
  const wall = systemClock()
  const startMs = wall.monotonicMs()
  const running = channels.flatMap(([near, far]) => [reflect(far, framesPerPair, depth), drive(near, framesPerPair, depth)])
  await clock.runUntilSettled(Promise.all(running), 'the frames')
  return (pairs * framesPerPair) / ((wall.monotonicMs() - startMs) / 1000)
}

const head = new Uint8Array(64)
const body = { byteLength: bodyBytes, read: () => head }

async function drive(channel: Channel, frames: number, depth: number): Promise<void> {
  for (let index = 0; index < frames; index += 2 * depth) {
    for (let each = 0; each < depth; each++) channel.send({ head, body })
    for (let each = 0; each < depth; each++) await channel.receive()
  }
}

async function reflect(channel: Channel, frames: number, depth: number): Promise<void> {
  for (let index = 0; index < frames; index += 2 * depth) {
    for (let each = 0; each < depth; each++) {
      await channel.receive()
      channel.send({ head, body })
    }
  }
}
