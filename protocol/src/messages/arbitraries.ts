/**
 * fast-check arbitraries for every message: values that a well-behaved peer may send.
 *
 * @packageDocumentation
 */
import fc from 'fast-check'
import type { BlockRange } from '../block-range.ts'
import { WireErrorCode } from '../errors.ts'
import type { ErrorDetail } from '../errors.ts'
import { parseModelId, parseSessionId } from '../ids.ts'
import { limits } from '../limits.ts'
import type { Numerics } from '../numerics.ts'
import { peerIdFromPublicKey } from '../peer-id.ts'
import type { ControlRequest, ControlResponse, Held, LinkEnd, LinkPeer, NodeLoad } from './control.ts'
import type { DirectoryRecord, DirectoryRequest, DirectoryResponse } from './directory.ts'
import type { LinkMessage, StepMessage, StepRun } from './link.ts'

const nameChars = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

function textOf(alphabet: string, minLength: number, maxLength = minLength): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...alphabet), minLength, maxLength })
}

/** Plain objects, as decoders make them. */
function record<T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
}

export const arbPeerId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(peerIdFromPublicKey)
export const arbModelId = fc
  .tuple(textOf(nameChars, 1, 40), textOf('0123456789abcdef', 32))
  .map(([name, hash]) => parseModelId(`${name}@${hash}`))
export const arbSessionId = textOf('0123456789abcdef', 32).map(parseSessionId)
export const arbBlockRange: fc.Arbitrary<BlockRange> = fc
  .tuple(fc.nat(limits.maxBlocks - 1), fc.integer({ min: 1, max: limits.maxBlocks }))
  .map(([start, length]) => ({ start, end: Math.min(start + length, limits.maxBlocks) }))
export const arbNumerics: fc.Arbitrary<Numerics> = record({
  weights: fc.constantFrom('f32', 'q8', 'q4'),
  kernels: textOf(`${nameChars}.-/`, 1, 60)
})
export const arbEncoding = fc.constantFrom('f32', 'f16', 'bf16', 'raw')

const count = fc.maxSafeNat()
const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const requestId = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const position = fc.nat(limits.maxContextTokens)
const side = fc.constantFrom('predecessor', 'successor')

/** Without lone surrogates, which have no UTF-8. */
const text = fc.string({ unit: 'grapheme', maxLength: 60 })

export const arbErrorCode = fc.constantFrom(...Object.values(WireErrorCode))
export const arbErrorDetail: fc.Arbitrary<ErrorDetail> = fc
  .array(
    fc.tuple(fc.tuple(textOf('abcxyzK', 1), textOf(nameChars, 0, 12)), fc.oneof(text, fc.boolean(), fc.double({ noNaN: true }), count)),
    {
      maxLength: 5
    }
  )
  .map((facts) => Object.fromEntries(facts.map(([[first, rest], fact]) => [first + rest, Object.is(fact, -0) ? 0 : fact])))

const refusal = record({ code: arbErrorCode, message: text, detail: arbErrorDetail })

export const arbLinkPeer: fc.Arbitrary<LinkPeer> = fc.oneof(
  fc.constant<LinkPeer>({ kind: 'coordinator' }),
  fc.record(
    { kind: fc.constant('stage' as const), peer: arbPeerId, record: fc.uint8Array({ maxLength: 300 }) },
    { requiredKeys: ['kind', 'peer'], noNullPrototype: true }
  )
)
const linkEnd: fc.Arbitrary<LinkEnd> = record({ term: positive, to: arbLinkPeer })

export const arbNodeLoad: fc.Arbitrary<NodeLoad> = record({
  queuedRows: count,
  freeKvTokens: count,
  freeHistoryBytes: count,
  sessions: count
})

/** Row maps: gaps between first rows and between seqs, all at least 1. */
export const arbHeld: fc.Arbitrary<Held> = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 9 })), { maxLength: limits.heldTailRuns }),
    fc.nat(999),
    fc.nat(9)
  )
  .map(([gaps, firstRow, later]) => {
    let row = firstRow
    let seq = 0
    const tail = gaps.map(([rows, seqs]): [number, number] => {
      const first = row
      row += rows
      seq += seqs
      return [first, seq]
    })
    return { rows: tail.length === 0 ? 0 : row, lastSeq: seq + later, tail }
  })

export const arbControlRequest: fc.Arbitrary<ControlRequest> = fc.oneof(
  record({
    type: fc.constant('open' as const),
    id: requestId,
    session: arbSessionId,
    model: arbModelId,
    span: arbBlockRange,
    numerics: arbNumerics,
    exact: fc.boolean(),
    kvTokens: fc.integer({ min: 1, max: limits.maxContextTokens }),
    historyBytes: count,
    encoding: arbEncoding,
    predecessor: linkEnd,
    successor: linkEnd,
    leaseMs: fc.integer({ min: limits.minLeaseMs, max: limits.maxLeaseMs })
  }),
  record({ type: fc.constant('reroute' as const), id: requestId, side, link: linkEnd }),
  fc.tuple(positive, positive).map(([a, b]) => ({ type: 'skip' as const, from: Math.min(a, b), to: Math.max(a, b) })),
  record({ type: fc.constant('probe' as const), id: requestId }),
  record({ type: fc.constant('close' as const), id: requestId })
)

export const arbControlResponse: fc.Arbitrary<ControlResponse> = fc.oneof(
  record({ type: fc.constant('opened' as const), id: requestId, load: arbNodeLoad }),
  record({ type: fc.constant('rerouted' as const), id: requestId, held: arbHeld, historyFrom: position }),
  record({
    type: fc.constant('state' as const),
    id: requestId,
    held: arbHeld,
    historyFrom: position,
    acceptedSeq: count,
    sentSeq: count,
    acknowledgedSeq: count,
    turnMs: fc.double({ min: 0, max: 1e6, noNaN: true }).map((ms) => ms + 0),
    load: arbNodeLoad
  }),
  record({ type: fc.constant('closed' as const), id: requestId }),
  fc
    .tuple(fc.nat(2 ** 31 - 1), refusal, fc.option(arbNodeLoad, { nil: undefined }))
    .map(([id, facts, load]) => ({ type: 'refused' as const, id, ...facts, ...(load === undefined ? {} : { load }) })),
  record({ type: fc.constant('accuse' as const), side, term: positive, code: arbErrorCode, message: text }),
  record({ type: fc.constant('drain' as const), withinMs: fc.nat(2 ** 31 - 1) })
)

/** Runs as gaps of seq and rows; `kind` says whether a run may be without rows. */
export function arbStep(kind: 'link' | 'results' = 'link'): fc.Arbitrary<StepMessage> {
  const run = fc.tuple(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: kind === 'link' ? 1 : 0, max: 64 }),
    fc.constantFrom('none', 'last', 'all')
  )
  return fc
    .tuple(fc.array(run, { maxLength: 24 }), fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(3), fc.nat(1_000_000), count)
    .map(([gaps, from, beyond, position, computeUs]): StepMessage => {
      let seq = from - 1
      const runs: StepRun[] = gaps.map(([seqs, rows, want]) => ({ seq: (seq += seqs), rows, want }))
      return { type: 'step', from, to: Math.max(seq, from) + beyond, position, after: position === 0 ? 0 : from, runs, computeUs }
    })
}

export function arbLinkMessage(kind: 'link' | 'results' = 'link'): fc.Arbitrary<LinkMessage> {
  return fc.oneof(
    arbStep(kind),
    record({ type: fc.constant('hello' as const), coordinator: arbPeerId, session: arbSessionId, term: positive }),
    record({ type: fc.constant('held' as const), term: positive, held: arbHeld, steps: count, bytes: count }),
    record({ type: fc.constant('ack' as const), seq: count, steps: count, bytes: count }),
    refusal.map((facts) => ({ type: 'refused' as const, ...facts }))
  )
}

const directoryRecord: fc.Arbitrary<DirectoryRecord> = fc.tuple(fc.nat(limits.maxAnnouncementLifeMs), fc.uint8Array({ maxLength: 100 }))
const directoryRecords = fc.array(directoryRecord, { maxLength: 5 })

export const arbDirectoryRequest: fc.Arbitrary<DirectoryRequest> = fc.oneof(
  fc.record(
    {
      type: fc.constant('ask' as const),
      id: requestId,
      model: arbModelId,
      limit: fc.integer({ min: 1, max: limits.maxDirectoryRecords }),
      blocks: arbBlockRange,
      after: arbPeerId
    },
    { requiredKeys: ['type', 'id', 'model', 'limit'], noNullPrototype: true }
  ),
  fc.record(
    {
      type: fc.constant('exchange' as const),
      id: requestId,
      model: arbModelId,
      salt: fc.nat(2 ** 31 - 1),
      buckets: fc.constantFrom(1, 2, 8, 64).chain((words) => fc.uint8Array({ minLength: 4 * words, maxLength: 4 * words })),
      limit: fc.integer({ min: 1, max: limits.maxDirectoryRecords }),
      sequence: positive
    },
    { requiredKeys: ['type', 'id', 'model', 'salt', 'buckets'], noNullPrototype: true }
  ),
  record({ type: fc.constant('fetch' as const), id: requestId, model: arbModelId, peers: fc.array(arbPeerId, { maxLength: 6 }) }),
  record({ type: fc.constant('push' as const), model: arbModelId, records: directoryRecords })
)

export const arbDirectoryResponse: fc.Arbitrary<DirectoryResponse> = fc.oneof(
  fc.record(
    { type: fc.constant('records' as const), id: requestId, records: directoryRecords, next: arbPeerId },
    { requiredKeys: ['type', 'id', 'records'], noNullPrototype: true }
  ),
  record({
    type: fc.constant('delta' as const),
    id: requestId,
    buckets: fc.array(fc.nat(limits.maxDigestBuckets - 1), { maxLength: 9 }),
    entries: fc.array(fc.tuple(arbPeerId, positive, fc.nat(limits.maxAnnouncementLifeMs)), { maxLength: 6 }),
    ages: fc.uint8Array({ maxLength: 9 }),
    records: directoryRecords,
    wanted: fc.boolean(),
    whole: fc.boolean()
  }),
  fc.tuple(fc.nat(9), refusal).map(([id, facts]) => ({ type: 'refused' as const, id, ...facts }))
)
