import type { Problem, StepMessage } from '@skein/protocol'
import { RowMap, WireErrorCode } from '@skein/protocol'
import type { StepLimits } from './step-check.ts'
import { checkStep } from './step-check.ts'

/** A step that was taken and waits to be computed. */
export interface QueuedStep {
  readonly step: StepMessage
  readonly body: Uint8Array
  /** The term of the link that it came from. */
  readonly term: number
  /** It was skipped: it passes as a tombstone. */
  skipped: boolean
}

export interface InputCredit {
  /** Steps, and bytes, that are taken before they are computed. */
  readonly creditSteps: number
  readonly creditBytes: number
}

/** Ranges of skipped seqs that are remembered. There is one per rejection that has not passed this stage yet. */
const maxSkips = 64

/**
 * The input of a stage: a FIFO of steps that were taken, with the row map as it will be when they are computed. What was
 * taken stays when the link changes, and `held` counts it: every queued step came, in order, from the peer that was the
 * named predecessor then, so it is a step of this session like any other, and a fence has no reason to throw it away.
 */
export class StageInput {
  readonly #queue: QueuedStep[] = []
  #map = new RowMap()
  #lastSeq = 0
  #computedSeq = 0
  #skips: Array<readonly [from: number, to: number]> = []
  #queuedBytes = 0
  /** Of the present channel. */
  #steps = 0
  #bytes = 0
  #granted = { steps: 0, bytes: 0 }
  duplicates = 0

  constructor(
    private readonly bounds: StepLimits,
    private readonly capacity: InputCredit
  ) {}

  /** The last seq that was taken, and the rows as they will be once all of it is computed. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  get map(): RowMap {
    return this.#map
  }

  get length(): number {
    return this.#queue.length
  }

  get bytes(): number {
    return this.#queuedBytes
  }

  get head(): QueuedStep | undefined {
    return this.#queue[0]
  }

  /** A new channel: totals are counted from here. */
  restart(): void {
    this.#steps = 0
    this.#bytes = 0
    this.#granted = { steps: 0, bytes: 0 }
  }

  /** How much the sender may have sent on this channel altogether. Only rises. */
  grant(): { steps: number; bytes: number } {
    const steps = this.#steps + Math.max(0, this.capacity.creditSteps - this.#queue.length)
    const bytes = this.#bytes + Math.max(0, this.capacity.creditBytes - this.#queuedBytes)
    this.#granted = { steps: Math.max(steps, this.#granted.steps), bytes: Math.max(bytes, this.#granted.bytes) }
    return this.#granted
  }

  /** Whether the sender may still send more than half of what it might at first, by what it has been told. */
  get hasAmpleCredit(): boolean {
    const { creditSteps, creditBytes } = this.capacity
    return 2 * (this.#granted.steps - this.#steps) > creditSteps && 2 * (this.#granted.bytes - this.#bytes) > creditBytes
  }

  /** Takes a step, or says why not. A duplicate is counted and dropped. */
  take(step: StepMessage, body: Uint8Array, term: number): Problem | undefined {
    this.#steps++
    this.#bytes += body.byteLength
    if (this.#steps > this.#granted.steps || this.#bytes > this.#granted.bytes) {
      return {
        code: WireErrorCode.CreditExceeded,
        message: `more was sent than ${this.#granted.steps} steps and ${this.#granted.bytes} bytes`
      }
    }
    // A skipped step need not fit: the one before it may have passed here as a tombstone, and been computed by the sender.
    const skipped = this.#isSkipped(step)
    const checked = checkStep(skipped ? withoutRows(step) : step, skipped ? 0 : body.byteLength, this.#map, this.#lastSeq, this.bounds)
    if (checked === 'duplicate') {
      this.duplicates++
      return undefined
    }
    if (checked !== undefined) return checked
    const queued: QueuedStep = { step, body, term, skipped }
    this.#queue.push(queued)
    this.#queuedBytes += body.byteLength
    this.#lastSeq = step.to
    if (!skipped) this.#apply(step)
    return undefined
  }

  /** The head was computed, or passed as a tombstone. */
  shift(): void {
    const done = this.#queue.shift()
    if (done === undefined) return
    this.#queuedBytes -= done.body.byteLength
    this.#computedSeq = done.step.to
    this.#skips = this.#skips.filter(([, to]) => to > done.step.to)
  }

  /**
   * Steps of the range become tombstones, also those that have yet to come; of the one that is under way, and of frames
   * that begin before the range, the rows in it do not count. `computed` is the map without them.
   *
   * @returns false when more ranges would have to be remembered than are
   */
  skip(from: number, to: number, computing: boolean, computed: RowMap): boolean {
    if (to < from || to <= this.#computedSeq) return true
    if (this.#skips.length >= maxSkips) return false
    this.#skips.push([from, to])
    for (const queued of this.#queue.slice(computing ? 1 : 0)) queued.skipped = this.#isSkipped(queued.step)
    this.#map = computed.clone()
    for (const queued of this.#queue) if (!queued.skipped) this.#apply(queued.step)
    return true
  }

  /** Whether what a seq writes is of no use any more. */
  isSkipped(seq: number): boolean {
    return this.#skips.some(([from, to]) => from <= seq && seq <= to)
  }

  /** Throws away all that is queued: the state is that of the last computed step again. */
  rollBack(computedSeq: number, computed: RowMap): void {
    this.#queue.length = 0
    this.#queuedBytes = 0
    this.#lastSeq = computedSeq
    this.#map = computed.clone()
  }

  #isSkipped(step: StepMessage): boolean {
    return this.#skips.some(([from, to]) => from <= step.from && step.to <= to)
  }

  #apply(step: StepMessage): void {
    const runs = step.runs.filter((run) => !this.isSkipped(run.seq))
    if (runs.length > 0) this.#map.cut(step.position)
    for (const run of runs) this.#map.append(run.rows, run.seq)
  }
}

function withoutRows(step: StepMessage): StepMessage {
  return { ...step, runs: [] }
}
