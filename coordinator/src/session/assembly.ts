import type { PeerId } from '@skein/protocol'
import type { ChainEffect } from './chain-events.ts'
import type { ChainMachineInit, ChainMachineOptions } from './chain-options.ts'
import { least } from './link-ends.ts'
import type { Link, Roster, StageRecord } from './roster.ts'

/** A request that a stage must answer by a time. */
interface Asked {
  readonly stage: number
  readonly kind: 'open' | 'predecessor' | 'successor' | 'probe'
  readonly term: number
  readonly byMs: number
}

interface AssemblyContext {
  readonly roster: Roster
  readonly init: ChainMachineInit
  readonly options: ChainMachineOptions
  readonly bytesPerRow: number
  /** What comes on top of a wait, for the size of what is under way. */
  readonly patienceMs: () => number
  readonly allocateId: () => number
  readonly emit: (effect: ChainEffect) => void
}

/**
 * Brings the stages to where the roster wants them, one request at a time: fence, open, reroute. Each of the three says
 * whether it still waits for somebody.
 */
export class Assembly {
  readonly #asked = new Map<number, Asked>()

  constructor(private readonly context: AssemblyContext) {}

  get wakeAtMs(): number | undefined {
    let atMs: number | undefined
    for (const asked of this.#asked.values()) atMs = least(atMs, asked.byMs)
    return atMs
  }

  /** Takes the answer to a request of one of the kinds; undefined when it was not asked for, or is late. */
  answered(id: number, record: StageRecord, ...kinds: Array<Asked['kind']>): Asked | undefined {
    const asked = this.#asked.get(id)
    if (asked === undefined || asked.stage !== record.stage || !kinds.includes(asked.kind)) return undefined
    this.#asked.delete(id)
    return asked
  }

  opened(record: StageRecord, id: number): boolean {
    if (this.answered(id, record, 'open') === undefined) return false
    record.phase = 'open'
    record.inTerm = record.inAsked
    record.outTerm = record.outAsked
    return true
  }

  rerouted(record: StageRecord, id: number): void {
    const asked = this.answered(id, record, 'predecessor', 'successor')
    if (asked?.kind === 'predecessor') record.inTerm = asked.term
    else if (asked !== undefined) record.outTerm = asked.term
  }

  /** Stages that have not answered, or could not be connected, in time. One that waits for its successor to open has done nothing wrong. */
  late(nowMs: number): StageRecord[] {
    const asked = new Set([...this.#asked.values()].filter((each) => nowMs >= each.byMs).map((each) => each.stage))
    return this.context.roster.stages.filter(
      (record) => asked.has(record.stage) || (record.control === 'connecting' && nowMs >= record.connectByMs)
    )
  }

  forget(stage: number): void {
    for (const [id, asked] of this.#asked) if (asked.stage === stage) this.#asked.delete(id)
  }

  /** First: whoever follows a change hears of it, and takes nothing from its old predecessor any more. */
  fence(nowMs: number): boolean {
    let waiting = false
    for (const record of this.context.roster.stages) {
      const link = this.context.roster.inLink(record)
      if (record.phase !== 'open' || link === undefined || record.inTerm === link.term) continue
      waiting = true
      if (record.inAsked === link.term) continue
      record.inAsked = link.term
      this.#rerouteEnd(record, 'predecessor', link, link.from, nowMs)
    }
    return waiting
  }

  /** Second: new stages open, the one nearest to the tail first, so that each finds its successor ready. */
  openNext(nowMs: number, isClosing: (peer: PeerId) => boolean): boolean {
    const { roster } = this.context
    const record = roster.stages.findLast((candidate) => candidate.phase !== 'open')
    if (record === undefined) return false
    if (record.control === 'open' && record.phase === 'new' && !isClosing(record.peer)) this.#open(record, nowMs)
    return true
  }

  /** Third: whoever precedes a change turns to its new successor, and replays what that lacks. */
  reroute(nowMs: number): boolean {
    let waiting = false
    for (const record of this.context.roster.stages) {
      const link = this.context.roster.outLink(record)
      if (link === undefined || record.outTerm === link.term) continue
      waiting = true
      if (record.outAsked === link.term) continue
      record.outAsked = link.term
      this.#rerouteEnd(record, 'successor', link, link.to, nowMs)
    }
    return waiting
  }

  probe(record: StageRecord, nowMs: number): void {
    if (record.phase !== 'open' || record.probeAsked) return
    record.probeAsked = true
    const { options, patienceMs } = this.context
    const id = this.#ask(record, 'probe', 0, nowMs + Math.min(options.answerMs, options.probeMs + patienceMs()))
    this.context.emit({ type: 'control', stage: record.stage, request: { type: 'probe', id } })
  }

  #ask(record: StageRecord, kind: Asked['kind'], term: number, byMs: number): number {
    const id = this.context.allocateId()
    this.#asked.set(id, { stage: record.stage, kind, term, byMs })
    return id
  }

  #rerouteEnd(record: StageRecord, side: 'predecessor' | 'successor', link: Link, other: number, nowMs: number): void {
    const id = this.#ask(record, side, link.term, nowMs + this.context.options.answerMs)
    const end = { term: link.term, to: this.context.roster.peerOf(other) }
    this.context.emit({ type: 'control', stage: record.stage, request: { type: 'reroute', id, side, link: end } })
  }

  #open(record: StageRecord, nowMs: number): void {
    const { roster, init, options, bytesPerRow } = this.context
    const inLink = roster.inLink(record) as Link
    const outLink = roster.outLink(record) as Link
    record.phase = 'opening'
    record.inAsked = inLink.term
    record.outAsked = outLink.term
    const { session, model, exact, kvTokens, encoding } = init
    this.context.emit({
      type: 'control',
      stage: record.stage,
      request: {
        type: 'open',
        id: this.#ask(record, 'open', 0, nowMs + options.openStageMs),
        session,
        model,
        span: record.span,
        numerics: record.numerics,
        exact,
        kvTokens,
        historyBytes: outLink.to === 0 ? 0 : (init.historyBytes ?? kvTokens * bytesPerRow),
        encoding,
        predecessor: { term: inLink.term, to: roster.peerOf(inLink.from) },
        successor: { term: outLink.term, to: roster.peerOf(outLink.to) },
        leaseMs: options.leaseMs
      }
    })
  }
}
