import type { LinkDialerOptions, LinkMessage, LinkSenderOptions, PeerId, Problem, StepLog, StepMessage, Want } from '@skein/protocol'
import { isProblem, limits, LinkDialer, LinkSender, WireErrorCode } from '@skein/protocol'
import type { ChainEffect, ChainLinkEvent, StepSource } from './chain-events.ts'
import type { Link } from './roster.ts'

/** What both ends need from the machine around them. */
export interface LinkEndContext {
  readonly options: LinkSenderOptions & LinkDialerOptions
  readonly emit: (effect: ChainEffect) => void
  readonly allocateChannel: () => number
  readonly hello: (term: number) => LinkMessage
  /** The link broke, or its other side breaks the protocol. */
  readonly onTrouble: (link: Link, problem: Problem) => void
}

/** The coordinator's end of a link, which it always dials. */
abstract class DialledEnd {
  protected readonly dialer: LinkDialer
  protected nowMs = 0

  constructor(
    readonly link: Link,
    private readonly peer: PeerId,
    private readonly protocol: 'link' | 'results',
    protected readonly context: LinkEndContext
  ) {
    this.dialer = new LinkDialer(context.options)
  }

  get channel(): number | undefined {
    return this.dialer.channel
  }

  get wakeAtMs(): number | undefined {
    return this.dialer.wakeAtMs
  }

  dial(nowMs: number): void {
    const channel = this.context.allocateChannel()
    this.dialer.dial(channel, nowMs)
    this.context.emit({ type: 'dial', channel, peer: this.peer, protocol: this.protocol })
  }

  dialed(nowMs: number): void {
    this.nowMs = nowMs
    this.dialer.connected()
    this.send(this.context.hello(this.link.term))
  }

  /** The channel is gone by itself. */
  closed(nowMs: number, message: string): void {
    this.fail(nowMs, { code: WireErrorCode.PeerUnreachable, message }, 'gone')
  }

  /** Hangs up for good. */
  stop(): void {
    this.hangUp()
    this.dialer.stop()
  }

  tick(nowMs: number): void {
    const due = this.dialer.due(nowMs)
    if (due === 'dial') this.dial(nowMs)
    else if (due === 'timeout')
      this.fail(nowMs, { code: WireErrorCode.PeerUnreachable, message: 'the stage did not answer in time' }, 'silent')
  }

  protected fail(nowMs: number, problem: Problem, how: 'gone' | 'silent' | 'refuse'): void {
    if (how === 'refuse') {
      this.send({ type: 'refused', code: problem.code, message: problem.message.slice(0, limits.maxMessageChars), detail: {} })
    }
    if (how !== 'gone') this.hangUp()
    this.dialer.lost(nowMs)
    this.reset()
    this.context.onTrouble(this.link, problem)
  }

  protected send(message: LinkMessage, source?: StepSource): void {
    if (this.channel !== undefined) this.context.emit({ type: 'send', channel: this.channel, message, source })
  }

  private hangUp(): void {
    if (this.channel !== undefined) this.context.emit({ type: 'hangUp', channel: this.channel })
  }

  protected reset(): void {}

  abstract receive(event: ChainLinkEvent, nowMs: number): void
}

/** Sends steps from a log to a stage: the coordinator as its predecessor. `Data` is undefined where rows are tokens. */
export class SendingEnd extends DialledEnd {
  readonly #sender: LinkSender<Uint8Array | undefined>

  constructor(
    link: Link,
    peer: PeerId,
    log: StepLog<Uint8Array | undefined>,
    /** Set where a stage must return every row, whatever was asked for. */
    private readonly want: Want | undefined,
    context: LinkEndContext
  ) {
    super(link, peer, 'link', context)
    this.#sender = new LinkSender(log, context.options)
  }

  get ackedSeq(): number {
    return this.#sender.ackedSeq
  }

  override get wakeAtMs(): number | undefined {
    return least(this.dialer.wakeAtMs, this.#sender.overdueAtMs)
  }

  receive(event: ChainLinkEvent, nowMs: number): void {
    const { message } = event
    if (message.type === 'held' && message.term === this.link.term && this.dialer.state === 'greeting') {
      this.dialer.opened()
      const problem = this.#sender.onHeld(message)
      if (problem !== undefined) this.fail(nowMs, problem, 'refuse')
    } else if (message.type === 'ack') {
      const problem = this.#sender.onAck(message, nowMs)
      if (problem !== undefined) this.fail(nowMs, problem, 'refuse')
    } else if (message.type === 'refused') {
      this.fail(nowMs, message, 'silent')
    } else {
      this.fail(nowMs, { code: WireErrorCode.Malformed, message: `a stage sent ${message.type} out of turn` }, 'refuse')
    }
  }

  /** Sends what may be sent. */
  flush(nowMs: number): void {
    while (this.dialer.state === 'open') {
      const next = this.#sender.next(nowMs)
      if (next === undefined) return
      if (isProblem(next)) return this.fail(nowMs, next, 'refuse')
      const { want } = this
      const message = want === undefined ? next.message : wanting(next.message, want)
      if (next.slices.length === 0) this.send(message)
      else this.send(message, sourceOf(next.slices))
    }
  }

  override tick(nowMs: number): void {
    super.tick(nowMs)
    if (!this.#sender.takeOverdue(nowMs)) return
    const message = `seq ${this.#sender.ackedSeq + 1} is not acknowledged in time`
    this.context.onTrouble(this.link, { code: WireErrorCode.PeerUnreachable, message })
  }

  protected override reset(): void {
    this.#sender.reset()
  }
}

/** The same step, of which every row must come back. */
function wanting(step: StepMessage, want: Want): StepMessage {
  return { ...step, runs: step.runs.map((run) => ({ seq: run.seq, rows: run.rows, want })) }
}

function sourceOf(
  slices: ReadonlyArray<{ segment: { position: number; bytesPerRow: number; data: Uint8Array | undefined }; rows: number }>
): StepSource {
  const parts = slices.flatMap(({ segment, rows }) =>
    segment.data === undefined ? [] : [segment.data.subarray(0, rows * segment.bytesPerRow)]
  )
  if (parts.length > 0) return { kind: 'bytes', parts }
  const position = slices[0]?.segment.position ?? 0
  return { kind: 'tokens', position, rows: slices.reduce((sum, slice) => sum + slice.rows, 0) }
}

/** Receives from a stage whose successor is the coordinator. */
export class ReceivingEnd extends DialledEnd {
  #steps = 0
  #bytes = 0
  #unacknowledgedBytes = 0
  #granted = { steps: 0, bytes: 0 }
  #ackByMs: number | undefined

  constructor(
    link: Link,
    peer: PeerId,
    private readonly sink: {
      /** The last seq that has come, over any link. */
      readonly lastSeq: () => number
      /** Takes a step, or says what is wrong with it. */
      readonly take: (step: StepMessage, body: Uint8Array) => Problem | undefined
      /** Steps and bytes that may be under way. */
      readonly room: () => { steps: number; bytes: number }
      /** What comes is waited for here, so that the next thing to do is to go on with it, and not to acknowledge it. */
      readonly isAwaited: boolean
    },
    context: LinkEndContext
  ) {
    super(link, peer, 'results', context)
  }

  override dialed(nowMs: number): void {
    super.dialed(nowMs)
    this.dialer.opened()
    this.#steps = 0
    this.#bytes = 0
    this.#unacknowledgedBytes = 0
    this.#granted = { steps: 0, bytes: 0 }
    this.#ackByMs = undefined
    // Rows are of no meaning here: a result is never replayed from, and `lastSeq` says where to go on.
    const { steps, bytes } = this.#grant()
    this.send({ type: 'held', term: this.link.term, held: { rows: 0, lastSeq: this.sink.lastSeq(), tail: [] }, steps, bytes })
  }

  receive(event: ChainLinkEvent, nowMs: number): void {
    const { message, body = new Uint8Array(0) } = event
    if (message.type === 'refused') return this.fail(nowMs, message, 'silent')
    if (message.type !== 'step')
      return this.fail(nowMs, { code: WireErrorCode.Malformed, message: `a tail sent ${message.type}` }, 'refuse')
    this.#steps++
    this.#bytes += body.byteLength
    if (this.#steps > this.#granted.steps || this.#bytes > this.#granted.bytes) {
      return this.fail(nowMs, { code: WireErrorCode.CreditExceeded, message: 'more results were sent than allowed' }, 'refuse')
    }
    const problem = this.sink.take(message, body)
    if (problem !== undefined) return this.fail(nowMs, problem, 'refuse')
    this.#unacknowledgedBytes += body.byteLength
    if (this.sink.isAwaited && this.#hasAmpleCredit()) this.#ackByMs ??= nowMs + limits.ackLaterMs
    else this.ack()
  }

  override get wakeAtMs(): number | undefined {
    return least(this.dialer.wakeAtMs, this.#ackByMs)
  }

  override tick(nowMs: number): void {
    super.tick(nowMs)
    if (this.#ackByMs !== undefined && nowMs >= this.#ackByMs) this.ack()
  }

  /** There is time for an acknowledgement that was put off. */
  ackNow(): void {
    if (this.#ackByMs !== undefined) this.ack()
  }

  ack(): void {
    this.#ackByMs = undefined
    if (this.dialer.state !== 'open') return
    this.#unacknowledgedBytes = 0
    const { steps, bytes } = this.#grant()
    this.send({ type: 'ack', seq: this.sink.lastSeq(), steps, bytes })
  }

  #hasAmpleCredit(): boolean {
    const { steps, bytes } = this.sink.room()
    // The sender keeps them until then, within a bound of its own.
    if (4 * this.#unacknowledgedBytes > limits.resultBytes) return false
    return 2 * (this.#granted.steps - this.#steps) > steps && 2 * (this.#granted.bytes - this.#bytes) > bytes
  }

  #grant(): { steps: number; bytes: number } {
    const room = this.sink.room()
    const steps = Math.max(this.#granted.steps, this.#steps + room.steps)
    const bytes = Math.max(this.#granted.bytes, this.#bytes + room.bytes)
    this.#granted = { steps, bytes }
    return this.#granted
  }
}

/** The lesser of two times, undefined when there is none. */
export function least(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return Math.min(a, b)
}
