import type {
  AckMessage,
  HeldMessage,
  HelloMessage,
  LinkEnd,
  LinkMessage,
  NewSegment,
  OpenRequest,
  PeerId,
  Problem,
  StepMessage,
  StepRun
} from '@skein/protocol'
import { isProblem, limits, LinkDialer, LinkSender, StepLog, WireErrorCode } from '@skein/protocol'
import type { StageEffect, StageLinkEvent } from './stage-events.ts'
import type { StageMachineOptions } from './stage-options.ts'

interface StageOutputContext {
  readonly coordinator: PeerId
  readonly open: OpenRequest
  readonly bytesPerRow: number
  readonly options: StageMachineOptions
  readonly emit: (effect: StageEffect) => void
  /** Tells the coordinator that the successor, or the link to it, is at fault. */
  readonly accuse: (problem: Problem) => void
}

/**
 * The output of a stage: the log of what it has computed, and the link on which that goes to the successor. A successor
 * that is a stage is dialled; the coordinator comes by itself.
 */
export class StageOutput {
  readonly log: StepLog<Uint8Array>
  readonly #sender: LinkSender<Uint8Array>
  readonly #dialer: LinkDialer
  #link: LinkEnd
  #nextChannel = -1

  constructor(private readonly context: StageOutputContext) {
    this.#link = context.open.successor
    this.log = new StepLog(this.#link.to.kind === 'stage')
    this.#sender = new LinkSender(this.log, context.options)
    this.#dialer = new LinkDialer(context.options)
  }

  get link(): LinkEnd {
    return this.#link
  }

  get channel(): number | undefined {
    return this.#dialer.channel
  }

  get state(): string {
    return this.#dialer.state
  }

  get sentSeq(): number {
    return this.#sender.sentSeq
  }

  get ackedSeq(): number {
    return this.#sender.ackedSeq
  }

  get wakeAtMs(): number {
    return Math.min(this.#dialer.wakeAtMs ?? Number.POSITIVE_INFINITY, this.#sender.overdueAtMs ?? Number.POSITIVE_INFINITY)
  }

  // The log

  /** Whether there is room for one more output: a slot, and bytes that can be kept until they are acknowledged. */
  makeRoom(runs: readonly StepRun[]): boolean {
    const { options, open, bytesPerRow } = this.context
    const waiting = this.log.above(this.#sender.ackedSeq)
    if (waiting.segments >= options.outputSlots) return false
    const wantedBytes = runs.reduce((sum, run) => sum + this.#keptRows(run), 0) * bytesPerRow
    // Results are no history, and nothing was reserved for them: who does not take them gets as many as it may send at once.
    if (!this.log.pruned) return waiting.bytes === 0 || waiting.bytes + wantedBytes <= options.resultBytes
    const { bytes } = this.log.above(this.#sender.droppableSeq)
    if (bytes > 0 && bytes + wantedBytes > open.historyBytes) return false
    // Room is made now: by the time the output is there, the link may have broken, and then nothing may be dropped.
    this.log.drop(this.#sender.droppableSeq, Math.max(0, open.historyBytes - wantedBytes))
    return true
  }

  /** What of a run's output is kept: all of it as history, and of results what is wanted. */
  #keptRows({ rows, want }: StepRun): number {
    if (this.log.pruned || want === 'all') return rows
    return want === 'last' ? 1 : 0
  }

  /** Takes a computed step: one segment per run. A tail keeps only the rows that are wanted. */
  record(step: StepMessage, output: Uint8Array, computeUs: number, frame: number, isSkipped: (seq: number) => boolean): void {
    const { bytesPerRow } = this.context
    let row = 0
    for (const run of step.runs) {
      let from = row
      row += run.rows
      const position = step.position + from
      if (isSkipped(run.seq)) continue
      if (run.want !== 'none') from = row - this.#keptRows(run)
      const kept = output.subarray(from * bytesPerRow, row * bytesPerRow)
      // One row of many, as a view, would keep all of them for as long as it waits.
      const data = row - from < run.rows ? kept.slice() : kept
      const segment: NewSegment<Uint8Array> = {
        seq: run.seq,
        position,
        rows: row - from,
        want: run.want,
        frame,
        computeUs,
        bytesPerRow,
        data
      }
      this.log.record(segment, run.rows, this.log.pruned || run.want !== 'none')
    }
    this.log.recordVoid(step.to)
    this.#trim()
  }

  #trim(): void {
    this.log.drop(this.#sender.droppableSeq, this.log.pruned ? this.context.open.historyBytes : 0)
  }

  // The link

  /** Turns to another successor, or to the same one anew. */
  reroute(link: LinkEnd, nowMs: number): void {
    this.hangUp()
    this.#link = link
    this.dial(nowMs)
  }

  dial(nowMs: number): void {
    const { to } = this.#link
    if (to.kind === 'coordinator') return
    const channel = this.#nextChannel--
    this.#dialer.dial(channel, nowMs)
    this.context.emit({ type: 'dial', channel, peer: to.peer, record: to.record })
  }

  /** A dialled channel is there. */
  dialed(channel: number): void {
    if (channel !== this.#dialer.channel) return this.context.emit({ type: 'hangUp', channel })
    this.#dialer.connected()
    const { coordinator, open } = this.context
    const hello: HelloMessage = { type: 'hello', coordinator, session: open.session, term: this.#link.term }
    this.#send(channel, hello)
  }

  /** The coordinator has come for the results. */
  greet(channel: number, nowMs: number): void {
    this.hangUp()
    this.#dialer.dial(channel, nowMs)
    this.#dialer.connected()
  }

  receive({ message }: StageLinkEvent, nowMs: number): void {
    let problem: Problem | undefined
    if (message.type === 'held') problem = this.#onHeld(message)
    else if (message.type === 'ack') problem = this.#onAck(message, nowMs)
    else if (message.type === 'refused') problem = message
    else problem = { code: WireErrorCode.Malformed, message: `a successor sent ${message.type}` }
    if (problem !== undefined) this.#giveUp(problem, nowMs, message.type !== 'refused')
  }

  #onHeld(message: HeldMessage): Problem | undefined {
    if (this.#dialer.state !== 'greeting' || message.term !== this.#link.term) {
      return { code: WireErrorCode.Malformed, message: 'held came twice or at another term' }
    }
    this.#dialer.opened()
    return this.#sender.onHeld(message)
  }

  #onAck(message: AckMessage, nowMs: number): Problem | undefined {
    const problem = this.#sender.onAck(message, nowMs)
    if (problem === undefined) this.#trim()
    return problem
  }

  /**
   * The channel is gone by itself: the coordinator hears of it, unless it ended in peace, and the link is tried again. A
   * successor that should still be there is accused when it refuses that.
   */
  lost(problem: Problem | undefined, nowMs: number): void {
    this.#sender.reset()
    if (problem !== undefined) this.context.accuse(problem)
    if (this.#link.to.kind === 'coordinator') this.#dialer.stop()
    else this.#dialer.lost(nowMs)
  }

  #giveUp(problem: Problem, nowMs: number, tell: boolean): void {
    const { channel } = this.#dialer
    if (channel !== undefined) {
      if (tell)
        this.#send(channel, { type: 'refused', code: problem.code, message: problem.message.slice(0, limits.maxMessageChars), detail: {} })
      this.context.emit({ type: 'hangUp', channel })
    }
    this.lost(problem, nowMs)
  }

  /** Leaves the present channel. */
  hangUp(): void {
    if (this.#dialer.channel !== undefined) this.context.emit({ type: 'hangUp', channel: this.#dialer.channel })
    this.#dialer.stop()
    this.#sender.reset()
  }

  /** Sends what may be sent. */
  flush(nowMs: number): void {
    const { channel } = this.#dialer
    if (this.#dialer.state !== 'open' || channel === undefined) return
    for (;;) {
      const next = this.#sender.next(nowMs)
      if (next === undefined) return
      if (isProblem(next)) return this.#giveUp(next, nowMs, true)
      const parts = next.slices.map(({ segment, rows }) => segment.data.subarray(0, rows * segment.bytesPerRow))
      this.#send(channel, next.message, parts, next.isReplay)
    }
  }

  tick(nowMs: number): void {
    const due = this.#dialer.due(nowMs)
    if (due === 'dial') this.dial(nowMs)
    else if (due === 'timeout')
      this.#giveUp({ code: WireErrorCode.PeerUnreachable, message: 'the successor did not answer in time' }, nowMs, false)
    if (!this.#sender.takeOverdue(nowMs)) return
    this.context.accuse({ code: WireErrorCode.PeerUnreachable, message: `seq ${this.#sender.ackedSeq + 1} is not acknowledged in time` })
  }

  #send(channel: number, message: LinkMessage, parts: readonly Uint8Array[] = [], isReplay = false): void {
    this.context.emit({ type: 'send', channel, message, parts, isReplay })
  }
}
