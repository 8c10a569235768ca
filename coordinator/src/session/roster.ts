import type { BlockRange, LinkPeer, Numerics, PeerId, StateResponse } from '@skein/protocol'
import { sameNumerics } from '@skein/protocol'
import type { ChainStage, ChosenStage } from './chain-events.ts'

/** A stage of the chain, as far as the coordinator knows it. */
export interface StageRecord extends ChosenStage {
  readonly kind: 'stage'
  readonly stage: number
  control: 'connecting' | 'open'
  /** When the control channel must be open. */
  readonly connectByMs: number
  phase: 'new' | 'opening' | 'open'
  /** The terms that the stage has confirmed, by `opened` or `rerouted`. */
  inTerm: number
  outTerm: number
  /** The terms of reroutes that are under way; 0 for none. */
  inAsked: number
  outAsked: number
  probeAsked: boolean
  state?: StateResponse
}

/** Blocks without a stage. */
export interface Gap {
  readonly kind: 'gap'
  readonly span: BlockRange
  /** What the lost stages computed with, where they were of one kind. */
  readonly numerics?: Numerics
  request?: number
  searchAtMs: number
  /** What the last answer said to be uncovered. */
  uncovered?: readonly BlockRange[]
}

export type Slot = StageRecord | Gap

/** A link between two neighbours, each named by its stage number; 0 is the coordinator. */
export interface Link {
  readonly term: number
  readonly from: number
  readonly to: number
  /** The first block behind the link. */
  readonly boundary: number
}

/**
 * Who stands where in the chain, and which links that takes. A link keeps its term for as long as its two ends stay the
 * same; terms only rise within a session, and no two links share one.
 */
export class Roster {
  slots: Slot[] = []
  #links: Link[] = []
  #term = 0
  #nextStage = 1

  constructor(private readonly star: boolean) {}

  get links(): readonly Link[] {
    return this.#links
  }

  get stages(): StageRecord[] {
    return this.slots.filter((slot) => slot.kind === 'stage')
  }

  get gaps(): Gap[] {
    return this.slots.filter((slot) => slot.kind === 'gap')
  }

  get wakeAtMs(): number | undefined {
    let atMs: number | undefined
    for (const slot of this.slots) {
      if (slot.kind === 'stage') {
        if (slot.control === 'connecting') atMs = Math.min(atMs ?? Infinity, slot.connectByMs)
      } else if (slot.request === undefined) atMs = Math.min(atMs ?? Infinity, slot.searchAtMs)
    }
    return atMs
  }

  gapOf(request: number): Gap | undefined {
    return this.gaps.find((gap) => gap.request === request)
  }

  /** Nobody could take these blocks: the next search is due at a time. */
  searchLater(gap: Gap, atMs: number, uncovered: readonly BlockRange[]): void {
    gap.request = undefined
    gap.uncovered = uncovered
    gap.searchAtMs = atMs
  }

  /** The stages as others may see them. */
  chain(): ChainStage[] {
    return this.stages.map(publicStage)
  }

  stage(number: number): StageRecord | undefined {
    return this.stages.find((record) => record.stage === number)
  }

  /** The control channel of a stage is open. */
  connected(number: number): void {
    const record = this.stage(number)
    if (record !== undefined) record.control = 'open'
  }

  create(chosen: ChosenStage, connectByMs: number): StageRecord {
    return {
      ...chosen,
      kind: 'stage',
      stage: this.#nextStage++,
      control: 'connecting',
      connectByMs,
      phase: 'new',
      inTerm: 0,
      outTerm: 0,
      inAsked: 0,
      outAsked: 0,
      probeAsked: false
    }
  }

  /** Puts gaps where the lost stages stood; neighbouring gaps become one. */
  remove(lost: readonly StageRecord[], nowMs: number): void {
    const slots: Slot[] = []
    for (const slot of this.slots) {
      if (slot.kind === 'stage' && !lost.includes(slot)) {
        slots.push(slot)
        continue
      }
      const before = slots.at(-1)
      if (before?.kind === 'gap') {
        const same = before.numerics !== undefined && slot.numerics !== undefined && sameNumerics(before.numerics, slot.numerics)
        const span = { start: before.span.start, end: slot.span.end }
        slots[slots.length - 1] = { kind: 'gap', span, searchAtMs: nowMs, ...(same ? { numerics: before.numerics } : {}) }
      } else {
        slots.push(slot.kind === 'gap' ? slot : { kind: 'gap', span: slot.span, numerics: slot.numerics, searchAtMs: nowMs })
      }
    }
    this.slots = slots
    this.relink()
  }

  fill(gap: Gap, stages: readonly StageRecord[]): void {
    this.slots = this.slots.flatMap((slot): readonly Slot[] => (slot === gap ? stages : [slot]))
    this.relink()
  }

  /** Finds the links of the present slots; pairs that stay keep their term. */
  relink(): void {
    const old = this.#links
    const links: Link[] = []
    const add = (from: number, to: number, boundary: number): void => {
      const same = old.find((link) => link.from === from && link.to === to)
      links.push(same ?? { term: ++this.#term, from, to, boundary })
    }
    this.slots.forEach((slot, index) => {
      if (slot.kind === 'gap') return
      const before = this.slots[index - 1]
      const after = this.slots[index + 1]
      if (before === undefined || this.star) add(0, slot.stage, slot.span.start)
      if (after === undefined || this.star) add(slot.stage, 0, slot.span.end)
      else if (after.kind === 'stage') add(slot.stage, after.stage, slot.span.end)
    })
    this.#links = links
  }

  /** Gives a link a new term, so that both its ends make it anew. */
  renew(link: Link): Link {
    const renewed = { ...link, term: ++this.#term }
    this.#links = this.#links.map((other) => (other === link ? renewed : other))
    return renewed
  }

  inLink(record: StageRecord): Link | undefined {
    return this.#links.find((link) => link.to === record.stage)
  }

  outLink(record: StageRecord): Link | undefined {
    return this.#links.find((link) => link.from === record.stage)
  }

  peerOf(stage: number): LinkPeer {
    const record = this.stage(stage)
    if (record === undefined) return { kind: 'coordinator' }
    return { kind: 'stage', peer: record.peer, ...(record.record === undefined ? {} : { record: record.record }) }
  }

  peers(): PeerId[] {
    return this.stages.map((record) => record.peer)
  }
}

export function publicStage({ stage, peer, span, numerics, record }: StageRecord): ChainStage {
  return { stage, peer, span, numerics, ...(record === undefined ? {} : { record }) }
}
