import type { CancelTimer, Clock } from '../ports/clock.ts'
import { libp2pLimits } from './libp2p-limits.ts'

/** A connection, and since when nobody has used it. */
export interface IdleConnection<C> {
  readonly connection: C
  readonly sinceMs: number
}

/** When idle connections give way, of a host that may have so many. */
export interface IdleMarks {
  /** Above so many connections some are closed, until there are `downTo`: so it does not happen at each new one. */
  readonly above: number
  readonly downTo: number
}

export function idleMarks(maxConnections: number): IdleMarks {
  return {
    above: Math.floor(maxConnections * libp2pLimits.idleAboveShare),
    downTo: Math.floor(maxConnections * libp2pLimits.idleDownToShare)
  }
}

/** What gives way: those that have been idle for longest, and none that may be about to be used. @param total with those in use */
export function givingWay<C>(idle: readonly IdleConnection<C>[], total: number, marks: IdleMarks, nowMs: number): C[] {
  if (total <= marks.above) return []
  return idle
    .filter(({ sinceMs }) => nowMs - sinceMs >= libp2pLimits.idleMinMs)
    .sort((a, b) => a.sinceMs - b.sinceMs)
    .slice(0, total - marks.downTo)
    .map(({ connection }) => connection)
}

export interface IdleConnectionsInit<C> {
  readonly clock: Clock
  readonly maxConnections: number
  /** Those that are open. */
  readonly list: () => readonly C[]
  /** Since when nobody has used it; undefined when it is in use for long, or must stay. */
  readonly idleSinceMs: (connection: C, nowMs: number) => number | undefined
  readonly close: (connection: C) => void
}

/**
 * Closes idle connections before a host has as many as it may. Libp2p closes some only when there are more than that, which those
 * who dial cannot bring about, since they are refused: so idle connections would shut out newcomers for good.
 */
export class IdleConnections<C> {
  readonly #init: IdleConnectionsInit<C>
  readonly #marks: IdleMarks
  #cancelLook: CancelTimer | undefined
  #stopped = false

  constructor(init: IdleConnectionsInit<C>) {
    this.#init = init
    this.#marks = idleMarks(init.maxConnections)
  }

  /** To be called when there is a new connection, and when one is used no longer. @param total connections that are open */
  review(total: number): void {
    if (total > this.#marks.above && this.#cancelLook === undefined && !this.#stopped) this.#look()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelLook?.()
  }

  #look(): void {
    const { clock, list, idleSinceMs, close } = this.#init
    const nowMs = clock.monotonicMs()
    const all = list()
    const idle: IdleConnection<C>[] = []
    for (const connection of all) {
      const sinceMs = idleSinceMs(connection, nowMs)
      if (sinceMs !== undefined) idle.push({ connection, sinceMs })
    }
    const closing = givingWay(idle, all.length, this.#marks, nowMs)
    for (const connection of closing) close(connection)
    if (all.length - closing.length <= this.#marks.above || closing.length === idle.length) return
    // Nobody can connect any more when all places are taken, so it must not wait for the next connection.
    const { idleMinMs, idleLookMs } = libp2pLimits
    const ripeMs = idle.reduce(
      (least, { sinceMs }) => (nowMs - sinceMs < idleMinMs ? Math.min(least, sinceMs + idleMinMs) : least),
      Infinity
    )
    this.#cancelLook = clock.setTimer(Math.max(ripeMs - nowMs, idleLookMs), () => {
      this.#cancelLook = undefined
      this.#look()
    })
  }
}
