import { merged } from '../merged.ts'
import type { SignedAnnouncement } from '../announcement/announcement.ts'
import type { BlockRange } from '../block-range.ts'
import type { ModelId, PeerId } from '../ids.ts'
import { digestKey } from './digest.ts'
import type { DigestKey } from './digest.ts'

/**
 * An announcement as this peer holds it. All times are on the holder's monotonic clock, in whole milliseconds, and those that
 * are signs of life move while the store holds it.
 */
export interface StoredAnnouncement extends SignedAnnouncement, DigestKey {
  /** Who handed it over; the announced peer itself when it came first hand. */
  readonly source: PeerId
  /** When the announced peer was last heard of, as far as those who handed that on have said. */
  readonly heardMs: number
  readonly expiresMs: number
  /** When it came here. */
  readonly takenMs: number
  /** `lifeMs` of the announcement, and whether it is this peer's own: beside the rest, since a thousand are passed through at once. */
  readonly lifeMs: number
  readonly isOwn: boolean
}

interface HeldAnnouncement extends StoredAnnouncement {
  source: PeerId
  heardMs: number
  expiresMs: number
  /** Whether the store still holds it. */
  held: boolean
  /** However often others say that its peer lives, it is over then: see `unsignedMs`. */
  readonly atLatestMs: number
}

/**
 * What became of an announcement: `added` for a peer that was not known, `changed` for a newer one of a known peer. `held`:
 * nothing new, this one or a later one is known. `expired`: its life is over. `full`: there is no room for it.
 */
export type PutResult = 'added' | 'changed' | 'held' | 'expired' | 'full'

export type DirectoryEvent =
  | { readonly type: 'added'; readonly record: StoredAnnouncement }
  | { readonly type: 'changed'; readonly record: StoredAnnouncement; readonly previous: StoredAnnouncement }
  | { readonly type: 'removed'; readonly record: StoredAnnouncement; readonly reason: 'expired' | 'evicted' }

export interface AnnouncementStoreInit {
  /** Records of all models. @default 32_768: a swarm of so many nodes, some 40 MB at the keepers of one */
  readonly maxRecords: number
  /** Models under which one peer may announce itself. @default 4 */
  readonly maxModelsPerPeer: number
  /** How long the sequence of an expired record is remembered, so that it does not come back by way of a slow peer. @default 600_000 */
  readonly rememberMs: number
  /**
   * How long a record is held without a new signature. Signs of life travel unsigned, so this bounds for how long those who
   * hand them on can keep up a peer that is gone. Peers sign anew after 26 to 44 minutes. @default 3_600_000
   */
  readonly unsignedMs: number
  /** Sequences remembered at the most; the oldest go first. @default 32_768 */
  readonly maxRemembered: number
  /** Whose record is never evicted, and does not expire: this peer itself. */
  readonly self?: PeerId
}

export const announcementStoreDefaults: AnnouncementStoreInit = {
  maxRecords: 32_768,
  maxModelsPerPeer: 4,
  rememberMs: 600_000,
  unsignedMs: 3_600_000,
  maxRemembered: 32_768
}

/** Who hands on a sign of life counts the time on the way as none: so much of a life is not worth moving a record's end. */
const doubt = 1 / 128

/** What is kept of an announcement that has ended, so that it comes back only if its peer has been heard of since. */
interface Ended {
  readonly sequence: number
  readonly heardMs: number
  /** When it must be signed anew, whoever says what. */
  readonly atLatestMs: number
}

/** How an announcement, or a sign of life, has come: `firstHand` from the announced peer itself, or heard of by others so long ago. */
export interface Hearsay {
  readonly firstHand: boolean
  readonly ageMs: number
}

export interface ListOptions {
  /** Only spans that share a block with this range. */
  readonly blocks?: BlockRange
  /** Only peers behind this one. */
  readonly after?: PeerId
  /** @default no limit */
  readonly limit?: number
}

/**
 * The newest announcement of each peer and model, for as long as it lives. It does no I/O and reads no clock: the present
 * comes as an argument. Signatures are verified before an announcement gets here.
 *
 * When it is full, whoever handed over the most records loses the one of them that would expire first, so that a peer
 * which invents others displaces its own inventions.
 */
export class AnnouncementStore {
  readonly #init: AnnouncementStoreInit
  readonly #models = new Map<ModelId, ModelRecords>()
  readonly #modelsOfPeer = new Map<PeerId, number>()
  readonly #recordsBySource = new Map<PeerId, number>()
  readonly #remembered = new Map<string, Ended & { readonly untilMs: number }>()
  readonly #listeners = new Set<(event: DirectoryEvent) => void>()
  #size = 0
  /** No record expires before. */
  #nextExpiryMs = Infinity

  constructor(init: Partial<AnnouncementStoreInit> = {}) {
    this.#init = merged(announcementStoreDefaults, init)
  }

  /** Records held, expired ones included until {@link expire}. */
  get size(): number {
    return this.#size
  }

  /** Whether an announcement with this sequence would be news. The cheap question before a signature is verified. */
  wants(model: ModelId, peer: PeerId, sequence: number, nowMs: number, { firstHand, ageMs }: Hearsay): boolean {
    const held = this.#models.get(model)?.get(peer)
    if (held !== undefined && lives(held, nowMs)) return sequence > held.announcement.sequence
    const ended = this.#ended(model, peer, nowMs)
    if (ended !== undefined) {
      if (sequence < ended.sequence) return false
      // A relay may have overstated the age, but the peer itself would not speak if it were gone.
      const isHeardOf = firstHand || (nowMs - ageMs > ended.heardMs && nowMs < ended.atLatestMs)
      if (sequence === ended.sequence && !isHeardOf) return false
    }
    if (held !== undefined) return true
    return (this.#modelsOfPeer.get(peer) ?? 0) < this.#init.maxModelsPerPeer
  }

  /**
   * Takes a sign of life of a peer whose announcement is held: it holds as long again from then on, if that is later.
   *
   * @param sequence - which announcement is meant; of another one it says nothing
   * @returns whether that announcement is held
   */
  hear(model: ModelId, peer: PeerId, sequence: number, ageMs: number, nowMs: number): boolean {
    const held = this.#models.get(model)?.get(peer)
    return held !== undefined && held.announcement.sequence === sequence && this.hearOf(held, ageMs, nowMs)
  }

  /** The same, for a record that this store has handed out. @returns whether it is held still */
  hearOf(record: StoredAnnouncement, ageMs: number, nowMs: number): boolean {
    const held = record as HeldAnnouncement
    if (!held.held || !lives(held, nowMs)) return false
    const heardMs = Math.floor(nowMs - ageMs)
    if (heardMs <= held.heardMs + (ageMs === 0 ? 0 : doubt * held.lifeMs)) return true
    held.heardMs = heardMs
    held.expiresMs = Math.min(heardMs + held.lifeMs, held.atLatestMs)
    return true
  }

  /**
   * Takes a verified announcement.
   *
   * @param source - the peer that handed it over
   * @param ageMs - how long ago its peer was last heard of
   */
  put(signed: SignedAnnouncement, source: PeerId, ageMs: number, nowMs: number): PutResult {
    const { model, peer, sequence, lifeMs } = signed.announcement
    if (ageMs >= lifeMs) return 'expired'
    const firstHand = source === peer
    const previous = this.#models.get(model)?.get(peer)
    if (previous?.announcement.sequence === sequence && firstHand) {
      this.#attribute(previous, source)
      previous.heardMs = Math.floor(nowMs - ageMs)
      previous.expiresMs = Math.min(previous.heardMs + previous.lifeMs, previous.atLatestMs)
      this.#nextExpiryMs = Math.min(this.#nextExpiryMs, endOf(previous))
      return 'held'
    }
    if (!this.wants(model, peer, sequence, nowMs, { firstHand, ageMs })) {
      return previous === undefined && !this.#isRemembered(model, peer, sequence) ? 'full' : 'held'
    }
    // Who says that the peer of an ended announcement lives puts off its end, and not the time for a new signature.
    const ended = firstHand ? undefined : this.#ended(model, peer, nowMs)
    const atLatestMs = ended?.sequence === sequence ? ended.atLatestMs : nowMs + this.#init.unsignedMs
    const { hashA, hashB, sequenceLow, sequenceHigh } = digestKey(peer, sequence)
    const heardMs = Math.floor(nowMs - ageMs)
    const latestMs = Math.floor(atLatestMs)
    // In the order of their use: what a pass over all records reads of one lies in one line of a cache.
    const record: HeldAnnouncement = {
      held: true,
      isOwn: peer === this.#init.self,
      heardMs,
      expiresMs: Math.min(heardMs + lifeMs, latestMs),
      lifeMs,
      hashA,
      hashB,
      sequenceLow,
      sequenceHigh,
      announcement: signed.announcement,
      encoded: signed.encoded,
      source,
      takenMs: Math.floor(nowMs),
      atLatestMs: latestMs
    }
    if (previous !== undefined) {
      this.#replace(previous, record)
      this.#emit({ type: 'changed', record, previous })
      return 'changed'
    }
    this.#insert(record)
    if (this.#size > this.#init.maxRecords) {
      const victim = this.#victim()
      this.#remove(victim)
      if (victim === record) return 'full'
      this.#emit({ type: 'removed', record: victim, reason: 'evicted' })
    }
    this.#remembered.delete(keyOf(model, peer))
    this.#emit({ type: 'added', record })
    return 'added'
  }

  /** How long ago a record's peer was last heard of. */
  ageMs({ isOwn, heardMs }: StoredAnnouncement, nowMs: number): number {
    return isOwn ? 0 : Math.max(0, nowMs - heardMs)
  }

  get(model: ModelId, peer: PeerId, nowMs: number): StoredAnnouncement | undefined {
    const record = this.#models.get(model)?.get(peer)
    return record !== undefined && lives(record, nowMs) ? record : undefined
  }

  /** Living records, `draining` and `offline` ones included, in the order of their peer ids. */
  list(model: ModelId, nowMs: number, options: ListOptions = {}): StoredAnnouncement[] {
    const { blocks, after, limit = Infinity } = options
    if (blocks === undefined && after === undefined) return this.#listWhole(model, nowMs, limit)
    return this.first(model, nowMs, limit, ({ announcement: { peer, span } }) => {
      return (after === undefined || peer > after) && (blocks === undefined || (span.start < blocks.end && blocks.start < span.end))
    })
  }

  /** Most of the time nothing has expired since the last look, and then no record is looked at. */
  #listWhole(model: ModelId, nowMs: number, limit: number): StoredAnnouncement[] {
    const sorted = this.#models.get(model)?.sorted() ?? []
    if (nowMs < this.#nextExpiryMs) return sorted.slice(0, limit)
    if (limit < sorted.length) return this.first(model, nowMs, limit, () => true)
    const found: StoredAnnouncement[] = []
    let nextExpiryMs = Infinity
    for (const record of sorted) {
      if (!lives(record, nowMs)) continue
      found.push(record)
      nextExpiryMs = Math.min(nextExpiryMs, endOf(record))
    }
    if (found.length === this.#size) this.#nextExpiryMs = nextExpiryMs
    return found
  }

  /** The first living records in the order of their peer ids of which `wanted` approves, at most `count`. */
  first(model: ModelId, nowMs: number, count: number, wanted: (record: StoredAnnouncement) => boolean): StoredAnnouncement[] {
    const found: StoredAnnouncement[] = []
    for (const record of this.#models.get(model)?.sorted() ?? []) {
      if (found.length >= count) break
      if (lives(record, nowMs) && wanted(record)) found.push(record)
    }
    return found
  }

  /** Forgets a model's records but those of some peers, without remembering their sequences. */
  retain(model: ModelId, peers: ReadonlySet<PeerId>): void {
    const records = this.#models.get(model)
    if (records === undefined || records.size <= peers.size) return
    for (const record of [...records.sorted()]) {
      if (peers.has(record.announcement.peer)) continue
      this.#remove(record)
      this.#emit({ type: 'removed', record, reason: 'evicted' })
    }
  }

  /** Drops what has expired, and returns it. */
  expire(nowMs: number): StoredAnnouncement[] {
    if (nowMs < this.#nextExpiryMs) return []
    const expired: StoredAnnouncement[] = []
    this.#nextExpiryMs = Infinity
    for (const records of this.#models.values()) {
      for (const record of records.sorted()) {
        if (!lives(record, nowMs)) expired.push(record)
        else this.#nextExpiryMs = Math.min(this.#nextExpiryMs, endOf(record))
      }
    }
    for (const record of expired) {
      this.#remove(record)
      this.#remember(record, nowMs)
      this.#emit({ type: 'removed', record, reason: 'expired' })
    }
    return expired
  }

  /** Calls the listener after each change. It must not throw. Returns the function that ends the subscription. */
  subscribe(listener: (event: DirectoryEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #attribute(record: HeldAnnouncement, source: PeerId): void {
    if (record.source === source) return
    count(this.#recordsBySource, record.source, -1)
    count(this.#recordsBySource, source, 1)
    record.source = source
  }

  #insert(record: HeldAnnouncement): void {
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, endOf(record))
    const { model, peer } = record.announcement
    let records = this.#models.get(model)
    if (records === undefined) this.#models.set(model, (records = new ModelRecords()))
    records.set(record)
    this.#size++
    count(this.#modelsOfPeer, peer, 1)
    count(this.#recordsBySource, record.source, 1)
  }

  #replace(previous: HeldAnnouncement, record: HeldAnnouncement): void {
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, endOf(record))
    previous.held = false
    this.#models.get(record.announcement.model)?.set(record)
    count(this.#recordsBySource, previous.source, -1)
    count(this.#recordsBySource, record.source, 1)
  }

  #remove(record: StoredAnnouncement): void {
    const { model, peer } = record.announcement
    const records = this.#models.get(model)
    if (records === undefined || !records.delete(peer)) return
    ;(record as HeldAnnouncement).held = false
    if (records.size === 0) this.#models.delete(model)
    this.#size--
    count(this.#modelsOfPeer, peer, -1)
    count(this.#recordsBySource, record.source, -1)
  }

  /** A scan, since it happens only when the store is full; ties go by source and peer id, so that every run decides alike. */
  #victim(): StoredAnnouncement {
    let worst: StoredAnnouncement | undefined
    let worstCount = 0
    for (const records of this.#models.values()) {
      for (const record of records.values()) {
        if (record.announcement.peer === this.#init.self) continue
        const fromSource = this.#recordsBySource.get(record.source) ?? 0
        if (worst === undefined || fromSource > worstCount || (fromSource === worstCount && goesBefore(record, worst))) {
          worst = record
          worstCount = fromSource
        }
      }
    }
    return worst as StoredAnnouncement
  }

  /** What an announcement left that has ended, be it swept already or not. */
  #ended(model: ModelId, peer: PeerId, nowMs: number): Ended | undefined {
    const held = this.#models.get(model)?.get(peer)
    if (held !== undefined) return lives(held, nowMs) ? undefined : endedOf(held)
    const remembered = this.#remembered.get(keyOf(model, peer))
    return remembered !== undefined && remembered.untilMs > nowMs ? remembered : undefined
  }

  #isRemembered(model: ModelId, peer: PeerId, sequence: number): boolean {
    const remembered = this.#remembered.get(keyOf(model, peer))
    return remembered !== undefined && sequence <= remembered.sequence
  }

  #remember(record: StoredAnnouncement, nowMs: number): void {
    const { model, peer } = record.announcement
    const key = keyOf(model, peer)
    this.#remembered.delete(key)
    const { sequence, heardMs, atLatestMs } = endedOf(record as HeldAnnouncement)
    this.#remembered.set(key, { sequence, heardMs, atLatestMs, untilMs: nowMs + this.#init.rememberMs })
    if (this.#remembered.size > this.#init.maxRemembered) this.#remembered.delete(this.#remembered.keys().next().value as string)
  }

  #emit(event: DirectoryEvent): void {
    for (const listener of [...this.#listeners]) listener(event)
  }
}

/** The records of one model, and the same in the order of their peer ids. */
class ModelRecords {
  readonly #byPeer = new Map<PeerId, HeldAnnouncement>()
  readonly #sorted: HeldAnnouncement[] = []

  get size(): number {
    return this.#byPeer.size
  }

  get(peer: PeerId): HeldAnnouncement | undefined {
    return this.#byPeer.get(peer)
  }

  values(): Iterable<StoredAnnouncement> {
    return this.#byPeer.values()
  }

  set(record: HeldAnnouncement): void {
    const { peer } = record.announcement
    this.#sorted.splice(this.#indexOf(peer), this.#byPeer.has(peer) ? 1 : 0, record)
    this.#byPeer.set(peer, record)
  }

  delete(peer: PeerId): boolean {
    if (!this.#byPeer.delete(peer)) return false
    this.#sorted.splice(this.#indexOf(peer), 1)
    return true
  }

  /** Not to be kept: the next change shows in it. */
  sorted(): readonly StoredAnnouncement[] {
    return this.#sorted
  }

  /** Where the peer's record is, or would be. */
  #indexOf(peer: PeerId): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sorted[middle] as StoredAnnouncement).announcement.peer < peer) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** This peer's own never ends. Its end is a whole number all the same, as that of all others: then V8 keeps it in the object. */
function lives({ isOwn, expiresMs }: StoredAnnouncement, nowMs: number): boolean {
  return isOwn || expiresMs > nowMs
}

function endOf({ isOwn, expiresMs }: StoredAnnouncement): number {
  return isOwn ? Infinity : expiresMs
}

function endedOf({ announcement, heardMs, lifeMs, atLatestMs }: HeldAnnouncement): Ended {
  return { sequence: announcement.sequence, heardMs: heardMs + doubt * lifeMs, atLatestMs }
}

/** Which of two records with equally greedy sources is evicted first. */
function goesBefore(a: StoredAnnouncement, b: StoredAnnouncement): boolean {
  if (a.source !== b.source) return a.source < b.source
  if (a.expiresMs !== b.expiresMs) return a.expiresMs < b.expiresMs
  return a.announcement.peer < b.announcement.peer
}

function keyOf(model: ModelId, peer: PeerId): string {
  return `${model} ${peer}`
}

function count(map: Map<PeerId, number>, peer: PeerId, by: number): void {
  const next = (map.get(peer) ?? 0) + by
  if (next > 0) map.set(peer, next)
  else map.delete(peer)
}
