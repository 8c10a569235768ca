import { DialError, type Frame, type PeerId, type ProtocolId, retransmissionAt } from '@skein/protocol'
import { type Event, EventKind } from '../kernel/event-queue.ts'
import type { Pipe } from './pipe.ts'
import { Packet, SendStream } from './send-stream.ts'
import type { VirtualChannel } from './virtual-channel.ts'
import type { VirtualHost } from './virtual-host.ts'
import type { Hub, TransferReport } from './virtual-network.ts'

/** What messages of the connection itself cost: opening a channel, a reset, a ping. */
const controlBytes = 64

export interface PathFacts {
  readonly kind: 'direct' | 'relayed'
  readonly relay: VirtualHost | undefined
  /** Whether this side has dialled. */
  readonly hasDialled: boolean
}

/** A message of the connection itself. */
class ControlPacket extends Packet {
  readonly #end: ConnectionEnd
  readonly #deliver: () => void

  constructor(end: ConnectionEnd, stream: SendStream, bytes: number, deliver: () => void) {
    super(stream, bytes, end.nowUs)
    this.#end = end
    this.#deliver = deliver
  }

  run(): void {
    if (this.#end.other.isOpen) this.#deliver()
  }
}

/** A frame on its way, and the report of it when it has arrived: of most nobody wants to know much. */
export class FramePacket extends Packet implements TransferReport {
  readonly end: ConnectionEnd
  readonly near: VirtualChannel
  readonly frame: Frame
  isCorrupt = false
  arrivedUs = -1

  constructor(end: ConnectionEnd, near: VirtualChannel, frame: Frame, bytes: number) {
    super(near.sendStream, bytes, end.nowUs)
    this.end = end
    this.near = near
    this.frame = frame
  }

  get from(): PeerId {
    return this.end.host.self
  }

  get to(): PeerId {
    return this.end.other.host.self
  }

  get protocol(): ProtocolId {
    return this.near.protocol
  }

  get channel(): number {
    return this.near.number
  }

  get sentMs(): number {
    return this.queuedUs / 1000
  }

  get startMs(): number {
    return this.startUs / 1000
  }

  get finishMs(): number {
    return this.finishUs / 1000
  }

  get arrivedMs(): number {
    return this.arrivedUs / 1000
  }

  run(): void {
    this.end.frameArrived(this)
  }
}

/** One peer's side of a connection: tcp, noise and yamux in one. */
export class ConnectionEnd {
  readonly host: VirtualHost
  readonly out: Pipe
  readonly path: PathFacts
  readonly channels = new Set<VirtualChannel>()
  /** Called with the error when this side of the connection is gone. */
  onClosed: Set<(error: Error) => void> | undefined
  other!: ConnectionEnd
  isOpen = true
  smoothedUs: number
  /** When it was made, or its last channel was closed. */
  lastUsedUs: number
  readonly #hub: Hub
  readonly #control: SendStream
  #suspicion: Event | undefined
  #blockedSinceUs = 0
  #heldCredits: Array<readonly [VirtualChannel, number]> | undefined

  constructor(hub: Hub, host: VirtualHost, out: Pipe, path: PathFacts, roundTripUs: number) {
    this.#hub = hub
    this.host = host
    this.out = out
    this.path = path
    this.smoothedUs = roundTripUs
    this.lastUsedUs = hub.clock.nowUs
    this.#control = new SendStream(out, { channel: 0, weight: 1, windowBytes: Infinity })
  }

  get nowUs(): number {
    return this.#hub.clock.nowUs
  }

  stream(channel: number, weight: number): SendStream {
    return new SendStream(this.out, { channel, weight, windowBytes: this.#hub.options.windowBytes })
  }

  /** Undefined while a channel is open. */
  idleSinceMs(nowMs: number): number | undefined {
    if (this.channels.size > 0) return undefined
    return this.onClosed === undefined || this.onClosed.size === 0 ? this.lastUsedUs / 1000 : nowMs
  }

  /** A channel of this side is closed. */
  channelClosed(channel: VirtualChannel): void {
    this.channels.delete(channel)
    if (this.channels.size > 0 || !this.isOpen) return
    this.lastUsedUs = this.nowUs
    this.host.reviewIdle()
  }

  /** Sends something of the connection itself; `deliver` happens at the other side. */
  sendControl(deliver: () => void): void {
    this.sendOn(this.#control, controlBytes, deliver)
  }

  sendOn(stream: SendStream, bytes: number, deliver: () => void): void {
    this.out.send(new ControlPacket(this, stream, bytes, deliver))
  }

  sendReset(channel: VirtualChannel): void {
    if (this.isOpen) this.sendControl(() => channel.other?.break())
  }

  sendFrame(channel: VirtualChannel, frame: Frame, bytes: number): void {
    const packet = new FramePacket(this, channel, frame, bytes)
    packet.isCorrupt = this.#hub.drawsCorruption(this.host, this.other.host)
    this.out.send(packet)
  }

  /** A frame of this side has arrived at the other. */
  frameArrived(packet: FramePacket): void {
    const { other } = this
    if (!other.isOpen) return
    if (packet.isCorrupt) return other.fail()
    this.#hub.frameArrived(this, packet)
    packet.near.other?.arrive(packet.frame)
  }

  /** A reader on this side took bytes: its sender may send as many more, once it has heard of it. */
  returnCredit(reader: VirtualChannel, bytes: number): void {
    const sender = reader.other
    if (sender === undefined) return
    const stream = sender.sendStream
    if (this.out.blocked) (this.#heldCredits ??= []).push([sender, bytes])
    else if (!stream.blockedByWindow && stream.isFarFromFull) stream.credit(bytes)
    else this.#sendCredit(sender, bytes)
  }

  /** The transport failed on this side: its channels break, and the other side is told. */
  fail(): void {
    if (!this.isOpen) return
    this.close()
    this.tellOther()
  }

  /** All channels of this side break. The other side learns nothing by this. */
  close(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#dropSuspicion()
    this.out.close()
    for (const channel of [...this.channels]) channel.break()
    for (const tell of this.onClosed ?? []) tell(new DialError(`the connection to ${this.other.host.self} broke`))
    this.onClosed = undefined
    this.host.forget(this)
    if (!this.other.isOpen) {
      this.path.relay?.relayed.delete(this)
      this.path.relay?.relayed.delete(this.other)
    }
  }

  /** A reset of the connection goes to the other side, behind what is on its way there. */
  tellOther(): void {
    const { other } = this
    if (!other.isOpen || !other.host.alive || this.#hub.isCut(this, other)) return
    const atUs = Math.max(this.#hub.clock.nowUs + this.out.delayUs, this.out.lastArrivalUs)
    this.#hub.clock.schedule(atUs, EventKind.connection, () => other.close(), other.host.clock)
  }

  /** Cuts or faults have changed: stops or resumes, and starts or ends to doubt the other side. */
  review(): void {
    if (!this.isOpen) return
    const { clock } = this.#hub
    const cut = this.#hub.isCut(this, this.other)
    if (cut && !this.out.blocked) {
      this.out.block()
      this.#blockedSinceUs = clock.nowUs
    } else if (!cut && this.out.blocked) this.#resumeAtRetransmission()
    const isDoubtful =
      this.out.blocked || this.other.out.blocked || !this.other.isOpen || !this.other.host.alive || this.other.host.clock.frozen
    if (!isDoubtful) this.#dropSuspicion()
    else if (this.#suspicion === undefined) {
      const atUs = clock.nowUs + this.#hub.drawKeepAliveUs()
      this.#suspicion = clock.schedule(atUs, EventKind.connection, () => this.fail(), this.host.clock)
    }
  }

  #dropSuspicion(): void {
    if (this.#suspicion !== undefined) this.#hub.clock.cancel(this.#suspicion)
    this.#suspicion = undefined
  }

  /** TCP tries again after 200 ms, 400 ms more, and so on; a healed path is noticed at the next try. */
  #resumeAtRetransmission(): void {
    const { clock } = this.#hub
    const atUs = retransmissionAt(this.#blockedSinceUs, clock.nowUs, 1000)
    clock.schedule(
      atUs,
      EventKind.connection,
      () => {
        if (!this.isOpen || !this.out.blocked || this.#hub.isCut(this, this.other)) return
        this.out.unblock()
        if (!this.other.isOpen) return this.#noticeReset()
        for (const [sender, bytes] of this.#heldCredits ?? []) this.#sendCredit(sender, bytes)
        this.#heldCredits = undefined
        this.review()
        this.other.review()
      },
      undefined,
      0,
      this.host.clock.number
    )
  }

  /** The other side gave the connection up during a cut: it answers the next packet with a reset. */
  #noticeReset(): void {
    const atUs = this.#hub.clock.nowUs + this.out.delayUs + this.other.out.delayUs
    this.#hub.clock.schedule(atUs, EventKind.connection, () => this.close(), this.host.clock)
  }

  #sendCredit(sender: VirtualChannel, bytes: number): void {
    const { clock } = this.#hub
    const atUs = clock.nowUs + this.out.delayUs
    clock.schedule(atUs, EventKind.transfer, () => sender.credit(bytes), undefined, sender.number, this.other.host.clock.number)
  }
}
