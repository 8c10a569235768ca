/** Anything that may own events: a peer's incarnation. Its dead or frozen state decides what becomes of them. */
export interface EventOwner {
  /** Orders events of one instant; unique in its world. */
  readonly number: number
  readonly alive: boolean
  readonly frozen: boolean
  /** Takes an event that came due while the owner was frozen. */
  defer(event: Event): void
}

/** What an event is, for the log's hash and for reports. */
export const EventKind = {
  timer: 1,
  /** A frame or a control message arrives. */
  arrival: 2,
  /** The inner works of the network: a transfer ends, a share of a link changes. */
  transfer: 3,
  /** A connection breaks, a dial ends. */
  connection: 4,
  /** A planned change of the world: a fault, a heal. */
  world: 5
} as const

export type EventKind = (typeof EventKind)[keyof typeof EventKind]

/** What an event does: a function, or an object that saves one where there are many. */
export type Action = (() => void) | { run(): void }

/** One thing that happens at one instant. */
export class Event {
  /** Virtual time in whole microseconds. Changed only while it is in no queue. */
  timeUs: number
  /** The number of the peer that it concerns; 0 for the world itself. */
  readonly peer: number
  /** The number of the channel that it concerns; 0 for none. */
  readonly channel: number
  /** The number of the event in its run. Changed only while it is in no queue. */
  seq: number
  readonly kind: EventKind
  readonly owner: EventOwner | undefined
  /** Undefined once it was run or cancelled. */
  run: Action | undefined
  /** Whether a queue holds it. */
  queued = false

  constructor(
    timeUs: number,
    peer: number,
    channel: number,
    seq: number,
    kind: EventKind,
    owner: EventOwner | undefined,
    run: Action | undefined
  ) {
    this.timeUs = timeUs
    this.peer = peer
    this.channel = channel
    this.seq = seq
    this.kind = kind
    this.owner = owner
    this.run = run
  }
}

/** By time; within one instant by peer, channel and number, so that one order holds in every run and on every machine. */
function isBefore(a: Event, b: Event): boolean {
  if (a.timeUs !== b.timeUs) return a.timeUs < b.timeUs
  if (a.peer !== b.peer) return a.peer < b.peer
  if (a.channel !== b.channel) return a.channel < b.channel
  return a.seq < b.seq
}

/** Cancelled events are cleared out when they are more than this and more than half of the queue. */
const minSweep = 1024

/**
 * A heap of events with four children a node (fewer levels, and so fewer cache misses, than with two). Cancelling marks an
 * event; marked ones are swept out in bulk, so that their memory is bounded by that of the live ones.
 */
export class EventQueue {
  #heap: Event[] = []
  #cancelled = 0

  /** Events that are neither run nor cancelled. */
  get size(): number {
    return this.#heap.length - this.#cancelled
  }

  /** With cancelled ones that have not been swept out yet. */
  get heldEvents(): number {
    return this.#heap.length
  }

  peek(): Event | undefined {
    let first = this.#heap[0]
    while (first !== undefined && first.run === undefined) {
      this.#cancelled--
      this.#removeFirst()
      first = this.#heap[0]
    }
    return first
  }

  push(event: Event): void {
    const index = this.#heap.length
    event.queued = true
    this.#heap.push(event)
    this.#rise(event, index)
  }

  pop(): Event | undefined {
    const first = this.peek()
    if (first !== undefined) {
      first.queued = false
      this.#removeFirst()
    }
    return first
  }

  /** Does nothing to an event that was run or cancelled. */
  cancel(event: Event): void {
    if (event.run === undefined) return
    event.run = undefined
    if (!event.queued) return
    this.#cancelled++
    if (this.#cancelled > minSweep && this.#cancelled * 2 > this.#heap.length) this.#sweep()
  }

  /** Cancels all that a peer's incarnation owns. @returns how many there were */
  cancelOwnedBy(owner: EventOwner): number {
    let count = 0
    for (const event of this.#heap) {
      if (event.owner !== owner || event.run === undefined) continue
      event.run = undefined
      count++
    }
    this.#cancelled += count
    if (this.#cancelled > minSweep && this.#cancelled * 2 > this.#heap.length) this.#sweep()
    return count
  }

  /** Live events, in no order. */
  *events(): Generator<Event> {
    for (const event of this.#heap) if (event.run !== undefined) yield event
  }

  #sweep(): void {
    this.#heap = this.#heap.filter((event) => event.run !== undefined)
    this.#cancelled = 0
    for (let index = (this.#heap.length - 2) >> 2; index >= 0; index--) this.#sink(this.#heap[index] as Event, index)
  }

  #removeFirst(): void {
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) this.#sink(last, 0)
  }

  #rise(event: Event, from: number): void {
    const heap = this.#heap
    let index = from
    while (index > 0) {
      const parent = (index - 1) >> 2
      const above = heap[parent] as Event
      if (!isBefore(event, above)) break
      heap[index] = above
      index = parent
    }
    heap[index] = event
  }

  #sink(event: Event, from: number): void {
    const heap = this.#heap
    const length = heap.length
    let index = from
    for (;;) {
      let child = 4 * index + 1
      if (child >= length) break
      let least = heap[child] as Event
      const end = Math.min(child + 4, length)
      for (let other = child + 1; other < end; other++) {
        const candidate = heap[other] as Event
        if (isBefore(candidate, least)) {
          least = candidate
          child = other
        }
      }
      if (!isBefore(least, event)) break
      heap[index] = least
      index = child
    }
    heap[index] = event
  }
}
