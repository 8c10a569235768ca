/**
 * A virtual internet: regions, up- and downlinks, delays, loss, NAT, cuts, crashes. Each peer joins it and gets an
 * implementation of the `Network` port whose time is virtual.
 *
 * What it models of tcp, noise and yamux: one connection a pair, set up in round trips; a fluid of bytes at max-min fair
 * rates (see `FairSharing`), shared by the connection's channels in turns; windows; order across a whole connection, so
 * that a lost packet delays all its channels; resets; a monitor that breaks connections which no longer answer. What it
 * does not: packets, slow start, queues in routers, headers (bandwidths are what is left for frames).
 *
 * @packageDocumentation
 */
import {
  connectionTimes,
  DialError,
  type Frame,
  InvalidArgumentError,
  type Logger,
  type Network,
  type PeerId,
  type ProtocolId,
  type Random,
  silentLogger
} from '@skein/protocol'
import { idleMarks, libp2pLimits } from '@skein/protocol/node'
import { EventKind } from '../kernel/event-queue.ts'
import type { PeerClock } from '../kernel/peer-clock.ts'
import type { VirtualClock } from '../kernel/virtual-clock.ts'
import type { NatClass, ScenarioNetwork, ScenarioRegion } from '../scenario/scenario.ts'
import { ConnectionEnd, type FramePacket } from './connection.ts'
import { FairSharing, Link } from './fair-share.ts'
import { LatencyTable } from './latency.ts'
import { PairDelays } from './pair-delays.ts'
import { Pipe } from './pipe.ts'
import { Rendezvous } from './rendezvous.ts'
import { findRoute, type Route } from './route.ts'
import { packetNoise } from './packet-noise.ts'
import { VirtualHost } from './virtual-host.ts'

const MiB = 1024 * 1024

/**
 * What the network did with one frame. Times are virtual milliseconds. To be read at once, field by field: it is the frame itself on
 * its way, and whoever keeps it keeps the connection. Its body may count for more than its bytes: `bytes` says what it counted for.
 */
export interface TransferReport {
  readonly from: PeerId
  readonly to: PeerId
  readonly protocol: ProtocolId
  readonly channel: number
  readonly frame: Frame
  readonly bytes: number
  /** When `send` was called. */
  readonly sentMs: number
  /** When its first byte left: the wait before was for earlier frames and for the window. */
  readonly startMs: number
  /** When its last byte left: the time since the start was transfer. */
  readonly finishMs: number
  /** When it arrived: the time since the finish was delay, jitter and retransmission. */
  readonly arrivedMs: number
}

export interface VirtualInternetInit {
  readonly clock: VirtualClock
  readonly random: Random
  readonly network: ScenarioNetwork
  readonly regions: readonly ScenarioRegion[]
  /** Called for every frame that arrives, before its receiver has it. */
  readonly onTransfer?: ((report: TransferReport) => void) | undefined
  /** Bytes of one channel that may be under way or unread: yamux's largest window. @default 4 MiB */
  readonly windowBytes?: number
  /** What a relay lets through per connection and direction. @default Infinity: only its own links limit it */
  readonly relayBytesPerSecond?: number
  /** A relayed connection is ended after this time, as circuit relay v2 does. @default 3_600_000 */
  readonly relayDurationMs?: number
  /** Between two looks of libp2p's connection monitor. @default 10_000 */
  readonly keepAliveIntervalMs?: number
  /** How long such a look waits for an answer. @default 5_000 */
  readonly keepAliveTimeoutMs?: number
  /** @default 6_000 */
  readonly dialTimeoutMs?: number
  /** Of one peer at a time. @default 1_024, as the libp2p host has it */
  readonly maxConnections?: number
  readonly logger?: Logger
}

export interface JoinInit {
  readonly peer: PeerId
  readonly region: string
  readonly upBytesPerSecond: number
  readonly downBytesPerSecond: number
  readonly nat: NatClass
  /** The clock of this incarnation, from `VirtualClock.forPeer`; with it, a crash also ends the peer's timers. */
  readonly incarnation?: PeerClock
  /** Whether it carries others' connections; only an open peer can. @default false: what volunteers run does not */
  readonly relay?: boolean
}

export interface CutInit {
  /** Which peers are on this side; it must depend on the peer alone. */
  readonly from: (peer: PeerId) => boolean
  readonly to: (peer: PeerId) => boolean
  /** Only what goes from `from` to `to` is lost. Acknowledgements are lost with it, so connections break either way. */
  readonly oneWay?: boolean
}

/** Of frames; a relay counts what it passes on as well. */
export interface PeerStats {
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly sentFrames: number
  readonly receivedFrames: number
  readonly relayedBytes: number
}

/** The network of a whole world, and what scenarios do to it. */
export interface VirtualInternet {
  /** A peer's network. A peer id joins once, and again after it crashed or its network was stopped. */
  join(init: JoinInit): Network
  /**
   * A peer is gone at once: nothing that it awaits ever comes, what it had planned is discarded and counted.
   *
   * @param how `process`: its host resets its connections (kill -9). `host`: silence, until the others' monitors give up
   */
  crash(peer: PeerId, how?: 'process' | 'host'): void
  /** Its process stands still or goes on: what is sent to it waits in its host. Others' monitors give up in time. */
  freeze(peer: PeerId, on: boolean): void
  /** Keeps two sets of peers apart. @returns the function that heals it */
  cut(init: CutInit): () => void
  setLink(peer: PeerId, link: { readonly upBytesPerSecond?: number; readonly downBytesPerSecond?: number }): void
  /**
   * Flips bytes of a share of the frames to and from some peers. Noise authenticates what it carries, so the receiver
   * sees a corrupt frame as a broken connection, and never its content. @returns the function that ends it
   */
  corrupt(init: { readonly peers: (peer: PeerId) => boolean; readonly share: number }): () => void
  /** Over all incarnations of the peer. */
  statsOf(peer: PeerId): PeerStats
  /** Connections, counted once. */
  readonly connections: number
}

export function virtualInternet(init: VirtualInternetInit): VirtualInternet {
  return new Hub(init)
}

export type MutableStats = { -readonly [Key in keyof PeerStats]: PeerStats[Key] }

interface HubOptions {
  readonly windowBytes: number
  readonly relayRate: number
  readonly relayDurationMs: number
  readonly keepAliveIntervalMs: number
  readonly keepAliveTimeoutMs: number
  readonly dialTimeoutMs: number
  readonly maxConnections: number
  /** Above so many, idle ones are closed. */
  readonly idleAbove: number
  readonly onTransfer: ((report: TransferReport) => void) | undefined
}

/** Faster than anything, and yet finite, so that no division is by nothing: a terabyte a second. */
const maxRate = 1e6

function linkRate(bytesPerSecond: number, what: string): number {
  if (!(bytesPerSecond > 0)) throw new InvalidArgumentError(`${what} needs a bandwidth above 0 bytes per second, not ${bytesPerSecond}`)
  return Math.min(bytesPerSecond / 1e6, maxRate)
}

/** The inside of a virtual internet; its own files share it. */
export class Hub implements VirtualInternet {
  readonly clock: VirtualClock
  readonly options: HubOptions
  readonly latency: LatencyTable
  readonly delays: PairDelays
  readonly rendezvous: Rendezvous
  readonly hosts = new Map<PeerId, VirtualHost>()
  /** Open peers that carry others' connections, in the order in which they joined. */
  readonly relays = new Set<VirtualHost>()
  readonly #init: VirtualInternetInit
  readonly #sharing = new FairSharing()
  readonly #random: Random
  readonly #ends = new Set<ConnectionEnd>()
  readonly #cuts = new Set<CutInit>()
  readonly #corruptions = new Set<{ readonly peers: (peer: PeerId) => boolean; readonly share: number }>()
  readonly #stats = new Map<PeerId, MutableStats>()
  #lastChannel = 0
  #lastConnection = 0
  /** Size of `#ends` when closed ones were last cleared out. */
  #swept = 64

  constructor(init: VirtualInternetInit) {
    this.#init = init
    this.clock = init.clock
    this.#random = init.random.fork('network')
    this.latency = new LatencyTable(init.network.latency, init.regions)
    this.delays = new PairDelays(this.latency, this.#random.fork('delays'))
    this.rendezvous = new Rendezvous(init.clock)
    const maxConnections = init.maxConnections ?? libp2pLimits.maxConnections
    this.options = {
      windowBytes: init.windowBytes ?? 4 * MiB,
      relayRate: linkRate(init.relayBytesPerSecond ?? Infinity, 'a relay'),
      relayDurationMs: init.relayDurationMs ?? 3_600_000,
      keepAliveIntervalMs: init.keepAliveIntervalMs ?? connectionTimes.keepAliveIntervalMs,
      keepAliveTimeoutMs: init.keepAliveTimeoutMs ?? connectionTimes.keepAliveTimeoutMs,
      dialTimeoutMs: init.dialTimeoutMs ?? connectionTimes.dialTimeoutMs,
      maxConnections,
      idleAbove: idleMarks(maxConnections).above,
      onTransfer: init.onTransfer
    }
  }

  get network(): ScenarioNetwork {
    return this.#init.network
  }

  get connections(): number {
    this.#swept = 0
    this.#forgetClosed()
    return this.#ends.size / 2
  }

  join(init: JoinInit): Network {
    if (this.hosts.get(init.peer)?.answers === true) {
      throw new DialError(`${init.peer} is in this network already: one identity cannot be two hosts`)
    }
    const host = new VirtualHost(this, {
      self: init.peer,
      region: this.latency.indexOf(init.region),
      up: new Link(linkRate(init.upBytesPerSecond, 'an uplink')),
      down: new Link(linkRate(init.downBytesPerSecond, 'a downlink')),
      nat: init.nat,
      clock: init.incarnation ?? this.clock.forPeer(init.peer),
      logger: this.#init.logger ?? silentLogger,
      stats: this.#statsOf(init.peer)
    })
    this.hosts.set(init.peer, host)
    if (init.relay === true && init.nat === 'open') this.relays.add(host)
    return host
  }

  crash(peer: PeerId, how: 'process' | 'host' = 'process'): void {
    const host = this.hosts.get(peer)
    if (host === undefined || !host.alive) return
    host.death = how
    host.clock.kill()
    for (const end of this.#endsThrough(host)) {
      if (end.host === host) {
        end.out.close()
        end.isOpen = false
        if (how === 'process') end.tellOther()
        else end.other.review()
      }
    }
    this.relayGone(host, how)
    host.connections.clear()
    this.#forgetClosed()
  }

  /** A peer no longer carries others' connections: those who went through it are reset, or notice in time. */
  relayGone(host: VirtualHost, how: 'process' | 'host'): void {
    this.relays.delete(host)
    for (const end of [...host.relayed].flatMap((near) => [near, near.other])) {
      if (!end.isOpen) continue
      if (how === 'host') end.review()
      else end.host.clock.soon(() => end.fail(), EventKind.connection)
    }
  }

  freeze(peer: PeerId, on: boolean): void {
    const host = this.hosts.get(peer)
    if (host === undefined || !host.alive) return
    if (on) host.clock.freeze()
    else host.clock.thaw()
    for (const end of this.#endsThrough(host)) if (end.host !== host) end.review()
  }

  cut(init: CutInit): () => void {
    this.#cuts.add(init)
    this.#reviewAll()
    return () => {
      if (this.#cuts.delete(init)) this.#reviewAll()
    }
  }

  setLink(peer: PeerId, link: { readonly upBytesPerSecond?: number; readonly downBytesPerSecond?: number }): void {
    const host = this.hosts.get(peer)
    if (host === undefined) throw new InvalidArgumentError(`there is no peer ${peer} in this network`)
    if (link.upBytesPerSecond !== undefined) host.up.rate = linkRate(link.upBytesPerSecond, 'an uplink')
    if (link.downBytesPerSecond !== undefined) host.down.rate = linkRate(link.downBytesPerSecond, 'a downlink')
    this.#sharing.share([host.up, host.down], this.clock.nowUs)
  }

  corrupt(init: { readonly peers: (peer: PeerId) => boolean; readonly share: number }): () => void {
    this.#corruptions.add(init)
    return () => void this.#corruptions.delete(init)
  }

  statsOf(peer: PeerId): PeerStats {
    return { ...this.#statsOf(peer) }
  }

  nextChannel(): number {
    return ++this.#lastChannel
  }

  /** What a lookup in the DHT takes: some three hops, one after the other, to peers anywhere. */
  lookupMs(host: VirtualHost): number {
    return (3 * this.latency.meanRoundTripUs(host.region)) / 1000
  }

  drawKeepAliveUs(): number {
    const { keepAliveIntervalMs, keepAliveTimeoutMs } = this.options
    return Math.round(keepAliveTimeoutMs * 1000 + this.#random.float() * keepAliveIntervalMs * 1000)
  }

  drawsCorruption(a: VirtualHost, b: VirtualHost): boolean {
    if (this.#corruptions.size === 0) return false
    let corrupt = false
    for (const { peers, share } of this.#corruptions) {
      if ((peers(a.self) || peers(b.self)) && this.#random.float() < share) corrupt = true
    }
    return corrupt
  }

  /** Whether what `from` sends to `to` is lost, there or at their relay. */
  isCut(from: ConnectionEnd, to: ConnectionEnd): boolean {
    return this.#isRouteCut(from.host, to.host, from.path.relay)
  }

  /** Counts and reports a frame that has come to its end. */
  frameArrived(from: ConnectionEnd, packet: FramePacket): void {
    const { bytes } = packet
    const [sent, received] = [from.host.stats, from.other.host.stats]
    sent.sentBytes += bytes
    sent.sentFrames++
    received.receivedBytes += bytes
    received.receivedFrames++
    if (from.path.relay !== undefined) from.path.relay.stats.relayedBytes += bytes
    packet.arrivedUs = this.clock.nowUs
    this.options.onTransfer?.(packet)
  }

  /** Sets up a connection. @throws DialError */
  dial(dialer: VirtualHost, peer: PeerId): Promise<ConnectionEnd> {
    return new Promise((resolve, reject) => {
      const { clock } = this
      const fail = (why: string): void => {
        clock.cancel(timeout)
        dialer.dialFailures.delete(fail)
        reject(new DialError(`${peer} cannot be reached: ${why}`, { detail: { peer } }))
      }
      dialer.dialFailures.add(fail)
      const timeoutUs = clock.nowUs + Math.round(this.options.dialTimeoutMs * 1000)
      const timeout = clock.schedule(timeoutUs, EventKind.connection, () => fail('nobody answers'), dialer.clock)
      const target = this.hosts.get(peer)
      if (target === undefined || target.death === 'host') return
      const route = findRoute(this, dialer, target)
      if (route === undefined) {
        const atUs = clock.nowUs + this.latency.meanRoundTripUs(dialer.region)
        clock.schedule(atUs, EventKind.connection, () => fail('it is behind a NAT and there is no relay'), dialer.clock)
        return
      }
      if (this.#isRouteCut(dialer, target, route.relay) || this.#isRouteCut(target, dialer, route.relay)) return
      if (!target.answers || target.isFull) {
        const why = target.answers ? 'it has no room for more connections' : 'it refuses connections'
        clock.schedule(clock.nowUs + route.roundTripUs, EventKind.connection, () => fail(why), dialer.clock)
        return
      }
      const established = (): void => {
        if (!dialer.answers || timeout.run === undefined) return
        const end = this.#establish(dialer, target, route)
        if (end === undefined) return
        clock.cancel(timeout)
        dialer.dialFailures.delete(fail)
        dialer.clock.soon(() => {
          if (end.isOpen) dialer.connected(end)
          resolve(end)
        }, EventKind.connection)
      }
      clock.schedule(clock.nowUs + route.setUpUs, EventKind.connection, established, target.clock)
    })
  }

  /** The connection comes to be, at the target's side. Undefined when the way was cut in the meantime. */
  #establish(dialer: VirtualHost, target: VirtualHost, route: Route): ConnectionEnd | undefined {
    if (!target.answers || (route.relay !== undefined && !route.relay.answers)) return undefined
    if (this.#isRouteCut(dialer, target, route.relay) || this.#isRouteCut(target, dialer, route.relay)) return undefined
    const there = target.connections.get(dialer.self)
    const existing = dialer.connections.get(target.self)
    // The other side dialled at the same time.
    if (existing !== undefined && existing.other === there) return existing
    // Left over from an earlier incarnation, or half of one that broke.
    there?.fail()
    existing?.fail()
    const name = ++this.#lastConnection
    const near = this.#end(dialer, target, route, route.forwardUs, name, true)
    const far = this.#end(target, dialer, route, route.backwardUs, name, false)
    near.other = far
    far.other = near
    dialer.connections.set(target.self, near)
    target.connections.set(dialer.self, far)
    this.#forgetClosed()
    this.#ends.add(near).add(far)
    route.relay?.relayed.add(near)
    target.connected(far)
    if (route.relay !== undefined) this.clock.timer(this.options.relayDurationMs, dialer.clock, () => near.fail())
    return near
  }

  #end(from: VirtualHost, to: VirtualHost, route: Route, delayUs: number, name: number, hasDialled: boolean): ConnectionEnd {
    const { relay } = route
    const { network } = this.#init
    const noise = packetNoise(network, route.roundTripUs, () => this.#random.fork(`connection ${name} from ${from.clock.number}`))
    const pipe = new Pipe({
      clock: this.clock,
      sharing: this.#sharing,
      links: relay === undefined ? [from.up, to.down] : [from.up, relay.down, relay.up, to.down],
      delayUs,
      maxRate: Math.min(noise.maxRate, relay === undefined ? maxRate : this.options.relayRate),
      sender: from.clock.number,
      receiver: to.clock,
      extraUs: noise.extraUs
    })
    return new ConnectionEnd(this, from, pipe, { kind: relay === undefined ? 'direct' : 'relayed', relay, hasDialled }, route.roundTripUs)
  }

  #isRouteCut(from: VirtualHost, to: VirtualHost, relay: VirtualHost | undefined): boolean {
    if (relay !== undefined && (!relay.answers || relay.clock.frozen)) return true
    if (this.#cuts.size === 0) return false
    if (relay !== undefined) return this.#isHopCut(from.self, relay.self) || this.#isHopCut(relay.self, to.self)
    return this.#isHopCut(from.self, to.self)
  }

  #isHopCut(from: PeerId, to: PeerId): boolean {
    for (const cut of this.#cuts) {
      if (cut.from(from) && cut.to(to)) return true
      if (cut.oneWay !== true && cut.from(to) && cut.to(from)) return true
    }
    return false
  }

  #reviewAll(): void {
    this.#forgetClosed()
    // First all pipes stop or go on, then each side judges the other.
    for (const end of [...this.#ends]) end.review()
    for (const end of [...this.#ends]) end.review()
  }

  /** Both sides of every connection that begins, ends or passes there. */
  #endsThrough(host: VirtualHost): ConnectionEnd[] {
    const near = [...host.connections.values(), ...host.relayed]
    return near.flatMap((end) => [end, end.other])
  }

  /** Connections of which neither side is left. */
  #forgetClosed(): void {
    if (this.#ends.size < 2 * this.#swept) return
    for (const end of this.#ends) if (!end.isOpen && !end.other.isOpen) this.#ends.delete(end)
    this.#swept = Math.max(64, this.#ends.size)
  }

  #statsOf(peer: PeerId): MutableStats {
    let stats = this.#stats.get(peer)
    if (stats === undefined) {
      stats = { sentBytes: 0, receivedBytes: 0, sentFrames: 0, receivedFrames: 0, relayedBytes: 0 }
      this.#stats.set(peer, stats)
    }
    return stats
  }
}
