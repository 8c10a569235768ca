import type { Problem, StepMessage, TensorEncoding, Want } from '@skein/protocol'
import { allFiniteEncoded, StepLog, WireErrorCode } from '@skein/protocol'
import type { ResultEffect } from './chain-events.ts'

/** A step whose result has not come yet. */
interface PendingStep {
  readonly seq: number
  readonly position: number
  readonly rows: number
  readonly want: Want
  readonly submittedMs: number
  renounced: boolean
}

/** Whether activations hold neither NaN nor infinity; of `raw` ones nobody can tell. */
export function isFinite(body: Uint8Array, encoding: TensorEncoding): boolean {
  return encoding === 'raw' || body.byteLength === 0 || allFiniteEncoded(encoding, body)
}

/** The steps under way, and their results as they come in: each seq once, in order. */
export class StepResults {
  readonly #pending: PendingStep[] = []
  #lastSeq = 0
  #lastSubmittedMs = -Infinity

  constructor(private readonly bytesPerRow: number) {}

  /** The last seq whose result has come. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  /** When the step was submitted whose result came last. */
  get lastSubmittedMs(): number {
    return this.#lastSubmittedMs
  }

  get pending(): number {
    return this.#pending.length
  }

  /** Rows of the oldest step under way; 0 when there is none. */
  get oldestRows(): number {
    return this.#pending[0]?.rows ?? 0
  }

  /** A new step; rows that it cuts back are renounced by the steps before it. */
  submit(next: PendingStep): void {
    for (const step of this.#pending) if (step.position + step.rows > next.position) step.renounced = true
    this.#pending.push(next)
  }

  /** The steps from `from` on are renounced. Returns the least position among them, undefined when none is under way. */
  skip(from: number): number | undefined {
    const skipped = this.#pending.filter((step) => step.seq >= from)
    for (const step of skipped) step.renounced = true
    return skipped.length === 0 ? undefined : Math.min(...skipped.map((step) => step.position))
  }

  /** Which rows of a step with so many rows left the last stage must return. */
  wantOf(seq: number, rows: number): Want {
    const step = this.#pending.find((pending) => pending.seq === seq)
    if (step === undefined || (step.want === 'last' && rows < step.rows)) return 'none'
    return step.want
  }

  /** Takes what the tail has sent. */
  take(message: StepMessage, body: Uint8Array): ResultEffect[] | Problem {
    const problem = checkResult(message, body, this.#lastSeq, this.bytesPerRow)
    if (problem !== undefined) return problem
    const results: ResultEffect[] = []
    let offset = 0
    for (let seq = message.from; seq <= message.to; seq++) {
      const step = this.#pending[results.length]
      if (step === undefined) return wrong(`a result of seq ${seq} came, which was never sent`)
      const rows = message.runs.find((run) => run.seq === seq)?.rows ?? 0
      const wanted = step.want === 'none' ? 0 : step.want === 'last' ? 1 : step.rows
      if (rows > wanted || (rows < wanted && !step.renounced)) return wrong(`the result of seq ${seq} has ${rows} rows of ${wanted}`)
      const end = offset + rows * this.bytesPerRow
      results.push({ type: 'result', seq, rows, body: body.subarray(offset, end), renounced: step.renounced, computeUs: message.computeUs })
      offset = end
    }
    for (const { submittedMs } of this.#pending.splice(0, results.length)) this.#lastSubmittedMs = submittedMs
    this.#lastSeq = Math.max(this.#lastSeq, message.to)
    return results
  }
}

/** Activations that pass through the coordinator between two stages: results of the one, a log for the other. */
export class Relay {
  readonly log = new StepLog<Uint8Array | undefined>(true)

  constructor(
    private readonly bytesPerRow: number,
    private readonly results: StepResults,
    private readonly isSkipped: (seq: number) => boolean
  ) {}

  take(message: StepMessage, body: Uint8Array): Problem | undefined {
    const problem = checkResult(message, body, this.log.lastSeq, this.bytesPerRow)
    if (problem !== undefined) return problem
    const { runs } = message
    if (runs[0] !== undefined && !this.isSkipped(runs[0].seq) && message.position > this.log.map.rows) {
      return wrong(`activations for row ${message.position} came, and there are only ${this.log.map.rows}`)
    }
    let { position } = message
    let offset = 0
    for (const run of runs) {
      if (this.isSkipped(run.seq)) break
      const end = offset + run.rows * this.bytesPerRow
      this.log.record({
        seq: run.seq,
        position,
        rows: run.rows,
        want: this.results.wantOf(run.seq, run.rows),
        frame: message.to,
        computeUs: message.computeUs,
        bytesPerRow: this.bytesPerRow,
        data: body.subarray(offset, end)
      })
      position += run.rows
      offset = end
    }
    this.log.recordVoid(message.to)
    return undefined
  }
}

function wrong(message: string): Problem {
  return { code: WireErrorCode.OutOfOrder, message }
}

function checkResult(message: StepMessage, body: Uint8Array, lastSeq: number, bytesPerRow: number): Problem | undefined {
  if (!(message.from >= 1) || message.to < message.from) return wrong(`a result goes from seq ${message.from} to ${message.to}`)
  if (message.from !== lastSeq + 1) return wrong(`a result of seqs ${message.from} to ${message.to} came after seq ${lastSeq}`)
  let before = message.from - 1
  let rows = 0
  for (const run of message.runs) {
    if (run.seq <= before || run.seq > message.to || !(run.rows >= 1))
      return wrong(`a result has a run of ${run.rows} rows of seq ${run.seq}`)
    before = run.seq
    rows += run.rows
  }
  if (body.byteLength !== rows * bytesPerRow) return wrong(`a result of ${rows} rows has ${body.byteLength} bytes`)
  return undefined
}
