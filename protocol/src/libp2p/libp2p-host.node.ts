import './promise-with-resolvers.ts'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { ConnectionEncrypter, Libp2p, PeerId as Libp2pPeerId } from '@libp2p/interface'
import { kadDHT, passthroughMapper, removePrivateAddressesMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p, type Libp2pOptions } from 'libp2p'
import { isPeerId, type PeerId } from '../ids.ts'
import type { Clock } from '../ports/clock.ts'
import type { KeyIdentity } from '../ports/system/ed25519.node.ts'
import type { AddressBook } from './address-book.node.ts'
import { boundedDht } from './bounded-dht.node.ts'
import { libp2pLimits } from './libp2p-limits.ts'
import { type ListenFailure, startError, watchListening } from './listen-error.node.ts'
import { PendingConnections } from './pending-connections.ts'
import { decodeWithoutThrowing, joinWrites } from './transport-tuning.node.ts'

/** What the libp2p host itself is made from. */
export interface Libp2pHostInit {
  readonly identity: KeyIdentity
  /** Multiaddrs to listen on, such as `/ip4/0.0.0.0/tcp/4001`; none for a peer that only dials. */
  readonly listen: readonly string[]
  /** Multiaddrs to announce in place of those that libp2p finds out. */
  readonly announce?: readonly string[]
  /** `server` answers queries and needs an address that others can dial; `off` has no DHT: advertise and find do nothing. */
  readonly dhtMode: 'client' | 'server' | 'off'
  /**
   * `dial` reaches others through relays. `client` is reached through them as well: it looks for relays by walking the DHT,
   * again and again while it has found too few, which costs a small swarm dearly. `server` relays for others. @default 'off'
   */
  readonly relay?: 'dial' | 'client' | 'server' | 'off'
  /** For LAN and private swarms: addresses of private ranges from announcements and the DHT may be dialled. */
  readonly allowPrivateAddresses: boolean
  readonly clock: Clock
  /** Connections at once. @default 1_024 */
  readonly maxConnections?: number
}

/**
 * Starts libp2p: tcp, noise, yamux, identify, ping, and as asked the DHT and relays.
 *
 * @throws ListenError when an address is taken or may not be opened, InvalidArgumentError when none such can be listened on
 */
export async function startLibp2pHost(init: Libp2pHostInit, book: AddressBook, onOwnKey: () => void): Promise<Libp2p> {
  const relay = init.relay ?? 'off'
  const failures: ListenFailure[] = []
  const transports = relay === 'off' ? [tcp()] : [tcp(), circuitRelayTransport()]
  try {
    return await createLibp2p({
      privateKey: privateKeyFromRaw(Uint8Array.from([...init.identity.exportSeed(), ...init.identity.publicKey])),
      addresses: {
        listen: relay === 'client' ? [...init.listen, '/p2p-circuit'] : [...init.listen],
        announce: [...(init.announce ?? [])]
      },
      transports: transports.map((transport) => watchListening(transport, (failure) => failures.push(failure))),
      connectionEncrypters: [watchedNoise(init.identity.peerId, onOwnKey)],
      streamMuxers: [muxer()],
      connectionManager: connectionManager(init.maxConnections ?? libp2pLimits.maxConnections),
      connectionGater: gater(book),
      services: services(init, relay)
    })
  } catch (error) {
    throw startError(init.listen, failures, error)
  }
}

/**
 * Peers of skein have Ed25519 keys: others have no name in its messages, and libp2p would not compare their ids when it dials. Those
 * that open connections and go no further do not keep the others out.
 */
function gater(book: AddressBook): NonNullable<Libp2pOptions['connectionGater']> {
  const isForeign = (peer: Libp2pPeerId): boolean => !isPeerId(peer.toString())
  const { maxIncomingPendingConnections, pendingGiveWayShare } = libp2pLimits
  const pending = new PendingConnections(Math.floor(maxIncomingPendingConnections * pendingGiveWayShare))
  return {
    denyDialMultiaddr: (address) => !book.mayDial(address),
    // Nobody is denied by these two: libp2p says by them when a handshake begins, and when it is done.
    denyInboundConnection: (connection) => {
      pending.begin(connection)
      return false
    },
    denyInboundUpgradedConnection: (_peer, connection) => {
      pending.end(connection)
      return false
    },
    denyInboundEncryptedConnection: isForeign,
    denyOutboundEncryptedConnection: isForeign
  }
}

function muxer(): ReturnType<typeof yamux> {
  return yamux({
    maxInboundStreams: libp2pLimits.maxStreamsPerConnection,
    maxOutboundStreams: libp2pLimits.maxStreamsPerConnection,
    maxEarlyStreams: libp2pLimits.maxEarlyStreams,
    streamOptions: {
      initialStreamWindowSize: libp2pLimits.initialWindowBytes,
      maxStreamWindowSize: libp2pLimits.maxWindowBytes,
      maxReadBufferLength: libp2pLimits.maxReadBufferBytes
    }
  })
}

function connectionManager(maxConnections: number): Libp2pOptions['connectionManager'] {
  return {
    maxConnections,
    inboundConnectionThreshold: libp2pLimits.inboundConnectionThreshold,
    maxIncomingPendingConnections: libp2pLimits.maxIncomingPendingConnections,
    maxParallelDials: libp2pLimits.maxParallelDials,
    maxPeerAddrsToDial: libp2pLimits.maxPeerAddrsToDial,
    dialTimeout: libp2pLimits.dialTimeoutMs,
    addressDialTimeout: libp2pLimits.addressDialTimeoutMs,
    inboundUpgradeTimeout: libp2pLimits.inboundUpgradeTimeoutMs
  }
}

function services(init: Libp2pHostInit, relay: 'dial' | 'client' | 'server' | 'off'): NonNullable<Libp2pOptions['services']> {
  const factories = {
    identify: identify({ runOnLimitedConnection: true }),
    ping: ping({ runOnLimitedConnection: true, maxInboundStreams: 16, maxOutboundStreams: 16 }),
    ...(init.dhtMode === 'off' ? {} : { dht: dht(init) }),
    ...(relay === 'server' ? { relay: relayServer() } : {})
  }
  // The types want every service to start from the base components alone; the DHT asks for ping, which stands beside it.
  return factories as unknown as NonNullable<Libp2pOptions['services']>
}

/** A DHT of skein's own, apart from that of IPFS. The mode is always said: libp2p would guess it from the addresses it sees. */
function dht(init: Libp2pHostInit): ReturnType<typeof kadDHT> {
  const make = kadDHT({
    protocol: '/skein/kad/1.0.0',
    clientMode: init.dhtMode === 'client',
    peerInfoMapper: init.allowPrivateAddresses ? passthroughMapper : removePrivateAddressesMapper
  })
  return boundedDht(make, init.clock)
}

function relayServer(): ReturnType<typeof circuitRelayServer> {
  return circuitRelayServer({
    reservations: {
      maxReservations: libp2pLimits.relayReservations,
      defaultDataLimit: BigInt(libp2pLimits.relayDataBytes),
      defaultDurationLimit: libp2pLimits.relayDurationMs
    }
  })
}

/**
 * Noise that spends less on small messages, and that notices another host with this host's own key: libp2p refuses such a
 * connection itself, but tells nobody.
 */
function watchedNoise(self: PeerId, onOwnKey: () => void): NonNullable<Libp2pOptions['connectionEncrypters']>[number] {
  return (components) => {
    const encrypter = noise()(components) as ConnectionEncrypter
    const watch = <R extends { remotePeer: Libp2pPeerId; connection: object }>(secured: R): R => {
      if (secured.remotePeer.toString() === self) onOwnKey()
      decodeWithoutThrowing(secured.connection)
      return secured
    }
    const inbound = encrypter.secureInbound.bind(encrypter)
    const outbound = encrypter.secureOutbound.bind(encrypter)
    encrypter.secureInbound = async (connection, options) => {
      joinWrites(connection)
      return watch(await inbound(connection, options))
    }
    encrypter.secureOutbound = async (connection, options) => {
      joinWrites(connection)
      return watch(await outbound(connection, options))
    }
    return encrypter
  }
}
