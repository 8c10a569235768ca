import type { Clock } from '../ports/clock.ts'
import { LazyTimer } from '../ports/lazy-timer.ts'

/** What every event of a state machine has. */
interface MachineEvent {
  readonly type: string
}

/** A state machine without I/O, clock or randomness: snapshot and event in, effects out. */
export interface Machine<Event extends MachineEvent, Effect> {
  /** @param nowMs - the monotonic time at which the shell saw the event */
  handle(event: Event, nowMs: number): readonly Effect[]
  /** When it wants to be fed `tick`; undefined or infinite while nothing waits for time. */
  readonly wakeAtMs: number | undefined
}

export interface MachineDriverInit<Event extends MachineEvent, Effect> {
  readonly clock: Clock
  readonly machine: Machine<Event, Effect>
  readonly tick: Event
  /** Does what an effect says. What it throws counts as a mistake of this program. */
  readonly carryOut: (effect: Effect) => void
  /** The machine or an effect has thrown; the rest of that event's effects are lost. What it throws itself, `feed` throws. */
  readonly onMistake: (error: unknown, event: string) => void
}

/**
 * Feeds a state machine with events and time, and has its effects carried out. Both sides of a session have one; the
 * simulator and the tests drive the same machines by themselves.
 */
export class MachineDriver<Event extends MachineEvent, Effect> {
  readonly #init: MachineDriverInit<Event, Effect>
  readonly #events: Event[] = []
  readonly #timer: LazyTimer
  #stopped = false

  constructor(init: MachineDriverInit<Event, Effect>) {
    this.#init = init
    this.#timer = new LazyTimer(init.clock, () => this.feed(init.tick))
  }

  /** Whether effects are being carried out, or events wait until they are. */
  get busy(): boolean {
    return this.#events.length > 0
  }

  /** Feeds one event at a time: one that comes up while effects are carried out waits until they are. */
  feed(event: Event): void {
    this.#events.push(event)
    if (this.#events.length === 1) this.#drain()
  }

  #drain(): void {
    try {
      for (let [next] = this.#events; next !== undefined; next = this.#events[0]) {
        try {
          if (!this.#stopped) this.#handle(next)
        } catch (error) {
          this.#init.onMistake(error, next.type)
        } finally {
          this.#events.shift()
        }
      }
    } finally {
      // The report of a mistake threw: an event that was left here would keep all later ones waiting.
      if (this.#events.length > 0) this.#drain()
    }
  }

  /** Nothing is fed any more, and no timer is left. */
  stop(): void {
    this.#stopped = true
    this.#timer.cancel()
  }

  #handle(event: Event): void {
    const { clock, machine, carryOut } = this.#init
    for (const effect of machine.handle(event, clock.monotonicMs())) carryOut(effect)
    this.#arm()
  }

  #arm(): void {
    const { wakeAtMs = Number.POSITIVE_INFINITY } = this.#init.machine
    if (this.#stopped || wakeAtMs === Number.POSITIVE_INFINITY) this.#timer.cancel()
    else this.#timer.set(wakeAtMs)
  }
}
