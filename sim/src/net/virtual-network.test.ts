import type { Network, PeerId } from '@skein/protocol'
import { networkCompliance, seededRandom, testIdentity } from '@skein/protocol/testing'
import { VirtualClock } from '../kernel/virtual-clock.ts'
import type { ScenarioNetwork } from '../scenario/scenario.ts'
import { virtualAddress } from './virtual-host.ts'
import { virtualInternet } from './virtual-network.ts'

const peers = ['a', 'b', 'c'].map((name) => testIdentity(name).peerId) as [PeerId, PeerId, PeerId]
const quiet: ScenarioNetwork = {
  latency: { kind: 'constant', oneWayMs: 5 },
  jitterMs: { kind: 'constant', value: 0 },
  lossShare: 0,
  connectRoundTrips: 3
}
const regions = [{ name: 'here', latitude: 0, longitude: 0 }]

describe('the virtual network', () => {
  const [peerA, peerB, peerC] = peers

  describe('as any network', () => {
    let clock: VirtualClock
    let over: () => void
    let running: Promise<void>

    const setup = async () => {
      clock = new VirtualClock()
      const internet = virtualInternet({ clock, random: seededRandom(1), network: quiet, regions })
      const [a, b] = [peerA, peerB].map((peer) =>
        internet.join({ peer, region: 'here', upBytesPerSecond: 1e8, downBytesPerSecond: 1e8, nat: 'open' })
      ) as [Network, Network]
      const end = new Promise<void>((resolve) => (over = resolve))
      running = keepRunning(clock, end)
      return {
        a,
        b,
        clock,
        disconnect: async () => {
          const heal = internet.cut({ from: (peer) => peer === peerA, to: (peer) => peer === peerB })
          await clock.sleep(16_000)
          heal()
          await clock.sleep(16_000)
        },
        silent: { peer: peerC, addresses: [virtualAddress(peerC)], source: 'trusted' as const },
        transportBytes: 6 * 1024 * 1024,
        rendezvous: true
      }
    }
    const teardown = async (): Promise<void> => {
      over()
      await running
    }
    networkCompliance({ setup, teardown })
  })
})

/** Lets virtual time pass for as long as a test takes that knows nothing of it. */
async function keepRunning(clock: VirtualClock, end: Promise<void>): Promise<void> {
  let over = false
  void end.then(() => (over = true))
  while (!over) {
    await clock.runToEnd()
    // The test itself goes on in real time.
    await new Promise<void>((resolve) => void setImmediate(resolve))
  }
}
