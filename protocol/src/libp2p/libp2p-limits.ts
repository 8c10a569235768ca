/**
 * Every bound and time of the libp2p host, with its reason. Libp2p's own defaults are for other uses: 32 streams of a
 * protocol, for example, would allow 32 sessions between two peers.
 *
 * @packageDocumentation
 */
const KiB = 1024
const MiB = 1024 * KiB

export const libp2pLimits = {
  /** A session has a stream for its control and one for each link. Both per protocol, direction and connection. */
  maxStreamsPerProtocol: 1024,
  /** Of all protocols on one connection. */
  maxStreamsPerConnection: 4096,
  /**
   * Streams that may arrive before the accepting side has finished its part of the handshake. One more breaks the whole
   * connection, and libp2p's default of 10 did so whenever several sessions were opened at once to a new peer.
   */
  maxEarlyStreams: 1024,
  /** Yamux's smallest window, and what a stalled stream costs at first. */
  initialWindowBytes: 256 * KiB,
  /** Grows to this on streams that are read quickly: 160 Mbit/s at 200 ms of round trip. */
  maxWindowBytes: 4 * MiB,
  /** What a paused stream may buffer; it must hold the whole window, or libp2p resets streams whose reader is slow. */
  maxReadBufferBytes: 4 * MiB + 64 * KiB,
  /**
   * Pieces that go to the muxer at once, so that channels of one connection take turns. Noise seals 65 519 bytes at most, with
   * yamux's header among them: a whole 64 KiB would be sealed in two parts.
   */
  pieceBytes: 63 * KiB,
  /** Pieces of bulk channels: smaller turns. Yamux knows no priorities. */
  bulkPieceBytes: 16 * KiB,
  /** Decoded no further ahead than this; beyond it the stream is paused and the sender's window runs out. */
  readAheadBytes: 64 * KiB,
  /** Connections at once: libp2p refuses more that others dial, and closes idle ones for more that are dialled here. */
  maxConnections: 1024,
  /**
   * Above the first share of them those that have been idle for longest are closed, until the second is left. Between the two and the
   * limit there is room for the newcomers of a second, and above the second share for all channels of the directory.
   */
  idleAboveShare: 7 / 8,
  idleDownToShare: 3 / 4,
  /** Idle for less, a connection may be about to be used: by a dial whose channel comes next, between two requests. */
  idleMinMs: 10_000,
  /** Between two looks at the idle ones, while there are too many connections and none that could be closed. */
  idleLookMs: 1_000,
  /** Per second and host. Several peers often share one address: a household, a test, a university. */
  inboundConnectionThreshold: 256,
  /** Connections whose handshake is under way. */
  maxIncomingPendingConnections: 256,
  /** Above this share of them the address that has the most gives way to newcomers; libp2p would refuse these. */
  pendingGiveWayShare: 3 / 4,
  maxParallelDials: 64,
  maxPeerAddrsToDial: 16,
  dialTimeoutMs: 15_000,
  addressDialTimeoutMs: 6_000,
  inboundUpgradeTimeoutMs: 10_000,
  /** Addresses that `learn` keeps of one peer and source. */
  maxLearnedAddresses: 16,
  /** Peers whose addresses are kept; the ones learned longest ago are forgotten first, trusted ones never. */
  maxLearnedPeers: 16_384,
  /** Between tries to reach the bootstrap peers: doubling from the first to the second, with jitter. */
  bootstrapRetryMinMs: 1_000,
  bootstrapRetryMaxMs: 60_000,
  /** Looks in a row at a bootstrap peer that let a lost connection be: it closes idle ones when it has too many. A quarter of an hour. */
  bootstrapMaxPassed: 15,
  /**
   * Bytes of DHT requests that one peer may send, each stream counted as some: a lookup asks a peer once, in a hundred bytes, and a
   * record of a provider has a thousand. Each of these costs a millisecond.
   */
  dhtRequestBytes: { burst: 64 * KiB, perSecond: 8 * KiB },
  dhtStreamBytes: 256,
  /** Peers whose share is remembered. */
  maxDhtPeers: 4096,
  /** Records of providers that are kept, altogether and of one provider: a node provides its model's topic. */
  maxProviders: 4096,
  maxProvidedByPeer: 8,
  /** What a relay lets through per connection: enough for sessions (libp2p's default is 128 KiB and 2 minutes). */
  relayDataBytes: 1024 * MiB,
  relayDurationMs: 60 * 60_000,
  relayReservations: 128,
  /** Bytes of a ping, and how fast its smoothed round trip follows: a new value counts for an eighth, as in TCP. */
  pingBytes: 32,
  roundTripWeight: 1 / 8
} as const
