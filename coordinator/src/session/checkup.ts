import type { Link, Roster, StageRecord } from './roster.ts'

/** What holds a chain up. */
export type Culprit = { readonly kind: 'stage'; readonly stage: StageRecord } | { readonly kind: 'link'; readonly link: Link }

/** How far steps have come at a place of the chain, from the coordinator's tokens to its results. */
interface Mark {
  readonly seq: number
  /** What lies between the mark before and this one. */
  readonly behind: Culprit | undefined
}

function marks(roster: Roster, sentSeq: number, receivedSeq: (boundary: number) => number): Mark[] {
  const list: Mark[] = [{ seq: sentSeq, behind: undefined }]
  for (const record of roster.stages) {
    const inLink = roster.inLink(record)
    const outLink = roster.outLink(record)
    list.push({ seq: record.state?.acceptedSeq ?? 0, behind: inLink === undefined ? undefined : { kind: 'link', link: inLink } })
    list.push({ seq: record.state?.held.lastSeq ?? 0, behind: { kind: 'stage', stage: record } })
    if (outLink?.to === 0) list.push({ seq: receivedSeq(outLink.boundary), behind: { kind: 'link', link: outLink } })
  }
  return list
}

/** All that changes when anything moves; equal strings mean that nothing did. */
export function progressOf(roster: Roster, sentSeq: number, receivedSeq: (boundary: number) => number): string {
  return marks(roster, sentSeq, receivedSeq)
    .map((mark) => mark.seq)
    .join()
}

/**
 * What a chain without progress waits for: the last place at which less came out than went in. A place further up can be
 * waiting because of it, by backpressure; one further down has nothing to do.
 */
export function findCulprit(roster: Roster, sentSeq: number, receivedSeq: (boundary: number) => number): Culprit | undefined {
  const list = marks(roster, sentSeq, receivedSeq)
  for (let index = list.length - 1; index > 0; index--) {
    const mark = list[index] as Mark
    if (mark.seq < (list[index - 1] as Mark).seq && mark.behind !== undefined) return mark.behind
  }
  return undefined
}
