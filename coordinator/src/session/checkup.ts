import type { ChainMachineOptions } from './chain-options.ts'
import type { Link, Roster, StageRecord } from './roster.ts'

/** What holds a chain up. */
export type Culprit = { readonly kind: 'stage'; readonly stage: StageRecord } | { readonly kind: 'link'; readonly link: Link }

/** How far steps have come at a place of the chain, from the coordinator's tokens to its results. */
interface Mark {
  readonly seq: number
  /** What lies between the mark before and this one. */
  readonly behind: Culprit | undefined
}

function marks(roster: Roster, sentSeq: number, receivedSeq: (boundary: number) => number): Mark[] {
  const list: Mark[] = [{ seq: sentSeq, behind: undefined }]
  for (const record of roster.stages) {
    const inLink = roster.inLink(record)
    const outLink = roster.outLink(record)
    list.push({ seq: record.state?.acceptedSeq ?? 0, behind: inLink === undefined ? undefined : { kind: 'link', link: inLink } })
    list.push({ seq: record.state?.held.lastSeq ?? 0, behind: { kind: 'stage', stage: record } })
    if (outLink?.to === 0) list.push({ seq: receivedSeq(outLink.boundary), behind: { kind: 'link', link: outLink } })
  }
  return list
}

/** All that changes when anything moves; equal strings mean that nothing did. */
function progressOf(roster: Roster, sentSeq: number, receivedSeq: (boundary: number) => number): string {
  return marks(roster, sentSeq, receivedSeq)
    .map((mark) => mark.seq)
    .join()
}

/**
 * What a chain without progress waits for: the last place at which less came out than went in. A place further up can be
 * waiting because of it, by backpressure; one further down has nothing to do.
 */
function findCulprit(roster: Roster, sentSeq: number, receivedSeq: (boundary: number) => number): Culprit | undefined {
  const list = marks(roster, sentSeq, receivedSeq)
  for (let index = list.length - 1; index > 0; index--) {
    const mark = list[index] as Mark
    if (mark.seq < (list[index - 1] as Mark).seq && mark.behind !== undefined) return mark.behind
  }
  return undefined
}

interface CheckupContext {
  readonly roster: Roster
  readonly options: Pick<ChainMachineOptions, 'checkAfterMs' | 'leastCheckMs' | 'checkFactor' | 'stuckAfterMs'>
  /** What comes on top, for the size of what is under way. */
  readonly patienceMs: () => number
  /** The last seq that was submitted. */
  readonly sentSeq: () => number
  readonly receivedSeq: (boundary: number) => number
}

/**
 * When to probe all stages, and what their answers mean. A checkup is due when no result has come for a while, or when
 * somebody complains; it goes on until something moves or a culprit is found.
 */
export class Checkup {
  #atMs: number | undefined
  #running = false
  #progress = ''
  #sinceMs = 0
  #waitsSinceMs: number | undefined
  /** From one result to the next, lately. */
  #usualMs: number | undefined

  constructor(private readonly context: CheckupContext) {}

  get wakeAtMs(): number | undefined {
    return this.#atMs
  }

  /** The next one is due a while from now, if there is anything to wait for. */
  schedule(nowMs: number, waiting: boolean): void {
    this.#waitsSinceMs = waiting ? (this.#waitsSinceMs ?? nowMs) : undefined
    this.#atMs = waiting ? nowMs + this.#afterMs() : undefined
  }

  /** A result has come. */
  progressed(nowMs: number, waiting: boolean): void {
    if (this.#waitsSinceMs !== undefined) {
      const tookMs = nowMs - this.#waitsSinceMs
      this.#usualMs = this.#usualMs === undefined ? tookMs : 0.8 * this.#usualMs + 0.2 * tookMs
    }
    this.#waitsSinceMs = undefined
    this.schedule(nowMs, waiting)
  }

  /** Nothing tells a chain whose host has lost its power from one that computes, but that its next result is late. */
  #afterMs(): number {
    const { options, patienceMs } = this.context
    if (this.#usualMs === undefined) return options.checkAfterMs
    return Math.min(options.checkAfterMs, Math.max(options.leastCheckMs, options.checkFactor * this.#usualMs + patienceMs()))
  }

  soon(nowMs: number): void {
    this.#atMs = nowMs
  }

  /** Whether it is due; then all stages must be probed. */
  due(nowMs: number): boolean {
    return this.#atMs !== undefined && nowMs >= this.#atMs
  }

  begin(): void {
    this.#running = true
  }

  /** The chain is whole: only from now on must something move. */
  restart(nowMs: number): void {
    this.#sinceMs = nowMs
  }

  /** A stage has answered. Once all have, nobody is dead; but does anything move? */
  answered(nowMs: number, waiting: boolean): Culprit | undefined {
    const { roster, options, receivedSeq } = this.context
    if (!this.#running || roster.stages.some((record) => record.probeAsked)) return undefined
    this.#running = false
    const sentSeq = this.context.sentSeq()
    const progress = progressOf(roster, sentSeq, receivedSeq)
    if (progress !== this.#progress || !waiting) {
      this.#progress = progress
      this.#sinceMs = nowMs
    }
    if (nowMs - this.#sinceMs < options.stuckAfterMs + this.context.patienceMs()) return undefined
    this.#sinceMs = nowMs
    return findCulprit(roster, sentSeq, receivedSeq)
  }
}
