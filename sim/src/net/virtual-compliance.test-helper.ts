import type { Network, PeerId } from '@skein/protocol'
import { type NetworkComplianceSetup, testIdentity } from '@skein/protocol/testing'
import type { VirtualClock } from '../kernel/virtual-clock.ts'
import type { TestWorld } from './test-world.test-helper.ts'
import { virtualAddress } from './virtual-host.ts'

const [peerA, peerB, peerC] = ['a', 'b', 'c'].map((name) => testIdentity(name).peerId) as [PeerId, PeerId, PeerId]

/** Two peers on a virtual internet who know no addresses. @param decorate gives the network under test */
export function virtualPair({ clock, internet }: TestWorld, bytesPerSecond: number, decorate = (network: Network): Network => network) {
  const join = (peer: PeerId): Network =>
    decorate(internet.join({ peer, region: 'here', upBytesPerSecond: bytesPerSecond, downBytesPerSecond: bytesPerSecond, nat: 'open' }))
  return { clock, internet, a: join(peerA), b: join(peerB) }
}

/** The compliance suite's set-up for the virtual network, or for what stands on it. @param newPair called for each set-up */
export function virtualCompliance(newPair: () => ReturnType<typeof virtualPair>) {
  let over = false
  let running: Promise<void>
  return {
    setup: (): Promise<NetworkComplianceSetup> => {
      const { clock, internet, a, b } = newPair()
      over = false
      running = keepRunning(clock, () => over)
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
    },
    teardown: async (): Promise<void> => {
      over = true
      await running
    }
  }
}

/** Lets virtual time pass for as long as a test takes that knows nothing of it. */
async function keepRunning(clock: VirtualClock, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await clock.runToEnd()
    // The test itself goes on in real time.
    await new Promise<void>((resolve) => void setImmediate(resolve))
  }
}
