import type { PeerId } from '@skein/protocol'
import type { ChainEffect } from './chain-events.ts'
import type { StageRecord } from './roster.ts'
import { least } from './link-ends.ts'

interface Dying {
  readonly peer: PeerId
  readonly stage: number
  /** It was lost, and may never answer: nobody waits for it. */
  readonly lost: boolean
  closeSent: boolean
  byMs: number
}

/** Stages that are no part of the chain any more and are being closed, as best they can be. */
export class Graveyard {
  #dying: Dying[] = []

  constructor(
    private readonly answerMs: number,
    private readonly emit: (effect: ChainEffect) => void,
    private readonly allocateId: () => number
  ) {}

  get size(): number {
    return this.#dying.length
  }

  /** How many are worth waiting for before the session is over. */
  get awaited(): number {
    return this.#dying.filter((dying) => !dying.lost).length
  }

  get wakeAtMs(): number | undefined {
    let atMs: number | undefined
    for (const dying of this.#dying) if (dying.closeSent) atMs = least(atMs, dying.byMs)
    return atMs
  }

  has(peer: PeerId): boolean {
    return this.#dying.some((dying) => dying.peer === peer)
  }

  holds(stage: number): boolean {
    return this.#dying.some((dying) => dying.stage === stage)
  }

  /** A stage that was never asked to open is just left; another one is asked to close when {@link closeAll} is called. */
  bury(record: StageRecord, lost = false): void {
    if (record.control !== 'open' || record.phase === 'new') this.emit({ type: 'disconnect', stage: record.stage })
    else this.#dying.push({ peer: record.peer, stage: record.stage, lost, closeSent: false, byMs: 0 })
  }

  closeAll(nowMs: number): void {
    for (const dying of this.#dying) {
      if (dying.closeSent) continue
      dying.closeSent = true
      dying.byMs = nowMs + this.answerMs
      this.emit({ type: 'control', stage: dying.stage, request: { type: 'close', id: this.allocateId() } })
    }
  }

  /** Its control channel is gone, and with it the session there. */
  gone(stage: number): void {
    this.#dying = this.#dying.filter((dying) => dying.stage !== stage)
  }

  /** It has closed, or has been given up. */
  forget(stage: number): void {
    if (!this.holds(stage)) return
    this.gone(stage)
    this.emit({ type: 'disconnect', stage })
  }

  tick(nowMs: number): void {
    for (const dying of this.#dying) if (dying.closeSent && nowMs >= dying.byMs) this.forget(dying.stage)
  }
}
