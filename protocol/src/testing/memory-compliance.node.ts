import { memoryAddress, memoryInternet } from '../memory/memory-network.ts'
import type { MemoryInternet } from '../memory/memory-network.ts'
import type { Network } from '../ports/network.ts'
import { systemClock } from '../ports/system/system-clock.node.ts'
import type { NetworkComplianceSetup } from './network-compliance-setup.ts'
import { testIdentity } from './test-identity.node.ts'

/** Peers of the compliance suite on a network in memory; the third is silent. */
const [peerA, peerB, peerC] = ['a', 'b', 'c'].map((name) => testIdentity(name).peerId) as [never, never, never]

export { peerA, peerB }

export interface MemoryCompliance {
  setup(): Promise<NetworkComplianceSetup & { readonly internet: MemoryInternet }>
  teardown(): Promise<void>
}

/**
 * The compliance suite's set-up for networks in memory, or for what stands on them.
 *
 * @param newInternet - called for each set-up
 * @param decorate - gives the network under test
 */
export function memoryCompliance(newInternet = memoryInternet, decorate = (network: Network): Network => network): MemoryCompliance {
  let networks: Network[] = []
  return {
    setup: async () => {
      const internet = newInternet()
      const [a, b] = [decorate(internet.join(peerA)), decorate(internet.join(peerB))]
      networks = [a, b]
      internet.cut(peerA, peerC, 'hang')
      return {
        internet,
        a,
        b,
        clock: systemClock(),
        disconnect: () => {
          internet.cut(peerA, peerB)
          internet.heal(peerA, peerB)
        },
        silent: { peer: peerC, addresses: [memoryAddress(peerC)], source: 'trusted' as const },
        transportBytes: 0,
        rendezvous: true
      }
    },
    teardown: async () => {
      await Promise.all(networks.map((network) => network.stop()))
    }
  }
}
