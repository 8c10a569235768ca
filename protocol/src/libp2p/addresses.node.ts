import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { describeError, InvalidArgumentError } from '../errors.ts'
import { parsePeerId, type PeerId } from '../ids.ts'
import { isPublicAddress, peerOfAddress, peersIn, withoutPeer } from './address-book.node.ts'

/**
 * The peers that bootstrap addresses name, without repeats.
 *
 * @throws InvalidArgumentError when one is no multiaddr, or does not end in `/p2p/<peer id of an Ed25519 key>`
 */
export function peersOfAddresses(addresses: readonly string[]): PeerId[] {
  return [...new Set(addresses.map(peerNamedBy))]
}

/** @throws InvalidArgumentError as {@link peersOfAddresses} does */
export function peerNamedBy(text: string): PeerId {
  const peer = peerOfAddress(checkedAddress(text))
  if (peer !== undefined) return parsePeerId(peer)
  throw new InvalidArgumentError(`${JSON.stringify(text)} names no peer: expected an address that ends in /p2p/12D3KooW...`)
}

/** @throws InvalidArgumentError that names the first one that is no multiaddr, or that names a peer by what is no peer id */
export function requireAddresses(addresses: readonly string[]): void {
  for (const text of addresses) checkedAddress(text)
}

/**
 * Addresses that a peer announces as its own, without the peer's id at their end, which libp2p adds to each.
 *
 * @throws InvalidArgumentError when one is none, or ends in the id of another peer
 */
export function withoutOwnId(addresses: readonly string[], self: PeerId): string[] {
  return addresses.map((text) => {
    const address = checkedAddress(text)
    const named = peerOfAddress(address)
    if (named === undefined || named === self) return withoutPeer(address)
    throw new InvalidArgumentError(
      `the address ${JSON.stringify(text)} cannot be announced: expected one without /p2p/ at its end, or with this peer's own id, ${self}`
    )
  })
}

/**
 * Whether there are addresses and each of them is of this host or a private network, so that the swarm they belong to is
 * one too. "Any address of this host" (0.0.0.0) and names do not tell.
 *
 * @throws InvalidArgumentError when one is no multiaddr
 */
export function areAllPrivate(addresses: readonly string[]): boolean {
  return addresses.length > 0 && addresses.every((text) => isPrivate(text))
}

/** Addresses by how far away they can be dialled: from the internet, from the same network, from this machine alone. */
export function byReach(addresses: readonly string[]): string[] {
  const reach = (text: string): number => {
    const address = parseAddress(text)
    if (isPublicAddress(address)) return 0
    const [first] = address.getComponents()
    return /^(127\.|::1$|localhost$)/.test(first?.value ?? '') ? 2 : 1
  }
  return [...addresses].sort((a, b) => reach(a) - reach(b))
}

function isPrivate(text: string): boolean {
  const address = parseAddress(text)
  const [first] = address.getComponents()
  const literal = first?.name === 'ip4' || first?.name === 'ip6'
  return literal && !['0.0.0.0', '::'].includes(first.value ?? '') && !isPublicAddress(address)
}

/** Looks at the peers that it names as well, relays among them: libp2p would find a slip of the pen when it dials. */
function checkedAddress(text: string): Multiaddr {
  const address = parseAddress(text)
  for (const peer of peersIn(address)) {
    try {
      parsePeerId(peer)
    } catch (error) {
      throw new InvalidArgumentError(`the address ${JSON.stringify(text)} cannot be used: ${describeError(error)}`, { cause: error })
    }
  }
  return address
}

function parseAddress(text: string): Multiaddr {
  try {
    return multiaddr(text)
  } catch (error) {
    const expected = 'expected text such as /ip4/192.0.2.1/tcp/4774/p2p/12D3KooW...'
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no multiaddr: ${expected}`, { cause: error })
  }
}
