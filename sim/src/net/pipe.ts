import type { Event, EventOwner } from '../kernel/event-queue.ts'
import { EventKind } from '../kernel/event-queue.ts'
import type { VirtualClock } from '../kernel/virtual-clock.ts'
import type { FairSharing, Link, SharingPipe } from './fair-share.ts'
import type { Packet, PacketPipe, SendStream } from './send-stream.ts'

/** Packets whose arrival is planned ahead while nothing disturbs their pipe. */
const maxPlanned = 16

/** The payload of one packet of TCP over Ethernet. */
const expressBytes = 1448

export interface PipeInit {
  readonly clock: VirtualClock
  readonly sharing: FairSharing
  /** What it goes through: an uplink and a downlink, and those of a relay between them. */
  readonly links: readonly Link[]
  readonly delayUs: number
  /** Bytes per microsecond that it never passes, whatever the links allow. */
  readonly maxRate: number
  /** The sender's number, which orders events of one instant. */
  readonly sender: number
  readonly receiver: EventOwner
  /** Draws what jitter and loss add to a packet's delay, in whole microseconds. */
  extraUs(bytes: number): number
}

interface Share {
  readonly stream: SendStream
  readonly packet: Packet
  /** Where the pipe's virtual time stands when the packet has left. */
  readonly goal: number
}

/**
 * One direction of a connection: a fluid at the rate that its links give it. Several channels share it as yamux's turns do;
 * the packets of one go one after the other, and what arrives keeps the order in which it left.
 *
 * While one channel alone has something to send, every departure and arrival is known in closed form from the rate, so that
 * a frame costs one event, its arrival. When others join in, the pipe shares by generalized processor sharing (Parekh and
 * Gallager 1993), with an event for each departure.
 */
export class Pipe implements PacketPipe, SharingPipe {
  readonly links: readonly Link[]
  readonly maxRate: number
  readonly delayUs: number
  readonly #clock: VirtualClock
  readonly #init: PipeInit
  readonly #streams = new Set<SendStream>()
  /** Bytes per microsecond. */
  rate = 0
  /** Used by `FairSharing`. */
  epoch = 0
  fairRate = 0
  /** It has joined its links and will have something to send. */
  isStarting = false
  #active = false
  #blocked = false
  #closed = false
  /** The arrival of the last packet that was planned. */
  #lastArrivalUs = 0
  /** Alone: the packets of `#solo`, one behind the other. */
  #chain: Packet[] = []
  #solo: SendStream | undefined
  /** Shared: the first packet of each stream. */
  #shares: Share[] = []
  #weights = 0
  /** Virtual time: bytes that a stream of weight 1 has been served; as of `#lastUs`. */
  #served = 0
  #lastUs = 0
  #wake: Event | undefined

  constructor(init: PipeInit) {
    this.#init = init
    this.#clock = init.clock
    this.links = init.links
    this.maxRate = init.maxRate
    this.delayUs = init.delayUs
  }

  get blocked(): boolean {
    return this.#blocked
  }

  get lastArrivalUs(): number {
    return this.#lastArrivalUs
  }

  attach(stream: SendStream): void {
    this.#streams.add(stream)
  }

  /** The stream is no longer used: what it has not sent is dropped. */
  detach(stream: SendStream): void {
    this.#streams.delete(stream)
    stream.waiting.length = 0
    stream.onProgress = undefined
    stream.bufferedBytes = 0
    if (this.#closed) return
    const nowUs = this.#clock.nowUs
    this.settle(nowUs)
    if (this.#solo === stream) this.#unplan()
    else if (this.#shares.some((share) => share.stream === stream)) {
      this.#advance(nowUs)
      this.#shares = this.#shares.filter((share) => share.stream !== stream)
      this.#weights -= stream.weight
    } else return
    this.#afterChange(nowUs)
  }

  /** The stream gets nothing more to send; what it has goes out. */
  detachWhenSent(stream: SendStream): void {
    if (stream.bufferedBytes <= 0) this.#streams.delete(stream)
    else stream.isLast = true
  }

  send(packet: Packet): void {
    const { stream } = packet
    if (this.#closed || !this.#streams.has(stream)) return
    if (packet.bytes <= expressBytes && this.#canExpress(stream)) {
      this.#express(packet)
      return
    }
    stream.bufferedBytes += packet.bytes
    stream.waiting.push(packet)
    this.pump(stream)
  }

  /** Gives the pipe what the stream may send now. */
  pump(stream: SendStream): void {
    if (this.#blocked || this.#closed) return
    const nowUs = this.#clock.nowUs
    this.settle(nowUs)
    if (this.#shares.length > 0) this.#join(stream, nowUs)
    else if (this.#solo === undefined || this.#solo === stream || this.#chain.length === 0) this.#plan(stream, nowUs)
    else if (stream.maySend()) {
      this.#startSharing(nowUs)
      this.#join(stream, nowUs)
    }
    this.#armWake(nowUs)
  }

  /** Asks for `onProgress` of the streams that have set it. */
  watch(): void {
    this.#armWake(this.#clock.nowUs)
  }

  settleNow(): void {
    this.settle(this.#clock.nowUs)
  }

  /** Takes note of what has left by now. */
  settle(nowUs: number): void {
    // Asked while it joins its links: the packet for which it does so is in hand, and none may overtake it.
    if (this.isStarting) return
    while (this.#chain.length > 0 && (this.#chain[0] as Packet).finishUs <= nowUs) this.#left(this.#chain.shift() as Packet)
    const solo = this.#solo
    if (solo !== undefined && solo.waiting.length > 0 && this.#chain.length < maxPlanned / 2) this.#plan(solo, nowUs)
    if (this.#shares.length > 0) this.#serve(nowUs)
  }

  /** Whether nothing is on its way out; call `settle` before. */
  get isIdle(): boolean {
    return this.#chain.length === 0 && this.#shares.length === 0
  }

  get isContended(): boolean {
    return this.links.some((link) => link.pipes.length > 1)
  }

  /** Sets the rate from now on. @param nowUs everything before it is settled */
  setRate(rate: number, nowUs: number): void {
    if (rate !== this.rate) {
      if (this.#shares.length > 0) this.#advance(nowUs)
      else if (this.#chain.length > 0) this.#slowChain(rate, nowUs)
      this.rate = rate
      this.#dropWake()
    }
    this.#armWake(nowUs)
  }

  /** Nothing passes any more until `unblock`. What has left arrives. */
  block(): void {
    if (this.#blocked) return
    const nowUs = this.#clock.nowUs
    this.settle(nowUs)
    this.#withdraw(nowUs)
    this.#blocked = true
    this.#deactivate(nowUs)
  }

  unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    for (const stream of this.#streams) this.pump(stream)
  }

  /** For ever. What has left arrives. */
  close(): void {
    if (this.#closed) return
    this.block()
    this.#closed = true
    this.#streams.clear()
  }

  /** Removes itself from its links without telling those who shared them. */
  leaveLinks(): void {
    this.#active = false
    this.#dropWake()
    for (const link of this.links) link.remove(this)
  }

  #canExpress(stream: SendStream): boolean {
    if (this.#blocked || stream.waiting.length > 0 || !stream.hasRoomInWindow) return false
    this.settleNow()
    return this.isIdle
  }

  /**
   * What fits into one packet does not share a link as a flow: it goes before the flows there, as fair queueing serves
   * sparse ones first, behind other such packets. The flows lose nothing by it, which is an error of these few bytes.
   */
  #express(packet: Packet): void {
    let startUs = this.#clock.nowUs
    let rate = Infinity
    for (const link of this.links) {
      startUs = Math.max(startUs, link.expressFreeUs)
      rate = Math.min(rate, link.rate)
    }
    for (const link of this.links) link.expressFreeUs = startUs + packet.bytes / link.rate
    packet.startUs = startUs
    packet.finishUs = startUs + packet.bytes / rate
    packet.leftBytes = 0
    packet.stream.outstandingBytes += packet.bytes
    this.#planArrival(packet)
  }

  #plan(stream: SendStream, nowUs: number): void {
    if (this.#chain.length >= maxPlanned) return
    let packet = stream.next()
    if (packet === undefined) return
    this.#activate(nowUs)
    this.#solo = stream
    let fromUs = Math.max(nowUs, this.#chain.at(-1)?.finishUs ?? 0)
    while (packet !== undefined) {
      if (packet.startUs < 0) packet.startUs = fromUs
      fromUs += packet.leftBytes / this.rate
      packet.finishUs = fromUs
      this.#chain.push(packet)
      this.#planArrival(packet)
      packet = this.#chain.length < maxPlanned ? stream.next() : undefined
    }
  }

  #planArrival(packet: Packet): void {
    if (packet.extraUs < 0) packet.extraUs = this.#init.extraUs(packet.bytes)
    packet.floorUs = this.#lastArrivalUs
    const arrivalUs = Math.max(Math.ceil(packet.finishUs + this.delayUs + packet.extraUs), this.#lastArrivalUs)
    this.#lastArrivalUs = arrivalUs
    packet.event = this.#clock.schedule(arrivalUs, EventKind.arrival, packet, this.#init.receiver, packet.stream.channel)
  }

  #left(packet: Packet): void {
    const { stream } = packet
    packet.leftBytes = 0
    stream.bufferedBytes -= packet.bytes
    if (stream.isLast && stream.bufferedBytes <= 0) this.#streams.delete(stream)
    stream.onProgress?.()
  }

  /** The rate changes: every departure of the chain moves. */
  #slowChain(rate: number, nowUs: number): void {
    let fromUs = nowUs
    this.#lastArrivalUs = (this.#chain[0] as Packet).floorUs
    for (const [index, packet] of this.#chain.entries()) {
      if (index === 0) packet.leftBytes = this.#leftOf(packet, nowUs)
      fromUs += packet.leftBytes / rate
      packet.finishUs = fromUs
      if (packet.event !== undefined) this.#clock.cancel(packet.event)
      this.#planArrival(packet)
    }
  }

  #leftOf(packet: Packet, nowUs: number): number {
    return Math.min(packet.leftBytes, Math.max(0, packet.finishUs - nowUs) * this.rate)
  }

  /** Takes back what was planned for the one stream that sends. */
  #unplan(): Packet[] {
    const chain = this.#chain
    this.#chain = []
    this.#solo = undefined
    if (chain[0] !== undefined) this.#lastArrivalUs = chain[0].floorUs
    for (const packet of chain) {
      if (packet.event !== undefined) this.#clock.cancel(packet.event)
      packet.event = undefined
    }
    return chain
  }

  #startSharing(nowUs: number): void {
    const first = this.#chain[0] as Packet
    first.leftBytes = this.#leftOf(first, nowUs)
    const stream = this.#solo as SendStream
    stream.putBack(this.#unplan())
    this.#served = 0
    this.#weights = 0
    this.#lastUs = nowUs
    this.#dropWake()
    this.#join(stream, nowUs)
  }

  #join(stream: SendStream, nowUs: number): void {
    if (this.#shares.some((share) => share.stream === stream)) return
    if (this.#shares.length > 0) this.#advance(nowUs)
    if (this.#take(stream, nowUs)) this.#weights += stream.weight
    this.#dropWake()
  }

  #take(stream: SendStream, atUs: number): boolean {
    const packet = stream.next()
    if (packet === undefined) return false
    if (packet.startUs < 0) packet.startUs = atUs
    this.#shares.push({ stream, packet, goal: this.#served + packet.leftBytes / stream.weight })
    return true
  }

  /** Departures of shared packets up to now, each at its own time. */
  #serve(nowUs: number): void {
    while (this.#shares.length > 0) {
      const share = this.#leastShare()
      const doneUs = this.#lastUs + ((share.goal - this.#served) * this.#weights) / this.rate
      if (doneUs > nowUs) return
      this.#served = share.goal
      this.#lastUs = doneUs
      const { packet, stream } = share
      packet.finishUs = doneUs
      this.#shares.splice(this.#shares.indexOf(share), 1)
      this.#planArrival(packet)
      this.#left(packet)
      if (!this.#take(stream, doneUs)) this.#weights -= stream.weight
    }
  }

  #leastShare(): Share {
    let least = this.#shares[0] as Share
    for (const share of this.#shares) if (share.goal < least.goal) least = share
    return least
  }

  /** Brings the virtual time of sharing to now. */
  #advance(nowUs: number): void {
    if (this.#weights > 0) this.#served += ((nowUs - this.#lastUs) * this.rate) / this.#weights
    this.#lastUs = nowUs
    for (const { packet, stream, goal } of this.#shares) packet.leftBytes = Math.max(0, (goal - this.#served) * stream.weight)
  }

  /** Takes everything back that has not left. */
  #withdraw(nowUs: number): void {
    const [first] = this.#chain
    if (first !== undefined) {
      first.leftBytes = this.#leftOf(first, nowUs)
      first.stream.putBack(this.#unplan())
    }
    if (this.#shares.length > 0) this.#advance(nowUs)
    for (const { packet, stream } of this.#shares) stream.putBack([packet])
    this.#shares = []
    this.#weights = 0
  }

  /** Someone left: the pipe may be alone again, or idle. */
  #afterChange(nowUs: number): void {
    this.#dropWake()
    if (this.#shares.length === 1) {
      const { stream, packet } = this.#shares[0] as Share
      this.#advance(nowUs)
      this.#shares = []
      this.#weights = 0
      stream.putBack([packet])
      this.#plan(stream, nowUs)
    }
    if (this.#shares.length === 0)
      for (const stream of this.#streams) if (stream.waiting.length > 0 && this.#shares.length === 0) this.pump(stream)
    if (this.isIdle) this.#deactivate(nowUs)
    else this.#armWake(nowUs)
  }

  #activate(nowUs: number): void {
    if (this.#active) return
    this.#active = true
    let contended = false
    for (const link of this.links) {
      link.forgetIdle(nowUs)
      contended ||= link.pipes.length > 0
    }
    for (const link of this.links) link.add(this)
    if (contended) {
      this.isStarting = true
      this.#init.sharing.share(this.links, nowUs)
      this.isStarting = false
    } else this.rate = this.links.reduce((rate, link) => Math.min(rate, link.rate), this.maxRate)
  }

  #deactivate(nowUs: number): void {
    this.#dropWake()
    if (!this.#active) return
    const shared = this.isContended
    this.leaveLinks()
    if (shared) this.#init.sharing.share(this.links, nowUs)
  }

  /** The next moment at which somebody must be told that something has left; Infinity when nobody needs to know. */
  #wakeUs(): number {
    if (this.#shares.length > 0) {
      return this.#lastUs + ((this.#leastShare().goal - this.#served) * this.#weights) / this.rate
    }
    const first = this.#chain[0]
    if (first === undefined) return Infinity
    if (first.stream.onProgress !== undefined) return first.finishUs
    const isMore = this.#chain.length >= maxPlanned && first.stream.waiting.length > 0
    return isMore || this.isContended ? (this.#chain.at(-1) as Packet).finishUs : Infinity
  }

  #armWake(nowUs: number): void {
    const atUs = this.#wakeUs()
    if (atUs === Infinity) return
    const wholeUs = Math.max(nowUs, Math.ceil(atUs))
    if (this.#wake !== undefined) {
      if (this.#wake.timeUs <= wholeUs) return
      this.#clock.cancel(this.#wake)
    }
    const run = (): void => {
      this.#wake = undefined
      this.#onWake()
    }
    this.#wake = this.#clock.schedule(wholeUs, EventKind.transfer, run, undefined, 0, this.#init.sender)
  }

  #dropWake(): void {
    if (this.#wake !== undefined) this.#clock.cancel(this.#wake)
    this.#wake = undefined
  }

  #onWake(): void {
    const nowUs = this.#clock.nowUs
    const shared = this.#shares.length > 0
    this.settle(nowUs)
    if (this.#solo !== undefined) this.#plan(this.#solo, nowUs)
    if ((shared && this.#shares.length <= 1) || this.isIdle) this.#afterChange(nowUs)
    else this.#armWake(nowUs)
  }
}
