import { raceAbort } from '../abort.ts'
import { DialError } from '../errors.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions, CancelTimer, Clock } from '../ports/clock.ts'
import { ForwardingNetwork } from '../ports/forwarding.ts'
import { type Logger, silentLogger } from '../ports/logger.ts'
import type { Channel, ChannelLimits, Network, NetworkEvent, OpenOptions, PathInfo } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import { connectionTimes } from './cuts.ts'
import { Line, ShapedPath, type TimedProfile } from './line.ts'
import type { LinkProfile } from './link-profile.ts'
import { maxInnerBufferBytes, ShapedChannel } from './shaped-channel.ts'
import { ShapedPeer } from './shaped-peer.ts'

export interface ShapingComponents {
  readonly clock: Clock
  readonly random: Random
  /** @default no logging */
  readonly logger?: Logger
  /** Asked four times a second for another profile, undefined while there is none. @default it never changes */
  readonly reread?: () => LinkProfile | undefined
}

const rereadMs = 250

/**
 * Makes a network look slower and farther than it is, in user space: frames are delayed, jittered, kept to a bandwidth and
 * cut at the side that sends them; the line into this process is kept at the side that reads. What the network does by
 * itself, such as rendezvous, is not shaped; new connections, opened channels and pings take the round trips that they would.
 * A cut that lasts breaks the connection at both sides, each of which has the cut in its profile.
 */
export function shapeNetwork(network: Network, profile: LinkProfile, components: ShapingComponents): Network {
  return new ShapedNetwork(network, profile, components)
}

class ShapedNetwork extends ForwardingNetwork {
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #lines: { readonly up: Line; readonly down: Line }
  readonly #peers = new Map<PeerId, ShapedPeer>()
  /** Those that are being made. */
  readonly #connections = new Map<PeerId, Promise<void>>()
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  readonly #stopping = new AbortController()
  /** News of connections that a cut keeps from this side. */
  readonly #held = new Set<CancelTimer>()
  #profile: LinkProfile
  #startMs: number
  #cancelReread: CancelTimer | undefined

  constructor(network: Network, profile: LinkProfile, { clock, random, reread, logger = silentLogger }: ShapingComponents) {
    super(network)
    this.#profile = profile
    this.#clock = clock
    this.#random = random
    this.#logger = logger
    this.#startMs = this.#startOf(profile) ?? clock.monotonicMs()
    this.#lines = { up: new Line(profile.upMbps), down: new Line(profile.downMbps) }
    network.subscribe((event) => this.#happened(event))
    if (reread !== undefined) this.#rereadLater(reread)
  }

  override async open(id: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const { signal } = options
    const peer = this.#peer(id)
    const { path } = peer
    await this.#connecting(id, peer, signal)
    await raceAbort(peer.travel(path.leavesAt(this.#clock.monotonicMs()) + path.oneWayMs), signal)
    const channel = await this.network.open(id, protocol, { ...options, limits: innerLimits(options.limits) })
    try {
      await raceAbort(peer.travel(path.peerSendsAt(this.#clock.monotonicMs()) + path.oneWayMs), signal)
    } catch (error) {
      channel.reset()
      throw error
    }
    return peer.keep(new ShapedChannel(channel, path, this.#clock, options.limits))
  }

  override handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    // What `accept` returns may be a promise that rejects.
    return this.network.handle(protocol, innerLimits(limits), (channel) => {
      const peer = this.#peer(channel.peer)
      peer.heard()
      return accept(peer.keep(new ShapedChannel(channel, peer.path, this.#clock, limits)))
    })
  }

  override path(id: PeerId): PathInfo | undefined {
    const info = this.network.path(id)
    if (info === undefined) return undefined
    const peer = this.#peer(id)
    if (peer.isBroken) return undefined
    return info.roundTripMs === undefined ? info : { ...info, roundTripMs: info.roundTripMs + peer.path.roundTripMs }
  }

  override async ping(id: PeerId, options: AbortOptions = {}): Promise<number> {
    const peer = this.#peer(id)
    await this.#connecting(id, peer, options.signal)
    const { path } = peer
    const below = await this.network.ping(id, options)
    const nowMs = this.#clock.monotonicMs()
    const endMs = path.peerSendsAt(path.leavesAt(nowMs) + path.oneWayMs) + path.oneWayMs
    await raceAbort(peer.travel(endMs), options.signal)
    // As reckoned: that the timer came late is not the line's.
    return below + endMs - nowMs
  }

  override subscribe(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  override stop(): Promise<void> {
    this.#stopping.abort()
    this.#cancelReread?.()
    for (const cancel of this.#held) cancel()
    for (const peer of this.#peers.values()) peer.drop()
    return this.network.stop()
  }

  #peer(id: PeerId): ShapedPeer {
    let peer = this.#peers.get(id)
    if (peer === undefined) {
      const ends = [this.self, id] as const
      const path = new ShapedPath(this.#profileOf(id), this.#clock.monotonicMs(), this.#lines, ends, this.#random.fork(`path to ${id}`))
      const tell = (type: 'connected' | 'disconnected') => () => this.#emit({ type, peer: id })
      peer = new ShapedPeer({ peer: id, path, clock: this.#clock, onBroken: tell('disconnected'), onConnected: tell('connected') })
      this.#peers.set(id, peer)
    }
    return peer
  }

  #profileOf(id: PeerId): TimedProfile {
    return { path: this.#profile.peers.get(id) ?? this.#profile, startMs: this.#startMs }
  }

  /** By the monotonic clock. */
  #startOf({ startWallMs }: LinkProfile): number | undefined {
    return startWallMs === undefined ? undefined : this.#clock.monotonicMs() + startWallMs - this.#clock.wallMs()
  }

  #rereadLater(reread: () => LinkProfile | undefined): void {
    this.#cancelReread = this.#clock.setTimer(rereadMs, () => {
      const profile = reread()
      if (profile !== undefined) this.#reshape(profile)
      this.#rereadLater(reread)
    })
  }

  #reshape(profile: LinkProfile): void {
    this.#profile = profile
    this.#startMs = this.#startOf(profile) ?? this.#startMs
    this.#lines.up.reshape(profile.upMbps)
    this.#lines.down.reshape(profile.downMbps)
    for (const [id, peer] of this.#peers) peer.reshape(this.#profileOf(id))
  }

  /** Something of the network below. */
  #happened(event: NetworkEvent): void {
    if (event.type === 'addresses') return this.#emit(event)
    const nowMs = this.#clock.monotonicMs()
    if (event.type === 'connected') {
      const peer = this.#peer(event.peer)
      // The network below knows of no cuts: such a connection is none until somebody dials.
      if (peer.path.isCut(nowMs)) peer.drop()
      if (peer.isBroken) return
      peer.connected()
      return this.#emit(event)
    }
    // Back already.
    if (this.network.path(event.peer) !== undefined) return
    const peer = this.#peers.get(event.peer)
    const heardMs = peer?.path.peerSendsAt(nowMs) ?? nowMs
    if (heardMs > nowMs) {
      const cancel = this.#clock.setTimer(heardMs - nowMs, () => {
        this.#held.delete(cancel)
        this.#happened(event)
      })
      this.#held.add(cancel)
      return
    }
    // A peer that is gone is forgotten: its path begins anew with its next connection.
    if (peer?.isBroken !== true) this.#emit(event)
    peer?.drop()
    this.#peers.delete(event.peer)
  }

  #emit(event: NetworkEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        this.#logger.warn('a listener of network events failed', { event: event.type }, error)
      }
    }
  }

  /** The round trips of a new connection. A peer that is not there refuses it after the first one. */
  async #connecting(id: PeerId, peer: ShapedPeer, signal: AbortSignal | undefined): Promise<void> {
    // Of itself, and when it is stopped, the network below says what is wrong.
    if (id === this.self || this.#stopping.signal.aborted) return
    const under = this.#connections.get(id)
    if (under === undefined && this.network.path(id) !== undefined && !peer.isBroken) return
    const connection = under ?? this.#connect(id, peer)
    await raceAbort(connection, signal)
  }

  /** For all who ask at one time: it goes on when one of them gives up. */
  #connect(id: PeerId, peer: ShapedPeer): Promise<void> {
    const connection = this.#dial(id, peer).finally(() => this.#connections.delete(id))
    // Who asked may have given up.
    connection.catch(() => {})
    this.#connections.set(id, connection)
    return connection
  }

  async #dial(id: PeerId, peer: ShapedPeer): Promise<void> {
    const { connectRoundTrips } = this.#profile
    const { path } = peer
    const tripMs = path.roundTripMs
    const first = Math.min(1, connectRoundTrips)
    const { signal } = this.#stopping
    const beganMs = this.#clock.monotonicMs()
    /** In a cut nobody answers, and the dial is given up in the end, be the cut over by then or not. */
    const assertAnswered = async (): Promise<void> => {
      if (!path.isCut(this.#clock.monotonicMs())) return
      await this.#sleep(beganMs + connectionTimes.dialTimeoutMs, signal)
      throw new DialError(`${id} cannot be reached: nobody answers`, { detail: { peer: id } })
    }
    try {
      await assertAnswered()
      await this.#sleep(beganMs + first * tripMs, signal)
      await this.network.ping(id, { signal })
      await this.#sleep(this.#clock.monotonicMs() + (connectRoundTrips - first) * tripMs, signal)
      await assertAnswered()
      peer.connected()
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async #sleep(untilMs: number, signal: AbortSignal): Promise<void> {
    const ms = untilMs - this.#clock.monotonicMs()
    if (ms > 0) await this.#clock.sleep(ms, { signal })
  }
}

function innerLimits(limits: ChannelLimits): ChannelLimits {
  return { ...limits, sendBufferBytes: Math.min(limits.sendBufferBytes, maxInnerBufferBytes) }
}
