import { merged } from '../merged.ts'
import type { SignedAnnouncement } from '../announcement/announcement.ts'
import type { BlockRange } from '../block-range.ts'
import type { ModelId, PeerId } from '../ids.ts'
import { doubt, ModelRecords } from './model-records.ts'
import type { ComparedRecords, HeldAnnouncement, RecordRows, StoredAnnouncement } from './model-records.ts'

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
  #changes = 0

  constructor(init: Partial<AnnouncementStoreInit> = {}) {
    this.#init = merged(announcementStoreDefaults, init)
  }

  /** Records held, expired ones included until {@link expire}. */
  get size(): number {
    return this.#size
  }

  /** Counts what has come, changed or gone. */
  get changes(): number {
    return this.#changes
  }

  /** Whether an announcement with this sequence would be news. The cheap question before a signature is verified. */
  wants(model: ModelId, peer: PeerId, sequence: number, nowMs: number, { firstHand, ageMs }: Hearsay): boolean {
    const records = this.#of(model)
    const held = records.get(peer)
    if (held !== undefined && records.lives(held.row, nowMs)) return sequence > held.announcement.sequence
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
    const records = this.#of(model)
    const held = records.get(peer)
    return held !== undefined && held.announcement.sequence === sequence && records.hear(held.row, ageMs, nowMs)
  }

  /** Takes signs of life of several peers. @param rows - see {@link rowsOf}. @param agesMs - `Infinity` says nothing */
  hearAll(model: ModelId, rows: Int32Array, agesMs: Float64Array, nowMs: number): void {
    const records = this.#of(model)
    for (let index = 0; index < rows.length; index++) records.hear(rows[index] as number, agesMs[index] as number, nowMs)
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
    const records = this.#of(model)
    const previous = records.get(peer)
    const heardMs = Math.floor(nowMs - ageMs)
    if (previous?.announcement.sequence === sequence && firstHand) {
      this.#attribute(previous, source)
      records.setHeard(previous.row, heardMs)
      return 'held'
    }
    if (!this.wants(model, peer, sequence, nowMs, { firstHand, ageMs })) {
      return previous === undefined && !this.#isRemembered(model, peer, sequence) ? 'full' : 'held'
    }
    // Who says that the peer of an ended announcement lives puts off its end, and not the time for a new signature.
    const ended = firstHand ? undefined : this.#ended(model, peer, nowMs)
    const atLatestMs = ended?.sequence === sequence ? ended.atLatestMs : nowMs + this.#init.unsignedMs
    const record: HeldAnnouncement = {
      announcement: signed.announcement,
      encoded: signed.encoded,
      source,
      takenMs: Math.floor(nowMs),
      atLatestMs: Math.floor(atLatestMs),
      heardMs,
      row: -1
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
    if (this.#remembered.size > 0) this.#remembered.delete(keyOf(model, peer))
    this.#emit({ type: 'added', record })
    return 'added'
  }

  /** How long ago a record's peer was last heard of. */
  ageMs(record: StoredAnnouncement, nowMs: number): number {
    return Math.max(0, nowMs - this.#of(record.announcement.model).heardMs(record as HeldAnnouncement))
  }

  /** The first living records by peer id, at most `limit`, and where they are: for who compares them with what another peer holds. */
  compared(model: ModelId, nowMs: number, limit = Infinity): ComparedRecords {
    const all = this.#of(model)
    const { records, rows } = all.live(nowMs, limit)
    return { records, where: { columns: all.columns, rows }, changes: this.#changes }
  }

  /** Where the records are now that were compared. */
  whereNow(model: ModelId, { records, where, changes }: ComparedRecords): RecordRows {
    if (changes === this.#changes) return where
    const all = this.#of(model)
    return { columns: all.columns, rows: all.rowsOf(records) }
  }

  get(model: ModelId, peer: PeerId, nowMs: number): StoredAnnouncement | undefined {
    const records = this.#of(model)
    const held = records.get(peer)
    return held !== undefined && records.lives(held.row, nowMs) ? held : undefined
  }

  /** Living records, `draining` and `offline` ones included, in the order of their peer ids. */
  list(model: ModelId, nowMs: number, options: ListOptions = {}): StoredAnnouncement[] {
    const { blocks, after, limit = Infinity } = options
    if (blocks === undefined && after === undefined) {
      const records = this.#of(model)
      return records.allLive(nowMs) ? records.sorted.slice(0, limit) : this.first(model, nowMs, limit, () => true)
    }
    return this.first(model, nowMs, limit, ({ announcement: { peer, span } }) => {
      return (after === undefined || peer > after) && (blocks === undefined || (span.start < blocks.end && blocks.start < span.end))
    })
  }

  /** The first living records in the order of their peer ids of which `wanted` approves, at most `count`. */
  first(model: ModelId, nowMs: number, count: number, wanted: (record: StoredAnnouncement) => boolean): StoredAnnouncement[] {
    const found: StoredAnnouncement[] = []
    const records = this.#of(model)
    const { sorted, rows } = records
    for (let index = 0; index < sorted.length && found.length < count; index++) {
      const record = sorted[index] as StoredAnnouncement
      if (records.lives(rows[index] as number, nowMs) && wanted(record)) found.push(record)
    }
    return found
  }

  /** Forgets a model's records but those of some peers, without remembering their sequences. */
  retain(model: ModelId, peers: ReadonlySet<PeerId>): void {
    const records = this.#models.get(model)
    if (records === undefined || records.size <= peers.size) return
    for (const record of [...records.sorted]) {
      if (peers.has(record.announcement.peer)) continue
      this.#remove(record)
      this.#emit({ type: 'removed', record, reason: 'evicted' })
    }
  }

  /** Drops what has expired, and returns it. */
  expire(nowMs: number): StoredAnnouncement[] {
    const expired: HeldAnnouncement[] = []
    for (const records of this.#models.values()) {
      if (records.allLive(nowMs)) continue
      for (const record of records.sorted) if (!records.lives(record.row, nowMs)) expired.push(record)
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
    const { model, peer } = record.announcement
    let records = this.#models.get(model)
    if (records === undefined) this.#models.set(model, (records = new ModelRecords(this.#init.self)))
    records.set(record)
    this.#size++
    count(this.#modelsOfPeer, peer, 1)
    count(this.#recordsBySource, record.source, 1)
  }

  #replace(previous: HeldAnnouncement, record: HeldAnnouncement): void {
    this.#models.get(record.announcement.model)?.set(record)
    count(this.#recordsBySource, previous.source, -1)
    count(this.#recordsBySource, record.source, 1)
  }

  #remove(record: HeldAnnouncement): void {
    const { model, peer } = record.announcement
    const records = this.#of(model)
    if (record.row < 0) return
    records.delete(record)
    if (records.size === 0) this.#models.delete(model)
    this.#size--
    count(this.#modelsOfPeer, peer, -1)
    count(this.#recordsBySource, record.source, -1)
  }

  /** A scan, since it happens only when the store is full; ties go by source and peer id, so that every run decides alike. */
  #victim(): HeldAnnouncement {
    let worst: Candidate | undefined
    for (const records of this.#models.values()) {
      for (const record of records.sorted) {
        if (record.announcement.peer === this.#init.self) continue
        const fromSource = this.#recordsBySource.get(record.source) ?? 0
        const expiresMs = records.columns.expiresMs[record.row] as number
        if (worst === undefined || goesBefore(record, fromSource, expiresMs, worst)) worst = { record, fromSource, expiresMs }
      }
    }
    return (worst as Candidate).record
  }

  /** What an announcement left that has ended, be it swept already or not. */
  #ended(model: ModelId, peer: PeerId, nowMs: number): Ended | undefined {
    const records = this.#of(model)
    const held = records.get(peer)
    if (held !== undefined) return records.lives(held.row, nowMs) ? undefined : endedOf(held, records.heardMs(held))
    // In a swarm that comes to be nothing has ended, and there is no text to be made for each of its nodes.
    if (this.#remembered.size === 0) return undefined
    const remembered = this.#remembered.get(keyOf(model, peer))
    return remembered !== undefined && remembered.untilMs > nowMs ? remembered : undefined
  }

  #isRemembered(model: ModelId, peer: PeerId, sequence: number): boolean {
    const remembered = this.#remembered.get(keyOf(model, peer))
    return remembered !== undefined && sequence <= remembered.sequence
  }

  #remember(record: HeldAnnouncement, nowMs: number): void {
    const { model, peer } = record.announcement
    const key = keyOf(model, peer)
    this.#remembered.delete(key)
    const { sequence, heardMs, atLatestMs } = endedOf(record, record.heardMs)
    this.#remembered.set(key, { sequence, heardMs, atLatestMs, untilMs: nowMs + this.#init.rememberMs })
    if (this.#remembered.size > this.#init.maxRemembered) this.#remembered.delete(this.#remembered.keys().next().value as string)
  }

  #of(model: ModelId): ModelRecords {
    return this.#models.get(model) ?? none
  }

  #emit(event: DirectoryEvent): void {
    this.#changes++
    for (const listener of [...this.#listeners]) listener(event)
  }
}

/** Those of a model that is not known. */
const none = new ModelRecords(undefined)

function endedOf({ announcement: { sequence, lifeMs }, atLatestMs }: HeldAnnouncement, heardMs: number): Ended {
  return { sequence, heardMs: heardMs + doubt * lifeMs, atLatestMs }
}

/** Who might make room. */
interface Candidate {
  readonly record: HeldAnnouncement
  /** Records from the same source. */
  readonly fromSource: number
  readonly expiresMs: number
}

/** Whether a record makes room before another one does. */
function goesBefore({ source, announcement }: StoredAnnouncement, fromSource: number, expiresMs: number, other: Candidate): boolean {
  if (fromSource !== other.fromSource) return fromSource > other.fromSource
  if (source !== other.record.source) return source < other.record.source
  if (expiresMs !== other.expiresMs) return expiresMs < other.expiresMs
  return announcement.peer < other.record.announcement.peer
}

function keyOf(model: ModelId, peer: PeerId): string {
  return `${model} ${peer}`
}

function count(map: Map<PeerId, number>, peer: PeerId, by: number): void {
  const next = (map.get(peer) ?? 0) + by
  if (next > 0) map.set(peer, next)
  else map.delete(peer)
}
