import { type CancelTimer, checkedDelayMs, ClockBase, InvalidArgumentError, SkeinError } from '@skein/protocol'
import { EventLog } from './event-log.ts'
import { type Action, Event, EventKind, type EventOwner, EventQueue } from './event-queue.ts'
import { PeerClock, type PeerClockInit, type WorldClock } from './peer-clock.ts'

/** A run that cannot get any further. The text says what it waits for. */
export class StalledError extends SkeinError<'ERR_SKEIN_SIM_STALLED'> {
  constructor(message: string) {
    super('ERR_SKEIN_SIM_STALLED', message)
  }
}

export interface VirtualClockInit {
  /** What `wallMs` reads at the start of the run. @default 1_780_000_000_000 */
  readonly wallStartMs?: number
  /** Events of one instant after which the run is taken for a loop without end. @default 1_000_000 */
  readonly maxEventsPerInstant?: number
}

// eslint-disable-next-line no-restricted-globals -- no timer: the kernel is the one place that touches the real event loop
const endOfTurn = setImmediate

/** Events between two looks at the real event loop's queues. */
const maxBatch = 256

/**
 * The clock of a simulated world. Time is whole microseconds and passes only from event to event; between two events every
 * microtask is drained, so that what one event set off has ended before the next begins, and a run is a function of its
 * inputs alone.
 */
export class VirtualClock extends ClockBase implements WorldClock {
  readonly #queue = new EventQueue()
  readonly #log = new EventLog()
  readonly #wallStartMs: number
  readonly #maxEventsPerInstant: number
  #nowUs = 0
  #seq = 0
  #nextPeer = 1
  #discarded = 0
  #eventsOfInstant = 0
  #running = false
  #current: Event | undefined

  /** @param init options, or only what `wallMs` reads at the start */
  constructor(init: number | VirtualClockInit = {}) {
    super()
    const { wallStartMs = 1_780_000_000_000, maxEventsPerInstant = 1_000_000 } = typeof init === 'number' ? { wallStartMs: init } : init
    this.#wallStartMs = wallStartMs
    this.#maxEventsPerInstant = maxEventsPerInstant
  }

  wallMs(): number {
    return this.#wallStartMs + this.#nowUs / 1000
  }

  monotonicMs(): number {
    return this.#nowUs / 1000
  }

  get nowUs(): number {
    return this.#nowUs
  }

  /** Timers and other events that have neither happened nor been cancelled. */
  get pendingTimers(): number {
    return this.#queue.size
  }

  /** Events that happened so far. */
  get events(): number {
    return this.#log.count
  }

  /** What dead incarnations tried to do, or had planned. */
  get discarded(): number {
    return this.#discarded
  }

  /** The hash of every event so far: equal for two runs exactly when the same things happened in the same order. */
  eventLogHash(): string {
    return this.#log.digest()
  }

  /** Adds a fact to the event log, so that runs that differ in it have different hashes. */
  note(value: number): void {
    this.#log.note(value)
  }

  /** A clock for one incarnation of a peer. Peers are numbered in the order in which this is called. */
  forPeer(name: string, init?: PeerClockInit): PeerClock {
    return new PeerClock(this, this.#nextPeer++, name, init)
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    const delay = checkedDelayMs(delayMs)
    return delay === Infinity ? () => {} : this.timer(delay, undefined, callback)
  }

  /** A timer of a peer, or of the world. @param delayMs finite, not negative */
  timer(delayMs: number, owner: EventOwner | undefined, callback: () => void): CancelTimer {
    // So that no timer fires early.
    let timeUs = this.#nowUs + wholeUs(delayMs)
    // Who waits until a time of its own finds, when it is called, that the clock has reached it: else it would set a timer of
    // nothing again and again.
    if (timeUs / 1000 < this.monotonicMs() + delayMs) timeUs++
    const event = this.schedule(timeUs, EventKind.timer, callback, owner)
    return () => this.cancel(event)
  }

  /**
   * Plans an event.
   *
   * @param timeUs whole microseconds of virtual time, not before now
   * @param owner whose death discards it and whose freeze delays it
   * @param peer orders events of one instant where there is no owner
   */
  schedule(
    timeUs: number,
    kind: EventKind,
    run: Action,
    owner?: EventOwner,
    channel = 0,
    peer = owner === undefined ? 0 : owner.number
  ): Event {
    const event = new Event(timeUs, peer, channel, this.#seq++, kind, owner, run)
    this.#queue.push(event)
    return event
  }

  cancel(event: Event): void {
    this.#queue.cancel(event)
  }

  /** Plans again, for now, an event that was kept back. It keeps its identity, so that it can still be cancelled. */
  resume(event: Event): void {
    event.timeUs = this.#nowUs
    event.seq = this.#seq++
    this.#queue.push(event)
  }

  countDiscarded(count: number): void {
    this.#discarded += count
  }

  discardOf(owner: EventOwner, deferred: number): void {
    this.#discarded += deferred + this.#queue.cancelOwnedBy(owner)
  }

  /**
   * Runs every event up to and including a time, then stands at that time.
   *
   * @param untilMs virtual time, not a duration
   * @throws InvalidArgumentError when the time has passed or a run is under way; whatever an event throws; StalledError
   */
  async runUntil(untilMs: number): Promise<void> {
    const untilUs = wholeUs(untilMs)
    if (!(untilUs >= this.#nowUs) || untilMs === Infinity) {
      throw new InvalidArgumentError(`the virtual time is ${this.monotonicMs()} ms: it cannot run until ${untilMs} ms`)
    }
    await this.#run(untilUs)
    this.#nowUs = untilUs
  }

  /** Whether it stands at this time or later, to the microsecond: a sum of milliseconds may be a bit beyond what it can stand at. */
  hasReached(timeMs: number): boolean {
    return this.#nowUs >= wholeUs(timeMs)
  }

  /** Runs until no event is left, and stands at the time of the last one. A timer that sets itself again never ends it. */
  async runToEnd(): Promise<void> {
    await this.#run(Infinity)
  }

  /**
   * Runs until a promise settles, and gives its outcome. Time stands at the event that settled it.
   *
   * @param limitMs virtual time by which it must have settled
   * @throws StalledError when no event is left or the limit has passed while it still waits; whatever the promise rejects with
   */
  async runUntilSettled<T>(promise: Promise<T>, what: string, limitMs = Infinity): Promise<T> {
    let settled = false
    const mark = (): void => {
      settled = true
    }
    promise.then(mark, mark)
    await this.#run(Math.floor(limitMs * 1000), () => settled)
    if (settled) return await promise
    const next = this.#queue.peek()
    const why =
      next === undefined
        ? 'no event is left that could bring it about: something waits for a promise that nobody will ever settle'
        : `the limit of ${limitMs} ms has passed; the next event is due at ${next.timeUs / 1000} ms`
    throw new StalledError(`${what} has not come about by ${this.monotonicMs()} ms of virtual time: ${why}`)
  }

  async #run(untilUs: number, isDone?: () => boolean): Promise<void> {
    if (this.#running) throw new InvalidArgumentError('this virtual clock is running already')
    this.#running = true
    try {
      await new Promise<void>((resolve, reject) => this.#runBatches(untilUs, isDone, resolve, reject))
    } finally {
      this.#running = false
      this.#current = undefined
    }
  }

  /**
   * One event per callback of `setImmediate`: Node.js drains all microtasks after each (since version 11), and takes up the
   * callbacks of one batch without going around its event loop. That is four times faster than an awaited one per event.
   */
  #runBatches(untilUs: number, isDone: (() => boolean) | undefined, resolve: () => void, reject: (error: unknown) => void): void {
    let left = 0
    let batch = 1
    let over = false
    const step = (): void => {
      if (over) return
      left--
      try {
        over = isDone?.() === true || !this.#step(untilUs)
        if (over) resolve()
        else if (left === 0) refill()
      } catch (error) {
        over = true
        reject(error)
      }
    }
    const refill = (): void => {
      left = batch
      batch = Math.min(2 * batch, maxBatch)
      for (let index = 0; index < left; index++) endOfTurn(step)
    }
    refill()
  }

  /** Runs the next event that is due; false when there is none. */
  #step(untilUs: number): boolean {
    for (;;) {
      const event = this.#queue.peek()
      if (event === undefined || event.timeUs > untilUs) return false
      this.#queue.pop()
      this.#pass(event)
      const { owner } = event
      if (owner !== undefined && (owner.frozen || !owner.alive)) {
        if (owner.alive) owner.defer(event)
        else this.#discarded++
        continue
      }
      const run = event.run as Action
      event.run = undefined
      this.#log.add(event.timeUs, event.peer, event.kind, event.channel)
      this.#current = event
      if (typeof run === 'function') run()
      else run.run()
      return true
    }
  }

  #pass(event: Event): void {
    if (event.timeUs > this.#nowUs) {
      this.#nowUs = event.timeUs
      this.#eventsOfInstant = 0
    } else if (++this.#eventsOfInstant > this.#maxEventsPerInstant) {
      throw new StalledError(
        `${this.#eventsOfInstant} events happened at ${this.monotonicMs()} ms of virtual time and it does not pass: ` +
          `the last were of ${nameOf(this.#current)} and ${nameOf(event)}; something asks again without waiting`
      )
    }
  }
}

/** Rounded up, but not for the last bits of a product such as 0.3 * 1000. */
function wholeUs(ms: number): number {
  return Math.ceil(ms * 1000 - 1e-6)
}

function nameOf(event: Event | undefined): string {
  if (event === undefined) return 'nobody'
  return event.owner instanceof PeerClock ? event.owner.name : event.peer === 0 ? 'the world' : `peer ${event.peer}`
}
