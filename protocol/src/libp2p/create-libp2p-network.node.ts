import type { Network } from '../ports/network.ts'
import type * as implementation from './libp2p-network.node.ts'
import type { Libp2pNetworkInit } from './libp2p-network.node.ts'

/** Whoever never opens a network, such as a worker, never loads libp2p, which takes half a second. */
const load = (): Promise<typeof implementation> => import('./libp2p-network.node.ts')

/** Begins to load libp2p, to be called before something else is waited for. A failure shows when a network is opened. */
export function preloadLibp2p(): void {
  load().catch(() => {})
}

/**
 * Starts libp2p and gives it the face of the `Network` port.
 *
 * @throws InvalidArgumentError when an address is malformed or none of this machine, or a bootstrap address names no peer;
 * ListenError when an address is taken or may not be listened on
 */
export async function createLibp2pNetwork(init: Libp2pNetworkInit): Promise<Network> {
  const { Libp2pNetwork } = await load()
  return await Libp2pNetwork.start(init)
}
