import { BlockList, isIPv6 } from 'node:net'
import { type Component, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { InvalidArgumentError } from '../errors.ts'
import { isPeerId, type PeerId } from '../ids.ts'
import type { PeerAddresses } from '../ports/network.ts'
import { libp2pLimits } from './libp2p-limits.ts'

/** Ranges that lead nowhere on the open internet: IANA's special-purpose registries. */
const privateRanges = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3]
] as const) {
  privateRanges.addSubnet(net, bits, 'ipv4')
}
for (const [net, bits] of [
  ['::', 96],
  ['100::', 64],
  ['2001:db8::', 32],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8]
] as const) {
  privateRanges.addSubnet(net, bits, 'ipv6')
}
/** The IPv4 address in `::ffff:a.b.c.d`; also matched by Node's BlockList itself. */
const mapped = /^::ffff:/i

/** Whether an address is a literal IP address of the open internet. Host names are not: they can resolve to anything. */
export function isPublicAddress(address: Multiaddr): boolean {
  const first = address.getComponents()[0]
  if (first?.value === undefined || (first.name !== 'ip4' && first.name !== 'ip6')) return false
  if (first.name === 'ip6' && (!isIPv6(first.value) || mapped.test(first.value))) return false
  return !privateRanges.check(first.value, first.name === 'ip6' ? 'ipv6' : 'ipv4')
}

/** The peer that an address names as the one that is reached there, if it names one. */
export function peerOfAddress(address: Multiaddr): string | undefined {
  const last = address.getComponents().at(-1)
  return last?.name === 'p2p' ? last.value : undefined
}

/** Every peer that an address names, relays on the way included. */
export function peersIn(address: Multiaddr): string[] {
  return address.getComponents().flatMap(({ name, value }) => (name === 'p2p' ? [value ?? ''] : []))
}

/** The text of an address without the peer that is reached there. */
export function withoutPeer(address: Multiaddr): string {
  const components: Component[] = address.getComponents()
  return multiaddr(components.at(-1)?.name === 'p2p' ? components.slice(0, -1) : components).toString()
}

/** The only source of addresses to dial. Text from other peers is filtered here, once. */
export class AddressBook {
  readonly #allowPrivate: boolean
  readonly #trusted = new Map<PeerId, Multiaddr[]>()
  /** In the order in which they were learned, oldest first. */
  readonly #announced = new Map<PeerId, Multiaddr[]>()

  constructor(allowPrivateAddresses: boolean) {
    this.#allowPrivate = allowPrivateAddresses
  }

  /** @throws InvalidArgumentError when a trusted address is no multiaddr; what another peer announces is dropped instead */
  learn(record: PeerAddresses): void {
    const addresses: Multiaddr[] = []
    for (const text of record.addresses.slice(0, libp2pLimits.maxLearnedAddresses)) {
      const address = this.#usable(record, text)
      if (address !== undefined) addresses.push(address)
    }
    if (record.source === 'trusted') {
      this.#trusted.set(record.peer, addresses)
      return
    }
    this.#announced.delete(record.peer)
    this.#announced.set(record.peer, addresses)
    if (this.#announced.size > libp2pLimits.maxLearnedPeers) this.#announced.delete(this.#announced.keys().next().value as PeerId)
  }

  /** Addresses that end in `/p2p/<peer>`, trusted ones first. */
  addressesOf(peer: PeerId): Multiaddr[] {
    return [...(this.#trusted.get(peer) ?? []), ...(this.#announced.get(peer) ?? [])]
  }

  /** Whether libp2p, which has sources of its own (the DHT, identify), may dial an address. */
  mayDial(address: Multiaddr): boolean {
    if (this.#allowPrivate || isPublicAddress(address)) return true
    const text = withoutPeer(address)
    for (const addresses of this.#trusted.values()) if (addresses.some((trusted) => withoutPeer(trusted) === text)) return true
    return false
  }

  #usable(record: PeerAddresses, text: string): Multiaddr | undefined {
    let address: Multiaddr
    try {
      address = multiaddr(text)
    } catch (error) {
      if (record.source === 'announcement') return undefined
      throw new InvalidArgumentError(`${JSON.stringify(text)} is no multiaddr: expected text such as /ip4/192.0.2.1/tcp/4001`, {
        cause: error
      })
    }
    if (!peersIn(address).every(isPeerId)) return undefined
    const named = peerOfAddress(address)
    if (named !== undefined && named !== record.peer) return undefined
    if (record.source === 'announcement' && !this.#allowPrivate && !isPublicAddress(address)) return undefined
    return named === undefined ? address.encapsulate(`/p2p/${record.peer}`) : address
  }
}
