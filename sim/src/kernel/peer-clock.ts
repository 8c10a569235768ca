import { type CancelTimer, checkedDelayMs, ClockBase } from '@skein/protocol'
import type { Action, Event, EventOwner } from './event-queue.ts'
import { EventKind } from './event-queue.ts'

export interface PeerClockInit {
  /** How far its wall clock is ahead of the world's, in milliseconds. @default 0 */
  readonly wallOffsetMs?: number
}

/** What a peer's clock needs of that of its world. */
export interface WorldClock {
  readonly nowUs: number
  wallMs(): number
  monotonicMs(): number
  timer(delayMs: number, owner: EventOwner | undefined, callback: () => void): CancelTimer
  schedule(timeUs: number, kind: EventKind, run: Action, owner?: EventOwner, channel?: number): Event
  resume(event: Event): void
  /** Counts events that will not happen, since who they concern is gone. */
  countDiscarded(count: number): void
  /** Takes back everything that is planned for the owner. @param deferred events of it that are not planned any more */
  discardOf(owner: EventOwner, deferred: number): void
}

/**
 * The time of one incarnation of a peer: its timers live and die with it. A frozen one's events wait until it thaws; a dead
 * one's are discarded and counted. Its wall clock may be wrong and may jump; its monotonic one is the world's.
 */
export class PeerClock extends ClockBase implements EventOwner {
  readonly number: number
  /** For reports: the peer's id. */
  readonly name: string
  readonly #root: WorldClock
  #wallOffsetMs: number
  #alive = true
  #frozen = false
  #deferred: Event[] = []

  /** Made by `VirtualClock.forPeer`. */
  constructor(root: WorldClock, number: number, name: string, init: PeerClockInit = {}) {
    super()
    this.#root = root
    this.number = number
    this.name = name
    this.#wallOffsetMs = init.wallOffsetMs ?? 0
  }

  get alive(): boolean {
    return this.#alive
  }

  get frozen(): boolean {
    return this.#frozen
  }

  wallMs(): number {
    return this.#root.wallMs() + this.#wallOffsetMs
  }

  monotonicMs(): number {
    return this.#root.monotonicMs()
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    const delay = checkedDelayMs(delayMs)
    if (!this.#alive) {
      this.#root.countDiscarded(1)
      return () => {}
    }
    if (delay === Infinity) return () => {}
    return this.#root.timer(delay, this, callback)
  }

  /** Moves the wall clock, forward or back. */
  jump(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  /** The process stands still, as after SIGSTOP: nothing that concerns it happens until `thaw`. */
  freeze(): void {
    if (this.#alive) this.#frozen = true
  }

  /** What came due in the meantime happens now, in the order in which it came due. */
  thaw(): void {
    if (!this.#frozen) return
    this.#frozen = false
    const deferred = this.#deferred
    this.#deferred = []
    for (const event of deferred) {
      if (event.run !== undefined) this.#root.resume(event)
    }
  }

  /** The incarnation ends: nothing of it happens any more. Idempotent. */
  kill(): void {
    if (!this.#alive) return
    this.#alive = false
    this.#frozen = false
    let count = 0
    for (const event of this.#deferred) {
      if (event.run === undefined) continue
      event.run = undefined
      count++
    }
    this.#deferred = []
    this.#root.discardOf(this, count)
  }

  defer(event: Event): void {
    this.#deferred.push(event)
  }

  /** Runs something as this peer, at this instant but as an event of its own. */
  soon(run: () => void, kind: EventKind = EventKind.timer, channel = 0): void {
    if (this.#alive) this.#root.schedule(this.#root.nowUs, kind, run, this, channel)
    else this.#root.countDiscarded(1)
  }
}
