import { type Event, EventKind } from '../kernel/event-queue.ts'
import type { VirtualClock } from '../kernel/virtual-clock.ts'

/** Work on a machine that is not done yet. */
export interface Job {
  /** What of {@link Machine} it has had when it is done, on the machine's own count. */
  readonly endUs: number
  readonly done: () => void
}

/** A thousandth of a microsecond: what sums of divisions may be wrong by. */
const roundingUs = 1e-3

/**
 * A machine whose cores several processes share: `n` jobs on `c` cores each go on at the rate `min(1, c / n)` (processor
 * sharing, which is what the time slices of an operating system come to). Jobs end at whole microseconds, those of one
 * instant in the order in which they have had what they asked for, then of their beginning.
 */
export class Machine {
  readonly cores: number
  readonly #clock: VirtualClock
  /** In the order of their beginning. */
  readonly #jobs = new Set<Job>()
  /** What each job has had that has been there since the machine was last idle. */
  #servedUs = 0
  #sinceUs = 0
  #idleSinceUs = 0
  #wake: Event | undefined

  /** @param cores at least 1 */
  constructor(clock: VirtualClock, cores: number) {
    this.#clock = clock
    this.cores = cores
  }

  /** How long it has had nothing to do, in microseconds. */
  get idleUs(): number {
    return this.#jobs.size === 0 ? this.#clock.nowUs - this.#idleSinceUs : 0
  }

  /** Begins a job that takes one core for so long, when it has a core of its own. */
  begin(us: number, done: () => void): Job {
    this.#advance()
    const job = { endUs: this.#servedUs + us, done }
    this.#jobs.add(job)
    this.#plan()
    return job
  }

  /** Takes a job off that is not done. @returns what it still needs, in microseconds of a core */
  take(job: Job): number {
    this.#advance()
    this.#jobs.delete(job)
    const leftUs = Math.max(0, job.endUs - this.#servedUs)
    this.#plan()
    return leftUs
  }

  /** Microseconds of time for each one that a job has. */
  get #stretch(): number {
    return Math.max(1, this.#jobs.size / this.cores)
  }

  #advance(): void {
    const { nowUs } = this.#clock
    if (this.#jobs.size === 0) this.#servedUs = 0
    else this.#servedUs += (nowUs - this.#sinceUs) / this.#stretch
    this.#sinceUs = nowUs
  }

  #plan(): void {
    if (this.#wake !== undefined) this.#clock.cancel(this.#wake)
    this.#wake = undefined
    if (this.#jobs.size === 0) {
      this.#idleSinceUs = this.#clock.nowUs
      return
    }
    let endUs = Infinity
    for (const job of this.#jobs) endUs = Math.min(endUs, job.endUs)
    const waitUs = Math.max(0, Math.ceil((endUs - this.#servedUs) * this.#stretch - roundingUs))
    this.#wake = this.#clock.schedule(this.#clock.nowUs + waitUs, EventKind.timer, () => this.#finish())
  }

  #finish(): void {
    this.#wake = undefined
    this.#advance()
    const ended = [...this.#jobs].filter(({ endUs }) => endUs <= this.#servedUs + roundingUs).toSorted((a, b) => a.endUs - b.endUs)
    for (const job of ended) this.#jobs.delete(job)
    this.#plan()
    for (const { done } of ended) done()
  }
}
