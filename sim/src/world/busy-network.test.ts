import assert from 'node:assert/strict'
import { attachment, type Channel, type ChannelLimits, type Network, type PeerId, protocols } from '@skein/protocol'
import { networkCompliance, seededRandom, testIdentity } from '@skein/protocol/testing'
import { devicePresets } from '../compute/device-presets.ts'
import { HostProcess } from '../compute/host-process.ts'
import { Machine } from '../compute/machine.ts'
import { VirtualClock } from '../kernel/virtual-clock.ts'
import { virtualAddress } from '../net/virtual-host.ts'
import { virtualInternet } from '../net/virtual-network.ts'
import { BusyNetwork } from './busy-network.ts'

const [peerA, peerB, peerC] = ['a', 'b', 'c'].map((name) => testIdentity(name).peerId) as [PeerId, PeerId, PeerId]
const limits: ChannelLimits = { maxHeadBytes: 1024, maxBodyBytes: 2 ** 20, sendBufferBytes: 2 ** 20 }

/** Two peers 5 ms apart on one machine, for whom each message takes `us`. */
function pair(us: number) {
  const clock = new VirtualClock()
  const internet = virtualInternet({
    clock,
    random: seededRandom(1),
    network: {
      latency: { kind: 'constant', oneWayMs: 5 },
      jitterMs: { kind: 'constant', value: 0 },
      lossShare: 0,
      connectRoundTrips: 3
    },
    regions: [{ name: 'here', latitude: 0, longitude: 0 }]
  })
  const machine = new Machine(clock, 2)
  const device = { ...devicePresets['laptop-cpu']!, overheadUsPerMessage: us }
  const join = (peer: PeerId): Network => {
    const network = internet.join({ peer, region: 'here', upBytesPerSecond: 1e9, downBytesPerSecond: 1e9, nat: 'open' })
    return new BusyNetwork(network, new HostProcess({ clock, device, machine }))
  }
  return { clock, internet, a: join(peerA), b: join(peerB) }
}

describe('a network whose messages cost time', () => {
  describe('as any network', () => {
    let over = false
    let running: Promise<void>
    const setup = () => {
      const { clock, internet, a, b } = pair(20)
      over = false
      // Virtual time passes for as long as a test takes that knows nothing of it.
      running = (async () => {
        while (!over) {
          await clock.runToEnd()
          await new Promise<void>((resolve) => void setImmediate(resolve))
        }
      })()
      return Promise.resolve({
        ...{ a, b, clock },
        disconnect: async () => {
          const heal = internet.cut({ from: (peer) => peer === peerA, to: (peer) => peer === peerB })
          await clock.sleep(16_000)
          heal()
          await clock.sleep(16_000)
        },
        silent: { peer: peerC, addresses: [virtualAddress(peerC)], source: 'trusted' as const },
        transportBytes: 6 * 1024 * 1024,
        rendezvous: true
      })
    }
    const teardown = async (): Promise<void> => {
      over = true
      await running
    }
    networkCompliance({ setup, teardown })
  })

  it('charges the receiver for channels and frames, one after another, and not for acknowledgements of activations', async () => {
    const { clock, a, b } = pair(300)
    const atMs: number[] = []
    b.handle(protocols.link, limits, (channel) => {
      void (async (taken: Channel) => {
        for (;;) {
          if ((await taken.receive()) === undefined) return
          atMs.push(clock.monotonicMs())
        }
      })(channel)
    })
    a.learn({ peer: peerB, addresses: b.addresses(), source: 'trusted' })
    const opened = (async () => {
      const channel = await a.open(peerB, protocols.link, { limits })
      const startMs = clock.monotonicMs()
      const head = new Uint8Array(8)
      const body = attachment(new Uint8Array(16))
      channel.send({ head })
      channel.send({ head, body })
      channel.send({ head, body })
      await clock.sleep(50)
      return startMs
    })()
    const startMs = await clock.runUntilSettled(opened, 'the frames')
    // The line takes some hundredths of a millisecond.
    assert.deepEqual(
      atMs.map((ms) => Math.round((ms - startMs) * 10) / 10),
      [5, 5.3, 5.6]
    )
    // Three round trips of the connection and one of the channel, and the opener's own part.
    assert.equal(Math.round(startMs * 10) / 10, 40.3)
  })
})
