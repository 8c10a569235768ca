import type { LinkMessage, PeerId, Problem, StepLog, StepMessage } from '@skein/protocol'
import { WireErrorCode } from '@skein/protocol'
import type { ChainDialedEvent, ChainEffect, ChainLinkClosedEvent, ChainLinkEvent } from './chain-events.ts'
import type { ChainMachineOptions } from './chain-options.ts'
import { least, ReceivingEnd, SendingEnd } from './link-ends.ts'
import type { Link, Roster, StageRecord } from './roster.ts'
import type { StepResults } from './step-results.ts'
import { Relay } from './step-results.ts'

interface OwnLinksContext {
  readonly roster: Roster
  readonly options: ChainMachineOptions
  readonly totalBlocks: number
  readonly star: boolean
  readonly bytesPerRow: number
  /** The steps as tokens: what goes to the first stage. */
  readonly log: StepLog<Uint8Array | undefined>
  readonly results: StepResults
  readonly emit: (effect: ChainEffect) => void
  readonly hello: (term: number) => LinkMessage
  readonly onResult: (step: StepMessage, body: Uint8Array) => Problem | undefined
  readonly onTrouble: (link: Link, problem: Problem) => void
  readonly isSkipped: (seq: number) => boolean
}

/**
 * The links that end at the coordinator: one to the first stage and one from the last, and in the star one each way for
 * every stage, with a {@link Relay} at each boundary in between.
 */
export class OwnLinks {
  readonly #relays = new Map<number, Relay>()
  #senders: SendingEnd[] = []
  #receivers: ReceivingEnd[] = []
  #nextChannel = 1

  constructor(private readonly context: OwnLinksContext) {}

  get #all(): Array<SendingEnd | ReceivingEnd> {
    return [...this.#senders, ...this.#receivers]
  }

  get wakeAtMs(): number | undefined {
    let atMs: number | undefined
    for (const end of this.#senders) atMs = least(atMs, end.wakeAtMs)
    for (const end of this.#receivers) atMs = least(atMs, end.wakeAtMs)
    return atMs
  }

  /** The last seq that has come back at a boundary. */
  receivedSeq(boundary: number): number {
    if (boundary === this.context.totalBlocks) return this.context.results.lastSeq
    return this.#relays.get(boundary)?.log.lastSeq ?? 0
  }

  /** Hangs up the links that are none any more, and forgets relays at boundaries that are gone. */
  drop(): void {
    const { roster } = this.context
    const stale = (end: { link: Link }): boolean => !roster.links.includes(end.link)
    for (const end of this.#all) if (stale(end)) end.stop()
    this.#senders = this.#senders.filter((end) => !stale(end))
    this.#receivers = this.#receivers.filter((end) => !stale(end))
    const starts = new Set(roster.slots.map((slot) => slot.span.start))
    for (const boundary of this.#relays.keys()) if (!starts.has(boundary)) this.#relays.delete(boundary)
  }

  /** Throws away what passed a boundary, so that it is asked for anew. */
  forgetRelay(boundary: number): void {
    this.#relays.delete(boundary)
  }

  skip(from: number, to: number): void {
    for (const relay of this.#relays.values()) relay.log.skip(from, to)
  }

  /** Dials the links that are new. */
  dial(nowMs: number): void {
    const { roster } = this.context
    for (const link of roster.links) {
      if ((link.from !== 0 && link.to !== 0) || this.#all.some((end) => end.link === link)) continue
      const record = roster.stage(link.from === 0 ? link.to : link.from) as StageRecord
      const end = link.from === 0 ? this.#sendingEnd(link, record) : this.#receivingEnd(link, record.peer)
      end.dial(nowMs)
    }
  }

  handle(event: ChainDialedEvent | ChainLinkEvent | ChainLinkClosedEvent, nowMs: number): void {
    const end = this.#all.find((each) => each.channel === event.channel)
    if (event.type === 'dialed') end?.dialed(nowMs)
    else if (event.type === 'linkClosed') end?.closed(nowMs, event.message)
    else end?.receive(event, nowMs)
    if (event.type !== 'link' || event.message.type !== 'ack' || !(end instanceof SendingEnd)) return
    // The next step is on its way: this is the time for acknowledgements that could wait.
    for (const receiver of this.#receivers) receiver.ackNow()
    // A relay has room again: its source may send on.
    this.#receivers.find((receiver) => receiver.link.boundary === end.link.boundary)?.ack()
  }

  flush(nowMs: number): void {
    for (const sender of [...this.#senders]) sender.flush(nowMs)
  }

  tick(nowMs: number): void {
    for (const end of this.#all) end.tick(nowMs)
  }

  #endContext(): ConstructorParameters<typeof ReceivingEnd>[3] {
    const { options, emit, hello, onTrouble } = this.context
    return { options, emit, hello, onTrouble, allocateChannel: () => this.#nextChannel++ }
  }

  #sendingEnd(link: Link, record: StageRecord): SendingEnd {
    const log = link.boundary === 0 ? this.context.log : this.#relay(link.boundary).log
    const isTail = record.span.end === this.context.totalBlocks
    const end = new SendingEnd(link, record.peer, log, this.context.star && !isTail ? 'all' : undefined, this.#endContext())
    this.#senders.push(end)
    return end
  }

  #receivingEnd(link: Link, peer: PeerId): ReceivingEnd {
    const { boundary } = link
    const { options, totalBlocks, onResult } = this.context
    const isTail = boundary === totalBlocks
    const sink = {
      lastSeq: () => this.receivedSeq(boundary),
      take: (step: StepMessage, body: Uint8Array) => {
        const sentSeq = this.context.log.lastSeq
        if (step.to > sentSeq) return { code: WireErrorCode.OutOfOrder, message: `seq ${step.to} came back, and only ${sentSeq} were sent` }
        return isTail ? onResult(step, body) : this.#relay(boundary).take(step, body)
      },
      // Results have had their slots since their steps were submitted. A relay is held up by the stage that it feeds.
      isAwaited: isTail,
      room: () => ({ steps: isTail ? options.creditSteps : this.#roomAt(boundary), bytes: options.creditBytes })
    }
    const end = new ReceivingEnd(link, peer, sink, this.#endContext())
    this.#receivers.push(end)
    return end
  }

  #roomAt(boundary: number): number {
    const acked = this.#senders.find((sender) => sender.link.boundary === boundary)?.ackedSeq ?? 0
    return Math.max(0, this.context.options.creditSteps - this.#relay(boundary).log.above(acked).segments)
  }

  #relay(boundary: number): Relay {
    const { bytesPerRow, results, isSkipped } = this.context
    const relay = this.#relays.get(boundary) ?? new Relay(bytesPerRow, results, isSkipped)
    this.#relays.set(boundary, relay)
    return relay
  }
}
