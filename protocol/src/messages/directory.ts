/**
 * Messages of `/skein/directory/1.0`, by which signed announcements travel. Whoever opens the channel sends requests, one
 * after the other; the other side answers each that has an `id` with exactly one response of that `id`.
 *
 * @packageDocumentation
 */
import type { BlockRange } from '../block-range.ts'
import { MalformedError } from '../errors.ts'
import type { ErrorDetail, WireErrorCode } from '../errors.ts'
import type { ModelId, PeerId } from '../ids.ts'
import { limits } from '../limits.ts'
import { parseMessage, writeMessage } from './codec.ts'
import { blockRange, bool, bytes, integer, list, modelId, optional, peerId, tuple } from './fields.ts'
import type { Field } from './fields.ts'
import { packMessage, unpackMessage } from './msgpack.ts'
import { refusalFields, requestId } from './tables.ts'
import type { MessageTable } from './tables.ts'

/**
 * An announcement on its way: milliseconds since its peer was last heard of, as far as the peers between know, and its
 * encoded bytes. What is left of its life counts from there, so that a record does not live longer by travelling.
 */
export type DirectoryRecord = readonly [ageMs: number, encoded: Uint8Array]

/** Which announcement of a peer somebody holds, and the milliseconds since that peer was last heard of. */
export type AgedEntry = readonly [peer: PeerId, sequence: number, ageMs: number]

/** Asks for announcements of a model, in the order of their peer ids. Answered by `records`. */
export interface AskRequest {
  readonly type: 'ask'
  readonly id: number
  readonly model: ModelId
  /** Only spans that share a block with this range. */
  readonly blocks?: BlockRange
  /** The page begins behind this peer. */
  readonly after?: PeerId
  /** Records wanted at the most; the answer may have fewer. */
  readonly limit: number
}

/**
 * Says what the sender holds, by a digest: `buckets` are 32-bit words, little-endian, a power of two of them. Answered by
 * `delta`. Where the sender names an announcement of its own, this is the sign that it lives.
 */
export interface ExchangeRequest {
  readonly type: 'exchange'
  readonly id: number
  readonly model: ModelId
  /** Drawn anew each time and mixed into every hash, so that nobody can prepare records that hide each other. */
  readonly salt: number
  readonly buckets: Uint8Array
  /** Only so many of each side's records, the first by peer id, are compared. */
  readonly limit?: number
  /** Of the sender's own announcement. */
  readonly sequence?: number
}

/** Asks for the announcements of these peers. Answered by `records`. */
export interface FetchRequest {
  readonly type: 'fetch'
  readonly id: number
  readonly model: ModelId
  readonly peers: readonly PeerId[]
}

/** News, or what a `delta` has shown to be missing. There is no answer. */
export interface PushRequest {
  readonly type: 'push'
  readonly model: ModelId
  readonly records: readonly DirectoryRecord[]
}

export type DirectoryRequest = AskRequest | ExchangeRequest | FetchRequest | PushRequest

export interface RecordsResponse {
  readonly type: 'records'
  readonly id: number
  readonly records: readonly DirectoryRecord[]
  /** More follow behind this peer. */
  readonly next?: PeerId
}

/** The buckets in which the two sides differ, and all that the responder holds in them. What does not fit is left to the next exchange. */
export interface DeltaResponse {
  readonly type: 'delta'
  readonly id: number
  readonly buckets: readonly number[]
  readonly entries: readonly AgedEntry[]
  /**
   * Of what is the same on both sides, in the order of the peer ids: how long ago each peer was last heard of, in 255ths of
   * its announcement's life, rounded up. Empty when not all buckets that differ fit; no more than `limits.maxDirectoryAges`.
   */
  readonly ages: Uint8Array
  /**
   * Announcements of some of `entries`: those that have come to the responder lately, so that the sender is likely to lack
   * them and need not ask. No more of them than `limits.maxDeltaRecordBytes`.
   */
  readonly records: readonly DirectoryRecord[]
  /** Whether the responder lacks the announcement that the sender has named. */
  readonly wanted: boolean
  /** Whether the responder holds the whole directory; one that does not, and was not asked for a part, is to be given nothing. */
  readonly whole: boolean
}

/** The typed refusal of a request (`id`), or of the channel as a whole (`id` 0), after which the channel ends. */
export interface DirectoryRefused {
  readonly type: 'refused'
  readonly id: number
  readonly code: WireErrorCode
  readonly message: string
  readonly detail: ErrorDetail
}

export type DirectoryResponse = RecordsResponse | DeltaResponse | DirectoryRefused

const age = integer(0, limits.maxAnnouncementLifeMs)

const records: Field<readonly DirectoryRecord[]> = list(tuple(age, bytes(limits.maxAnnouncementBytes)), limits.maxDirectoryRecords)

export const directoryRequestTable: MessageTable<DirectoryRequest> = {
  ask: {
    id: requestId,
    model: modelId,
    blocks: optional(blockRange),
    after: optional(peerId),
    limit: integer(1, limits.maxDirectoryRecords)
  },
  exchange: {
    id: requestId,
    model: modelId,
    salt: integer(0, 2 ** 32 - 1),
    buckets: bytes(4 * limits.maxDigestBuckets),
    limit: optional(integer(1, limits.maxDirectoryRecords)),
    sequence: optional(integer(1))
  },
  fetch: { id: requestId, model: modelId, peers: list(peerId, limits.maxDirectoryRecords) },
  push: { model: modelId, records }
}

export const directoryResponseTable: MessageTable<DirectoryResponse> = {
  records: { id: requestId, records, next: optional(peerId) },
  delta: {
    id: requestId,
    buckets: list(integer(0, limits.maxDigestBuckets - 1), limits.maxDigestBuckets),
    entries: list(tuple(peerId, integer(1), age), limits.maxDirectoryRecords),
    ages: bytes(limits.maxDirectoryAges),
    records,
    wanted: bool,
    whole: bool
  },
  refused: { id: integer(0, 2 ** 32 - 1), ...refusalFields }
}

/** @throws WireError `TooLarge` beyond `limits.maxDirectoryRequestBytes`, for a response `limits.maxDirectoryBytes` */
export function encodeDirectory(message: DirectoryRequest | DirectoryResponse): Uint8Array {
  return message.type in directoryRequestTable
    ? packMessage(writeMessage(directoryRequestTable, message), limits.maxDirectoryRequestBytes)
    : packMessage(writeMessage(directoryResponseTable, message), limits.maxDirectoryBytes)
}

/** Records are views of `head`. @throws MalformedError, WireError `Unsupported` */
export function decodeDirectoryRequest(head: Uint8Array): DirectoryRequest {
  const message = parseMessage<DirectoryRequest>(directoryRequestTable, unpackMessage(head, limits.maxDirectoryRequestBytes))
  if (message.type === 'exchange') {
    const words = message.buckets.byteLength / 4
    if (words < 1 || !Number.isInteger(Math.log2(words))) {
      throw new MalformedError(`a digest of ${message.buckets.byteLength} bytes is no power of two of 32-bit words`)
    }
  }
  return message
}

/** Records are views of `head`. @throws MalformedError, WireError `Unsupported` */
export function decodeDirectoryResponse(head: Uint8Array): DirectoryResponse {
  return parseMessage<DirectoryResponse>(directoryResponseTable, unpackMessage(head, limits.maxDirectoryBytes))
}
