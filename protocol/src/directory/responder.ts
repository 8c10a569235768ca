import { MalformedError, WireError, WireErrorCode } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { limits } from '../limits.ts'
import type {
  AgedEntry,
  AskRequest,
  DeltaResponse,
  DirectoryRecord,
  DirectoryRequest,
  DirectoryResponse,
  ExchangeRequest,
  FetchRequest
} from '../messages/directory.ts'
import { partsOfAges } from './ages.ts'
import type { AnnouncementStore } from './announcement-store.ts'
import { digestFromBytes, digestOf } from './digest.ts'
import type { Digest } from './digest.ts'
import type { StoredAnnouncement } from './model-records.ts'

/** As many of the records, from the first on, as one message holds, each with its age at this moment. */
export function page(
  store: AnnouncementStore,
  records: readonly StoredAnnouncement[],
  nowMs: number,
  maxRecords: number = limits.maxDirectoryRecords,
  maxBytes: number = limits.maxDirectoryRecordBytes
): DirectoryRecord[] {
  const fitting: DirectoryRecord[] = []
  let bytes = 0
  for (const record of records) {
    bytes += record.encoded.byteLength
    if (fitting.length >= maxRecords || bytes > maxBytes) break
    fitting.push([Math.floor(store.ageMs(record, nowMs)), record.encoded])
  }
  return fitting
}

/** What has come here within this time is news to most who ask: they ask about once a minute. */
const lateMs = 120_000

/** Who sent an exchange, whether the announcement that it names is lacking here, and whether all others are held here. */
export interface ExchangingPeer {
  readonly peer: PeerId
  readonly wanted: boolean
  readonly whole: boolean
}

/** The answer to a request, from what is in the store. Pure. @param asker - of an exchange */
export function respond(
  store: AnnouncementStore,
  request: Exclude<DirectoryRequest, { type: 'push' }>,
  nowMs: number,
  asker?: ExchangingPeer
): DirectoryResponse {
  switch (request.type) {
    case 'ask':
      return answerAsk(store, request, nowMs)
    case 'exchange':
      return answerExchange(store, request, nowMs, asker)
    case 'fetch':
      return answerFetch(store, request, nowMs)
  }
}

function answerAsk(store: AnnouncementStore, request: AskRequest, nowMs: number): DirectoryResponse {
  const { id, model, blocks, after, limit } = request
  const found = store.list(model, nowMs, { blocks, after, limit: limit + 1 })
  const records = page(store, found, nowMs, limit)
  const next = records.length < found.length ? found[records.length - 1]?.announcement.peer : undefined
  return { type: 'records', id, records, ...(next === undefined ? {} : { next }) }
}

function answerFetch(store: AnnouncementStore, { id, model, peers }: FetchRequest, nowMs: number): DirectoryResponse {
  const found = peers.map((peer) => store.get(model, peer, nowMs)).filter((record) => record !== undefined)
  return { type: 'records', id, records: page(store, found, nowMs) }
}

function answerExchange(store: AnnouncementStore, request: ExchangeRequest, nowMs: number, asker?: ExchangingPeer): DeltaResponse {
  const { id, model, salt, limit, sequence = Infinity } = request
  const theirs = digestFromBytes(request.buckets)
  const { records: held, where } = store.compared(model, nowMs, limit)
  const ours = digestOf(where, salt, theirs.length)
  const membersOf = new Map<number, StoredAnnouncement[]>()
  for (let bucket = 0; bucket < theirs.length; bucket++) if (theirs[bucket] !== ours.words[bucket]) membersOf.set(bucket, [])
  const ages = partsOfAges(where, nowMs)
  let same = 0
  for (let index = 0; index < held.length; index++) {
    const members = membersOf.size === 0 ? undefined : membersOf.get(ours.buckets[index] as number)
    if (members === undefined) ages[same++] = ages[index] as number
    else members.push(held[index] as StoredAnnouncement)
  }
  const buckets: number[] = []
  const told: StoredAnnouncement[] = []
  for (const [bucket, members] of membersOf) {
    const room = limits.maxDirectoryRecords - told.length
    // A bucket goes whole, or the other side would push what is here; only one that never fits goes in part.
    if (members.length > room && buckets.length > 0) continue
    buckets.push(bucket)
    told.push(...members.slice(0, room))
  }
  const isWhole = buckets.length === membersOf.size
  const own = asker && store.get(model, asker.peer, nowMs)
  // Whoever has announced itself under this id since is another host with the same key: its peer should know.
  if (own !== undefined && own.announcement.sequence > sequence && told.length < limits.maxDirectoryRecords) {
    if (!told.includes(own)) told.push(own)
  }
  const late = told.filter((record) => nowMs - record.takenMs < lateMs && record.announcement.peer !== asker?.peer)
  return {
    type: 'delta',
    id,
    buckets,
    entries: told.map((record) => toAgedEntry(store, record, nowMs)),
    records: page(store, late, nowMs, limits.maxDirectoryRecords, limits.maxDeltaRecordBytes),
    ages: ages.subarray(0, isWhole ? Math.min(same, limits.maxDirectoryAges) : 0),
    wanted: asker?.wanted ?? false,
    whole: asker?.whole ?? true
  }
}

function toAgedEntry(store: AnnouncementStore, record: StoredAnnouncement, nowMs: number): AgedEntry {
  const { peer, sequence } = record.announcement
  return [peer, sequence, Math.floor(store.ageMs(record, nowMs))]
}

/** What of the store the other side lacks, as its `delta` shows. @param digest - that of `held` */
export function missingThere(held: readonly StoredAnnouncement[], delta: DeltaResponse, { buckets }: Digest): StoredAnnouncement[] {
  if (delta.buckets.length === 0) return []
  const differing = new Set(delta.buckets)
  const theirs = new Map<PeerId, number>(delta.entries.map(([peer, sequence]) => [peer, sequence]))
  return held.filter(({ announcement: { peer, sequence } }, index) => {
    return differing.has(buckets[index] as number) && (theirs.get(peer) ?? 0) < sequence
  })
}

/** @throws MalformedError, WireError: the answer is not one to this request */
export function expectType<T extends DirectoryResponse['type']>(
  response: DirectoryResponse,
  type: T
): Extract<DirectoryResponse, { type: T }> {
  if (response.type !== type) throw new MalformedError(`the answer to a directory request is of type ${response.type}, not ${type}`)
  return response as Extract<DirectoryResponse, { type: T }>
}

/** For requests beyond a peer's rate. */
export function tooMany(): WireError {
  return new WireError(WireErrorCode.RateLimited, 'too many directory requests: ask again later')
}
