import type { PeerId } from '../ids.ts'
import type { StoredAnnouncement } from './model-records.ts'
import type { Conduct } from './conduct.ts'
import { affinityOf } from './digest.ts'
import type { DirectoryComponents, DirectoryInit } from './directory-init.ts'

/** So many times the keepers are held by those that are none, so that some are left when keepers go. */
const spareKeepers = 2

/** How long what was found of the keepers is good enough to judge what arrives, and to choose whom to ask; no longer than until a failed one is avoided. */
const keepersHoldMs = 10_000

/**
 * Who holds the whole directory. In a small swarm everybody does. In a large one it is the first peers by id: whoever asks any
 * peer for the first page of its directory learns who they are, and with the ids being hashes of nothing in particular they
 * are anybody. What a peer hears of thus does not grow with the swarm, unless it is a keeper or a coordinator.
 *
 * Ids can be chosen by who makes many keys, so a patient attacker can become a keeper, and keep records back; it can forge
 * none. Several keepers are asked for that reason.
 */
export class Keepers {
  readonly #components: DirectoryComponents
  readonly #init: DirectoryInit
  readonly #conduct: Conduct
  readonly #others: () => Iterable<PeerId>
  readonly #affinityTo: (peer: PeerId) => number
  #lately: { readonly keepers: readonly PeerId[]; readonly atMs: number; readonly changes: number } | undefined

  /** @param others - peers that can be talked to though they have no announcement here: contacts */
  constructor(components: DirectoryComponents, init: DirectoryInit, conduct: Conduct, others: () => Iterable<PeerId>) {
    this.#components = components
    this.#init = init
    this.#conduct = conduct
    this.#others = others
    this.#affinityTo = affinityOf(components.network.self)
  }

  /** Records that a peer which is no keeper holds, its own not counted. */
  get spare(): number {
    return spareKeepers * this.#init.keepers
  }

  /** The first by id of the peers that can be talked to, in that order; all of them in a small swarm. This peer is never among them. */
  list(evenAvoided = false): PeerId[] {
    const { store, clock } = this.#components
    const { model, keepers } = this.#init
    const nowMs = clock.monotonicMs()
    const known = this.#known(keepers, evenAvoided, nowMs).map(({ announcement }) => announcement.peer)
    const last = known.length < keepers ? undefined : known.at(-1)
    const others = [...this.#others()].filter((peer) => {
      // Most contacts come behind so many as are wanted, and need no look.
      if ((last !== undefined && peer > last) || known.includes(peer)) return false
      // What a peer says of itself goes before what others said of it.
      return this.#isGood(peer, nowMs, evenAvoided) && store.get(model, peer, nowMs)?.announcement.state !== 'offline'
    })
    return others.length === 0 ? known : [...new Set([...known, ...others])].sort().slice(0, keepers)
  }

  /**
   * The few keepers that this peer tells of itself: always the same ones while they are there, since a connection to each of
   * them in turn costs both sides more than all that is said on it. By rendezvous hashing (Thaler and Ravishankar 1998) each
   * keeper has its share of the peers, and only those of one that goes turn to others.
   */
  near(count: number): PeerId[] {
    const scored = this.#recent().map((peer) => ({ peer, score: this.#affinityTo(peer) }))
    return scored
      .sort((a, b) => b.score - a.score || (a.peer < b.peer ? -1 : 1))
      .slice(0, count)
      .map(({ peer }) => peer)
  }

  /** Whether {@link list} would have anybody. */
  any(evenAvoided = false): boolean {
    return this.#known(1, evenAvoided, this.#components.clock.monotonicMs()).length > 0 || this.list(evenAvoided).length > 0
  }

  /** Whether at least as many records are held as by a peer that is no keeper of a large swarm. */
  get knowMany(): boolean {
    return this.#first().length === this.spare
  }

  /** The first announced peers by id that can be talked to. */
  #known(count: number, evenAvoided: boolean, nowMs: number): StoredAnnouncement[] {
    return this.#components.store.first(this.#init.model, nowMs, count, ({ announcement: { state, peer } }) => {
      return state !== 'offline' && this.#isGood(peer, nowMs, evenAvoided)
    })
  }

  #isGood(peer: PeerId, nowMs: number, evenAvoided: boolean): boolean {
    if (peer === this.#components.network.self || this.#conduct.isBanned(peer, nowMs)) return false
    return evenAvoided || !this.#conduct.isAvoided(peer, nowMs)
  }

  /** Finds out anew, when the next question comes, who the keepers are. */
  look(): void {
    this.#lately = undefined
  }

  /** Whether the peer is a keeper by what is known now. */
  stillInclude(peer: PeerId): boolean {
    // It has just answered, and may have been avoided when they were looked for: a no is said only after another look.
    if (this.#lately?.changes !== this.#components.store.changes || !this.#lately.keepers.includes(peer)) this.look()
    return this.#recent().includes(peer)
  }

  /** Whether this peer holds the whole directory. */
  areUs(): boolean {
    if (!this.#init.mesh) return true
    const keepers = this.#recent()
    return keepers.length < this.#init.keepers || this.#components.network.self < (keepers.at(-1) as PeerId)
  }

  /** Whether a record of the peer that nobody asked for is of interest here. */
  wants(peer: PeerId): boolean {
    if (this.areUs()) return true
    const held = this.#first()
    return held.length < this.spare || peer <= (held.at(-1) as StoredAnnouncement).announcement.peer
  }

  /** Who is no keeper holds the keepers, some that may follow them, and itself. */
  trim(): void {
    const { store, network } = this.#components
    if (store.size <= this.spare + 1 || this.areUs()) return
    store.retain(this.#init.model, new Set([network.self, ...this.#first().map(({ announcement }) => announcement.peer)]))
  }

  #recent(): readonly PeerId[] {
    const { clock, store } = this.#components
    const nowMs = clock.monotonicMs()
    if (this.#lately === undefined || nowMs - this.#lately.atMs >= keepersHoldMs) {
      this.#lately = { keepers: this.list(), atMs: nowMs, changes: store.changes }
    }
    return this.#lately.keepers
  }

  #first(): StoredAnnouncement[] {
    const { store, clock } = this.#components
    return store.first(this.#init.model, clock.monotonicMs(), this.spare, () => true)
  }
}
