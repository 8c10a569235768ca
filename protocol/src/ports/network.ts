import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions } from './clock.ts'

/**
 * The bulk of a frame: activations, weights. A modelled one may be smaller than it says, so a size is always asked of `byteLength`
 * and the bytes only of `read`.
 */
export interface Attachment {
  readonly byteLength: number
  /** The bytes themselves; valid until the receiver has handed the frame on. */
  read(): Uint8Array
}

/** Wraps bytes as an attachment without copying them. */
export function attachment(bytes: Uint8Array): Attachment {
  return { byteLength: bytes.byteLength, read: () => bytes }
}

/** One message. Ownership of all its bytes passes on with `send`: the sender must not touch them again. */
export interface Frame {
  /** An encoded message. */
  readonly head: Uint8Array
  /** An empty body arrives as none. */
  readonly body?: Attachment
}

/** Why a channel is closed. `ended`: both sides ended it, and all that the other one sent was received here. `reset`: this side did. `remote`: the other side reset it or its connection broke. */
export interface CloseCause {
  readonly kind: 'ended' | 'reset' | 'remote' | 'error'
  /** Set for `error`: a frame broke its limits, the transport failed. */
  readonly error?: Error
}

/** What a channel takes in and holds back at the most. Sizes are checked before anything is allocated. */
export interface ChannelLimits {
  /** Largest head that is accepted, in bytes. */
  readonly maxHeadBytes: number
  /** Largest body that is accepted, in bytes; 0 when the protocol has no bodies. */
  readonly maxBodyBytes: number
  /** Bytes that may wait to be sent before `send` returns false. */
  readonly sendBufferBytes: number
}

export interface OpenOptions extends AbortOptions {
  readonly limits: ChannelLimits
  /** `bulk` channels give way to `interactive` ones of the same peer as far as the transport can. @default 'interactive' */
  readonly priority?: 'interactive' | 'bulk'
}

/**
 * A reliable, ordered, bidirectional channel of whole frames.
 *
 * `send` returns false when the buffer has reached `sendBufferBytes`: that frame was taken, the next one must wait for
 * `writable`. A call beyond that throws `ChannelFullError`; a call after `end`, `reset` or the close throws
 * `ChannelClosedError`.
 */
export interface Channel {
  readonly peer: PeerId
  readonly protocol: ProtocolId
  send(frame: Frame): boolean
  /** Resolves once `send` will take a frame; each time it is asked. @throws ChannelClosedError, AbortError */
  writable(options?: AbortOptions): Promise<void>
  /**
   * The next frame, or undefined after the other side has ended. Pulling is the backpressure. One call at a time. An
   * aborted call loses no frame. @throws ChannelClosedError after a reset or a broken connection, AbortError
   */
  receive(options?: AbortOptions): Promise<Frame | undefined>
  /** Half-closes: what was sent will be delivered, nothing more follows. It is no acknowledgement. @throws AbortError */
  end(options?: AbortOptions): Promise<void>
  /** Closes both directions at once; frames in flight may be lost. Idempotent. */
  reset(): void
  /** Resolves exactly once and never rejects. */
  readonly closed: Promise<CloseCause>
}

/**
 * Where a peer can be dialled. `addresses` are text multiaddrs; they were either signed by the peer itself (its
 * announcement) or configured by the person who runs this peer (`trusted`).
 */
export interface PeerAddresses {
  readonly peer: PeerId
  readonly addresses: readonly string[]
  readonly source: 'announcement' | 'trusted'
}

export interface PathInfo {
  readonly kind: 'direct' | 'relayed'
  /** Smoothed round trip, when one was measured. */
  readonly roundTripMs?: number
}

export type NetworkEvent =
  | { readonly type: 'connected'; readonly peer: PeerId }
  | { readonly type: 'disconnected'; readonly peer: PeerId }
  /** This peer's own dialable addresses changed. */
  | { readonly type: 'addresses'; readonly addresses: readonly string[] }

/** The only way to other peers: libp2p in production, an in-memory one in tests, a virtual one in the simulator. */
export interface Network {
  readonly self: PeerId
  /** This peer's own dialable addresses, as text multiaddrs that end in `/p2p/<peer id>`. */
  addresses(): readonly string[]
  /** The only source of addresses. A later call for the same peer and source replaces the earlier one. */
  learn(record: PeerAddresses): void
  /** @throws DialError, AbortError; WireError `Unsupported` when the peer does not speak the protocol */
  open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel>
  /** Accepts channels of a protocol; returns the function that stops it. What `accept` throws, or rejects with, resets that channel only. */
  handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void
  /** Undefined when there is no connection. */
  path(peer: PeerId): PathInfo | undefined
  /** Measures the round trip now, in milliseconds. @throws DialError, AbortError */
  ping(peer: PeerId, options?: AbortOptions): Promise<number>
  /** Returns the function that ends the subscription. */
  subscribe(listener: (event: NetworkEvent) => void): () => void
  /** Rendezvous through the DHT: a hint for newcomers, which may be stale. @throws AbortError */
  advertise(topic: string, options?: AbortOptions): Promise<void>
  /** Peers that advertised the topic, with addresses to contact them. */
  find(topic: string, options?: AbortOptions): AsyncIterable<PeerAddresses>
  /** Idempotent. Resets every channel. */
  stop(): Promise<void>
}
