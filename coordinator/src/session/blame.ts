import type { PeerId } from '@skein/protocol'
import type { Link, Roster, StageRecord } from './roster.ts'

/** What is to be done about a link that fails. */
export type Remedy = { readonly kind: 'renew' } | { readonly kind: 'replace'; readonly stage: StageRecord } | { readonly kind: 'nothing' }

/** What was complained of since the chain last made progress, and who is therefore to be replaced. */
export class Blame {
  readonly #complaints = new Map<number, number>()
  readonly #renewed = new Set<string>()
  readonly #strikes = new Map<PeerId, number>()

  /** Results came: everything works. */
  clear(): void {
    this.#complaints.clear()
    this.#renewed.clear()
    this.#strikes.clear()
  }

  /** Counts a complaint about a link in its present term. */
  complain(link: Link): number {
    const count = (this.#complaints.get(link.term) ?? 0) + 1
    this.#complaints.set(link.term, count)
    return count
  }

  /** Whether a link of these two ends was made anew since the last progress: then one more failure is enough. */
  wasRenewed(link: Link): boolean {
    return this.#renewed.has(`${link.from}>${link.to}`)
  }

  /** A link is at fault: it is made anew once, and then one of its ends is replaced. */
  remedy(link: Link, roster: Roster): Remedy {
    const pair = `${link.from}>${link.to}`
    this.#complaints.delete(link.term)
    if (!this.#renewed.has(pair)) {
      this.#renewed.add(pair)
      return { kind: 'renew' }
    }
    const from = roster.stage(link.from)
    const to = roster.stage(link.to)
    for (const end of [from, to]) if (end !== undefined) this.#strikes.set(end.peer, (this.#strikes.get(end.peer) ?? 0) + 1)
    // Who has had trouble with more neighbours is more likely to be its cause; of equals it is the receiver.
    const strikes = (end: StageRecord | undefined): number => (end === undefined ? -1 : (this.#strikes.get(end.peer) ?? 0))
    const stage = strikes(from) > strikes(to) ? from : to
    return stage === undefined ? { kind: 'nothing' } : { kind: 'replace', stage }
  }
}
