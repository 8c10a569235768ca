import { raceAbort } from '../abort.ts'
import type { PeerId, ProtocolId } from '../ids.ts'
import type { AbortOptions, Clock } from '../ports/clock.ts'
import { ForwardingNetwork } from '../ports/forwarding.ts'
import type { Channel, ChannelLimits, Network, OpenOptions, PathInfo } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import { Line, ShapedPath } from './line.ts'
import type { LinkProfile } from './link-profile.ts'
import { maxInnerBufferBytes, ShapedChannel } from './shaped-channel.ts'

export interface ShapingComponents {
  readonly clock: Clock
  readonly random: Random
}

/**
 * Makes a network look slower and farther than it is, in user space: frames are delayed, jittered, kept to a bandwidth and
 * cut at the side that sends them; the line into this process is kept at the side that reads. What the network does by
 * itself, such as rendezvous, is not shaped; new connections, opened channels and pings take the round trips that they would.
 */
export function shapeNetwork(network: Network, profile: LinkProfile, components: ShapingComponents): Network {
  return new ShapedNetwork(network, profile, components)
}

class ShapedNetwork extends ForwardingNetwork {
  readonly #profile: LinkProfile
  readonly #clock: Clock
  readonly #random: Random
  readonly #lines: { readonly up: Line; readonly down: Line }
  readonly #paths = new Map<PeerId, ShapedPath>()
  /** Those that are being made. */
  readonly #connections = new Map<PeerId, Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #startMs: number

  constructor(network: Network, profile: LinkProfile, { clock, random }: ShapingComponents) {
    super(network)
    this.#profile = profile
    this.#clock = clock
    this.#random = random
    this.#startMs = clock.monotonicMs()
    this.#lines = { up: new Line(profile.upMbps), down: new Line(profile.downMbps) }
    // A peer that is gone is forgotten: its path begins anew with its next connection.
    network.subscribe((event) => {
      if (event.type === 'disconnected') this.#paths.delete(event.peer)
    })
  }

  override async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const { signal } = options
    const path = this.#path(peer)
    await this.#connecting(peer, path, signal)
    await this.#sleep(path.afterCuts(this.#clock.monotonicMs() + path.profile.oneWayMs), signal)
    const channel = await this.network.open(peer, protocol, { ...options, limits: innerLimits(options.limits) })
    try {
      await this.#sleep(path.afterCuts(this.#clock.monotonicMs() + path.profile.oneWayMs), signal)
    } catch (error) {
      channel.reset()
      throw error
    }
    return new ShapedChannel(channel, path, this.#clock, options.limits)
  }

  override handle(protocol: ProtocolId, limits: ChannelLimits, accept: (channel: Channel) => void): () => void {
    // What `accept` returns may be a promise that rejects.
    return this.network.handle(protocol, innerLimits(limits), (channel) =>
      accept(new ShapedChannel(channel, this.#path(channel.peer), this.#clock, limits))
    )
  }

  override path(peer: PeerId): PathInfo | undefined {
    const info = this.network.path(peer)
    if (info?.roundTripMs === undefined) return info
    return { ...info, roundTripMs: info.roundTripMs + this.#path(peer).roundTripMs }
  }

  override async ping(peer: PeerId, options: AbortOptions = {}): Promise<number> {
    const path = this.#path(peer)
    await this.#connecting(peer, path, options.signal)
    const below = await this.network.ping(peer, options)
    const nowMs = this.#clock.monotonicMs()
    const endMs = path.afterCuts(nowMs + path.roundTripMs)
    await this.#sleep(endMs, options.signal)
    // As reckoned: that the timer came late is not the line's.
    return below + endMs - nowMs
  }

  override stop(): Promise<void> {
    this.#stopping.abort()
    return this.network.stop()
  }

  #path(peer: PeerId): ShapedPath {
    let path = this.#paths.get(peer)
    if (path === undefined) {
      const profile = this.#profile.peers.get(peer) ?? this.#profile
      path = new ShapedPath(profile, this.#lines, this.#startMs, this.#random.fork(`path to ${peer}`))
      this.#paths.set(peer, path)
    }
    return path
  }

  /** The round trips of a new connection. A peer that is not there refuses it after the first one. */
  async #connecting(peer: PeerId, path: ShapedPath, signal: AbortSignal | undefined): Promise<void> {
    // Of itself, and when it is stopped, the network below says what is wrong.
    if (peer === this.self || this.#stopping.signal.aborted) return
    const under = this.#connections.get(peer)
    if (under === undefined && this.network.path(peer) !== undefined) return
    const connection = under ?? this.#connect(peer, path)
    await raceAbort(connection, signal)
  }

  /** For all who ask at one time: it goes on when one of them gives up. */
  #connect(peer: PeerId, path: ShapedPath): Promise<void> {
    const { connectRoundTrips } = this.#profile
    const tripMs = path.roundTripMs
    const first = Math.min(1, connectRoundTrips)
    const { signal } = this.#stopping
    const connect = async (): Promise<void> => {
      try {
        await this.#sleep(path.afterCuts(this.#clock.monotonicMs() + first * tripMs), signal)
        await this.network.ping(peer, { signal })
        await this.#sleep(path.afterCuts(this.#clock.monotonicMs() + (connectRoundTrips - first) * tripMs), signal)
      } catch (error) {
        if (!signal.aborted) throw error
      }
    }
    const connection = connect().finally(() => this.#connections.delete(peer))
    // Who asked may have given up.
    connection.catch(() => {})
    this.#connections.set(peer, connection)
    return connection
  }

  async #sleep(untilMs: number, signal: AbortSignal | undefined): Promise<void> {
    const ms = untilMs - this.#clock.monotonicMs()
    if (ms > 0) await this.#clock.sleep(ms, signal === undefined ? {} : { signal })
  }
}

function innerLimits(limits: ChannelLimits): ChannelLimits {
  return { ...limits, sendBufferBytes: Math.min(limits.sendBufferBytes, maxInnerBufferBytes) }
}
