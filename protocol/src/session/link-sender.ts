import { WireErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Held } from '../messages/control.ts'
import type { AckMessage, HeldMessage, StepMessage, StepRun } from '../messages/link.ts'
import { heldSeqAt } from './row-map.ts'
import { stepPatienceMs } from './step-patience.ts'
import type { Segment, StepLog } from './step-log.ts'

/** Why a link or a session cannot go on. */
export interface Problem {
  readonly code: WireErrorCode
  readonly message: string
}

export interface LinkSenderOptions {
  /** Rows in one step of a replay, unless one seq alone has more. */
  readonly replayChunkRows: number
  /**
   * A step that stays unacknowledged for `ackFactor` times the learnt time, and at least `ackFloorMs`, is overdue; the
   * patience that its size deserves ({@link stepPatienceMs}) comes on top.
   */
  readonly ackFloorMs: number
  readonly ackFactor: number
}

/** A step to be sent, and where its rows are: the first `rows` of each segment, in order. */
export interface OutgoingStep<Data> {
  readonly message: StepMessage
  readonly slices: ReadonlyArray<{ readonly segment: Segment<Data>; readonly rows: number }>
  /** Whether its rows were sent before, on this link or an earlier one. */
  readonly isReplay: boolean
}

interface Outstanding {
  readonly to: number
  readonly sentMs: number
  readonly rows: number
  readonly bytes: number
}

/**
 * The sender's side of a link: a cursor into a {@link StepLog}. Replay and live steps are one FIFO written by one hand, so
 * a reconnect, a reroute and a rollback during a replay are all the same: the cursor is put behind what the receiver holds,
 * and what follows is sent as it is valid at that moment.
 *
 * What is cut back before it was sent goes out shortened, or as a tombstone. That is right because a step that was cut
 * back is followed by the one that cut it, at a position that the shortened rows still reach.
 */
export class LinkSender<Data> {
  #held: Held | undefined
  #cursor = 1
  #acked = 0
  #replayTo = 0
  #checked = false
  #creditSteps = 0
  #creditBytes = 0
  #sentSteps = 0
  #sentBytes = 0
  #outstanding: Outstanding[] = []
  #oldestSinceMs = 0
  #msPerStep = 0
  #msPerRow = 0

  constructor(
    private readonly log: StepLog<Data>,
    private readonly options: LinkSenderOptions
  ) {}

  /** Whether the receiver's `held` has arrived on the present channel. */
  get open(): boolean {
    return this.#held !== undefined
  }

  /** The last seq that was sent, or need not be. */
  get sentSeq(): number {
    return Math.min(this.#cursor - 1, this.log.lastSeq)
  }

  /** The last seq that the receiver has taken or acknowledged. */
  get ackedSeq(): number {
    return this.#acked
  }

  /** Segments up to this seq may be dropped: nothing may be while it is not known what the receiver holds. */
  get droppableSeq(): number {
    return this.#held === undefined ? 0 : this.#acked
  }

  /** Forgets the channel: nothing is sent until the next `held`. */
  reset(): void {
    this.#held = undefined
    this.#outstanding = []
  }

  /** The receiver's first frame on a new channel. A problem means that this side cannot serve it. */
  onHeld(message: HeldMessage): Problem | undefined {
    const { held } = message
    if (this.log.lostSeq > held.lastSeq) {
      const detail = `rows below ${this.log.historyFrom} were dropped, and the successor holds only seqs up to ${held.lastSeq}`
      return { code: WireErrorCode.HistoryLost, message: detail }
    }
    this.#held = held
    this.#checked = !this.log.pruned
    this.#cursor = held.lastSeq + 1
    this.#acked = held.lastSeq
    // What was never sent, such as a prefill that began before the link was there, goes out in the steps that it was given in.
    this.#replayTo = this.log.sentSeq
    this.#creditSteps = message.steps
    this.#creditBytes = message.bytes
    this.#sentSteps = 0
    this.#sentBytes = 0
    this.#outstanding = []
    return undefined
  }

  onAck(message: AckMessage, nowMs: number): Problem | undefined {
    if (this.#held === undefined) return { code: WireErrorCode.Malformed, message: 'an ack came before held' }
    if (message.seq >= this.#cursor)
      return { code: WireErrorCode.Malformed, message: `seq ${message.seq} was acknowledged before it was sent` }
    this.#creditSteps = Math.max(this.#creditSteps, message.steps)
    this.#creditBytes = Math.max(this.#creditBytes, message.bytes)
    this.#acked = Math.max(this.#acked, message.seq)
    let last: Outstanding | undefined
    while ((this.#outstanding[0]?.to ?? Infinity) <= this.#acked) last = this.#outstanding.shift()
    if (last !== undefined) {
      // A step waits for those before it: only the time since it became the oldest tells how long it takes by itself. Of
      // several that are acknowledged at once, those before the last one were done earlier.
      this.#learn(nowMs - Math.max(last.sentMs, this.#oldestSinceMs), last.rows)
      this.#oldestSinceMs = nowMs
    }
    return undefined
  }

  /** An acknowledgement may have been put off, and nobody says whether it was: so much of the time is not the step's. */
  #learn(afterMs: number, rows: number): void {
    const ms = Math.max(0, afterMs - limits.ackLaterMs)
    const mix = (old: number, now: number): number => (old === 0 ? now : 0.8 * old + 0.2 * now)
    this.#msPerStep = mix(this.#msPerStep, ms)
    this.#msPerRow = mix(this.#msPerRow, ms / Math.max(1, rows))
  }

  /** When the oldest unacknowledged step is overdue; undefined while there is none. */
  get overdueAtMs(): number | undefined {
    const oldest = this.#outstanding[0]
    if (oldest === undefined) return undefined
    const stepMs = Math.max(this.#msPerStep, this.#msPerRow * oldest.rows)
    const learnt = stepMs === 0 ? 0 : limits.ackLaterMs + this.options.ackFactor * stepMs
    // Beside what was learnt, whose steps may all have been small, stands what a step of this size may take anywhere.
    return (
      this.#oldestSinceMs + Math.max(this.options.ackFloorMs, learnt) + stepPatienceMs(oldest.rows, oldest.bytes / Math.max(1, oldest.rows))
    )
  }

  /** Whether it is overdue now; once said, it is said again only after the same time has passed anew. */
  takeOverdue(nowMs: number): boolean {
    const atMs = this.overdueAtMs
    if (atMs === undefined || nowMs < atMs) return false
    this.#oldestSinceMs = nowMs
    return true
  }

  /** The next step that may be sent now, undefined if none, or why the receiver cannot be served. The cursor moves on. */
  next(nowMs: number): OutgoingStep<Data> | Problem | undefined {
    if (this.#held === undefined || this.#cursor > this.log.lastSeq || this.#sentSteps >= this.#creditSteps) return undefined
    const { segments } = this.log
    const index = this.log.indexFrom(this.#cursor)
    const first = segments[index]
    if (first === undefined) return this.#sent({ message: this.#tombstone(this.log.lastSeq), slices: [], isReplay: false }, nowMs)
    if (first.seq > this.#cursor && first.seq > this.#replayTo) {
      return this.#sent({ message: this.#tombstone(first.seq - 1), slices: [], isReplay: false }, nowMs)
    }
    const problem = this.#checked ? undefined : this.#mismatch(first.position, this.#held)
    if (problem !== undefined) return problem
    const count = this.#chunk(index)
    if (count === 0) return undefined
    this.#checked = true
    return this.#sent(this.#step(index, count), nowMs)
  }

  /** The receiver refuses what does not fit; to see it here saves the bytes and names the culprit. */
  #mismatch(position: number, held: Held): Problem | undefined {
    const after = this.log.after(position)
    const seq = heldSeqAt(held, position - 1)
    if (position <= held.rows && (seq === undefined || seq === after)) return undefined
    const message = `the next step follows row ${position} of seq ${after}, and the successor holds ${held.rows} rows (seq ${seq ?? 'unknown'} there)`
    return { code: WireErrorCode.OutOfOrder, message }
  }

  /** How many segments from `index` on go into one step; 0 when the credit in bytes does not suffice. */
  #chunk(index: number): number {
    const { segments } = this.log
    const first = segments[index] as Segment<Data>
    const room = this.#creditBytes - this.#sentBytes
    let rows = first.validRows
    if (rows * first.bytesPerRow > room) return 0
    let count = 1
    for (; this.log.pruned && count < limits.maxStepRuns; count++) {
      const next = segments[index + count]
      if (next === undefined) break
      if (next.seq > this.#replayTo && next.frame !== first.frame) break
      rows += next.validRows
      if (rows > this.options.replayChunkRows || rows * first.bytesPerRow > room) break
    }
    return count
  }

  #tombstone(to: number): StepMessage {
    return { type: 'step', from: this.#cursor, to, position: 0, after: 0, runs: [], computeUs: 0 }
  }

  #step(index: number, count: number): OutgoingStep<Data> {
    const { segments } = this.log
    const first = segments[index] as Segment<Data>
    const last = segments[index + count - 1] as Segment<Data>
    const runs: StepRun[] = []
    const slices: Array<{ segment: Segment<Data>; rows: number }> = []
    for (let at = index; at < index + count; at++) {
      const segment = segments[at] as Segment<Data>
      // The last row is not there any more, and another one must not be taken for it.
      const want = segment.want === 'last' && segment.validRows < segment.rows ? 'none' : segment.want
      runs.push({ seq: segment.seq, rows: segment.validRows, want })
      slices.push({ segment, rows: segment.validRows })
    }
    const message: StepMessage = {
      type: 'step',
      from: this.#cursor,
      to: last.seq,
      position: first.position,
      after: this.log.after(first.position),
      runs,
      computeUs: last.computeUs
    }
    return { message, slices, isReplay: first.seq <= this.#replayTo }
  }

  #sent(step: OutgoingStep<Data>, nowMs: number): OutgoingStep<Data> {
    let rows = 0
    let bytes = 0
    for (const slice of step.slices) {
      rows += slice.rows
      bytes += slice.rows * slice.segment.bytesPerRow
    }
    this.#sentBytes += bytes
    this.#sentSteps++
    this.#cursor = step.message.to + 1
    this.log.noteSent(step.message.to)
    if (this.#outstanding.length === 0) this.#oldestSinceMs = nowMs
    this.#outstanding.push({ to: step.message.to, sentMs: nowMs, rows, bytes })
    return step
  }
}

export function isProblem(value: object | undefined): value is Problem {
  return value !== undefined && 'code' in value
}
