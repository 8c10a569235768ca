import type { ChurnSchedule } from './churn.ts'

/** A node that comes and goes. Its process may also end by itself, or by a fault. */
export interface ChurnedNode {
  /** Whether there is a process, be it on its way out. */
  isRunning(): boolean
  /** Starts the process, unless it runs. */
  start(): void
  /** Leaves as its group does: drains and ends, or just ends. Of a process that does not run, nothing comes. */
  leave(): void
}

export interface ChurnTime {
  /** Milliseconds since the start of the run. */
  nowMs(): number
  /** @returns what cancels it */
  setTimer(ms: number, callback: () => void): () => void
}

/** Makes a node come and go as its schedule says, from {@link begin} to {@link end}. */
export class ChurnDriver {
  readonly #schedule: ChurnSchedule | undefined
  readonly #node: ChurnedNode
  readonly #time: ChurnTime
  #isFollowed = false
  #cancel: (() => void) | undefined

  /** @param schedule undefined for a node that is always there */
  constructor(schedule: ChurnSchedule | undefined, node: ChurnedNode, time: ChurnTime) {
    this.#schedule = schedule
    this.#node = node
    this.#time = time
  }

  /** Whether it is there when the run begins; who is not comes by itself. */
  get isThereFirst(): boolean {
    return this.#schedule === undefined || this.#schedule.firstMs === 0
  }

  begin(): void {
    if (this.#schedule === undefined) return
    this.#isFollowed = true
    if (this.isThereFirst) this.#planLeave(this.#schedule)
    else this.#planArrival(this.#schedule, this.#schedule.firstMs)
  }

  end(): void {
    this.#isFollowed = false
    this.#cancel?.()
    this.#cancel = undefined
  }

  /** Its process has ended, whatever ended it. */
  gone(): void {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#isFollowed && this.#schedule !== undefined) this.#planArrival(this.#schedule, this.#schedule.away(this.#time.nowMs()))
  }

  #planLeave(schedule: ChurnSchedule): void {
    this.#plan(schedule.stay(this.#time.nowMs()), () => {
      this.#node.leave()
      // It was down already by a fault: it goes on from there.
      if (!this.#node.isRunning() && this.#cancel === undefined) this.gone()
    })
  }

  #planArrival(schedule: ChurnSchedule, ms: number): void {
    this.#plan(ms, () => {
      this.#node.start()
      this.#planLeave(schedule)
    })
  }

  /** @param ms from now; Infinity: never */
  #plan(ms: number, then: () => void): void {
    if (ms === Infinity) return
    this.#cancel = this.#time.setTimer(ms, () => {
      this.#cancel = undefined
      then()
    })
  }
}
