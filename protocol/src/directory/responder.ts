import { MalformedError, WireError, WireErrorCode } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { limits } from '../limits.ts'
import type {
  AskRequest,
  DeltaResponse,
  DirectoryEntry,
  DirectoryRecord,
  DirectoryRequest,
  DirectoryResponse,
  ExchangeRequest,
  FetchRequest
} from '../messages/directory.ts'
import type { AnnouncementStore, StoredAnnouncement } from './announcement-store.ts'
import { bucketOf, digestFromBytes, digestOf } from './digest.ts'

/** A record as it goes out, with its age at this moment. */
function toRecord(record: StoredAnnouncement, nowMs: number): DirectoryRecord {
  return [Math.max(0, Math.floor(nowMs - record.bornMs)), record.encoded]
}

/** As many of the records, from the first on, as one message holds. */
export function page(
  records: readonly StoredAnnouncement[],
  nowMs: number,
  maxRecords: number = limits.maxDirectoryRecords
): DirectoryRecord[] {
  const fitting: DirectoryRecord[] = []
  let bytes = 0
  for (const record of records) {
    bytes += record.encoded.byteLength
    if (fitting.length >= maxRecords || bytes > limits.maxDirectoryRecordBytes) break
    fitting.push(toRecord(record, nowMs))
  }
  return fitting
}

/** The answer to a request, from what is in the store. Pure. */
export function respond(store: AnnouncementStore, request: Exclude<DirectoryRequest, { type: 'push' }>, nowMs: number): DirectoryResponse {
  switch (request.type) {
    case 'ask':
      return answerAsk(store, request, nowMs)
    case 'exchange':
      return answerExchange(store, request, nowMs)
    case 'fetch':
      return answerFetch(store, request, nowMs)
  }
}

function answerAsk(store: AnnouncementStore, request: AskRequest, nowMs: number): DirectoryResponse {
  const { id, model, blocks, after, limit } = request
  const found = store.list(model, nowMs, { blocks, after, limit: limit + 1 })
  const records = page(found, nowMs, limit)
  const next = records.length < found.length ? found[records.length - 1]?.announcement.peer : undefined
  return { type: 'records', id, records, ...(next === undefined ? {} : { next }) }
}

function answerFetch(store: AnnouncementStore, { id, model, peers }: FetchRequest, nowMs: number): DirectoryResponse {
  const found = peers.map((peer) => store.get(model, peer, nowMs)).filter((record) => record !== undefined)
  return { type: 'records', id, records: page(found, nowMs) }
}

function answerExchange(store: AnnouncementStore, request: ExchangeRequest, nowMs: number): DeltaResponse {
  const { id, model, salt } = request
  const theirs = digestFromBytes(request.buckets)
  const entries = store.list(model, nowMs).map(toEntry)
  const ours = digestOf(entries, salt, theirs.length)
  const byBucket = new Map<number, DirectoryEntry[]>()
  theirs.forEach((word, bucket) => {
    if (word !== ours[bucket]) byBucket.set(bucket, [])
  })
  for (const entry of entries) byBucket.get(bucketOf(entry[0], salt, theirs.length))?.push(entry)
  const delta = { buckets: [] as number[], entries: [] as DirectoryEntry[] }
  for (const [bucket, members] of byBucket) {
    const room = limits.maxDirectoryRecords - delta.entries.length
    // A bucket goes whole, or the other side would push what is here; only one that never fits goes in part.
    if (members.length > room && delta.buckets.length > 0) continue
    delta.buckets.push(bucket)
    delta.entries.push(...members.slice(0, room))
  }
  return { type: 'delta', id, ...delta }
}

export function toEntry({ announcement }: StoredAnnouncement): DirectoryEntry {
  return [announcement.peer, announcement.sequence]
}

/** What of the store the other side lacks, as its `delta` shows. */
export function missingThere(
  held: readonly StoredAnnouncement[],
  delta: DeltaResponse,
  salt: number,
  buckets: number
): StoredAnnouncement[] {
  const differing = new Set(delta.buckets)
  const theirs = new Map<PeerId, number>(delta.entries)
  return held.filter(({ announcement: { peer, sequence } }) => {
    return differing.has(bucketOf(peer, salt, buckets)) && (theirs.get(peer) ?? 0) < sequence
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
