import type { Network } from '../ports/network.ts'
import type * as implementation from './libp2p-network.node.ts'
import type { Libp2pNetworkInit } from './libp2p-network.node.ts'

/**
 * Loads the code of libp2p, which takes half a second: to be called while something else is waited for. Whoever never opens
 * a network, such as a worker, never loads it.
 */
export function loadLibp2p(): Promise<typeof implementation> {
  return import('./libp2p-network.node.ts')
}

/**
 * Starts libp2p and gives it the face of the `Network` port.
 *
 * @throws InvalidArgumentError when an address is malformed or cannot be listened on, or a bootstrap address names no peer
 */
export async function createLibp2pNetwork(init: Libp2pNetworkInit): Promise<Network> {
  const { Libp2pNetwork } = await loadLibp2p()
  return await Libp2pNetwork.start(init)
}
