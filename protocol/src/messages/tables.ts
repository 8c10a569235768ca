/**
 * The fields of every message, as the validators and the test of docs/protocol.md use them.
 *
 * @packageDocumentation
 */
import type { BlockRange } from '../block-range.ts'
import { isWireErrorCode, MalformedError, WireErrorCode } from '../errors.ts'
import type { ErrorDetail } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Numerics, TensorEncoding } from '../numerics.ts'
import type { ControlRequest, ControlResponse, Held, LinkEnd, LinkPeer, NodeLoad } from './control.ts'
import {
  asMap,
  blockRange,
  bool,
  bytes,
  cutText,
  float,
  integer,
  list,
  modelId,
  nested,
  oneOf,
  optional,
  tuple,
  peerId,
  sessionId,
  text
} from './fields.ts'
import type { Field, Fields } from './fields.ts'
import type { AckMessage, LinkMessage, LinkRefusedMessage, StepMessage, StepRun, Want } from './link.ts'

/** For each `type` of a union of messages, its other fields. */
export type MessageTable<M extends { readonly type: string }> = {
  readonly [T in M['type']]: Fields<Omit<Extract<M, { readonly type: T }>, 'type'>>
}

/** Requests are numbered by their sender; 0 stands for the session as a whole. */
export const requestId = integer(1, 2 ** 32 - 1)
const responseId = integer(0, 2 ** 32 - 1)
const seq = integer(0)
const term = integer(1)
const count = integer(0)
const position = integer(0, limits.maxContextTokens)

const numericsFields: Fields<Numerics> = {
  weights: oneOf('f32', 'q8', 'q4'),
  kernels: text(128, /^[\x21-\x7e]{1,128}$/, 'printable ASCII, 1 to 128')
}
export const numerics: Field<Numerics> = nested('Numerics', numericsFields)

const encoding: Field<TensorEncoding> = oneOf('f32', 'f16', 'bf16', 'raw')

/** All kinds of {@link LinkPeer} in one, as it is on the wire. */
interface LinkPeerFields {
  readonly kind: LinkPeer['kind']
  readonly peer?: Extract<LinkPeer, { kind: 'stage' }>['peer']
  readonly record?: Uint8Array
}
const linkPeerFields: Fields<LinkPeerFields> = {
  kind: oneOf('coordinator', 'stage'),
  peer: optional(peerId),
  record: optional(bytes(limits.maxAnnouncementBytes))
}
const linkPeerMap = nested<LinkPeerFields>('LinkPeer', linkPeerFields)
const linkPeer: Field<LinkPeer> = {
  ...linkPeerMap,
  parse: (value, name) => {
    const { kind, peer, record } = linkPeerMap.parse(value, name)
    if (kind === 'coordinator') return { kind }
    if (peer === undefined) throw new MalformedError('a link names a stage without its peer id')
    return record === undefined ? { kind, peer } : { kind, peer, record }
  }
}

const linkEndFields: Fields<LinkEnd> = { term, to: linkPeer }
const linkEnd: Field<LinkEnd> = nested('LinkEnd', linkEndFields)

const nodeLoadFields: Fields<NodeLoad> = { queuedRows: count, freeKvTokens: count, freeHistoryBytes: count, sessions: count }
const nodeLoad: Field<NodeLoad> = nested('NodeLoad', nodeLoadFields)

const heldFields: Fields<Held> = {
  rows: position,
  lastSeq: seq,
  tail: list(tuple(integer(0, limits.maxContextTokens - 1), integer(1)), limits.heldTailRuns)
}
const held: Field<Held> = nested('Held', heldFields, checkHeld)

/** The pairs of a row map rise in both members, lie below `rows`, and none is newer than `lastSeq`. */
function checkHeld({ rows, lastSeq, tail }: Held): void {
  if ((rows === 0) !== (tail.length === 0)) throw new MalformedError(`a row map of ${tail.length} pairs cannot describe ${rows} rows`)
  let before: readonly [number, number] = [-1, 0]
  for (const next of tail) {
    if (next[0] <= before[0] || next[1] <= before[1]) throw new MalformedError('the pairs of a row map do not rise')
    before = next
  }
  if (before[0] >= rows && rows > 0) throw new MalformedError(`a row map names row ${before[0]} of ${rows}`)
  if (before[1] > lastSeq) throw new MalformedError(`a row map names seq ${before[1]}, beyond the last one, ${lastSeq}`)
}

const detailType = 'map up to 32 of text up to 64 to text up to 256, number or bool'

/** Keys are names of letters and digits, so that none has a meaning in JavaScript's objects that a copy could trigger. */
const errorDetail: Field<ErrorDetail> = {
  type: detailType,
  optional: false,
  parse: (value, name) => {
    const entries = Object.entries(asMap(value, name))
    if (entries.length > 32) throw new MalformedError(`the field ${name} is not of type ${detailType}`)
    const detail: Record<string, string | number | boolean> = {}
    for (const [key, fact] of entries) {
      const scalar =
        typeof fact === 'boolean' || (typeof fact === 'number' && !Number.isNaN(fact)) || (typeof fact === 'string' && fact.length <= 256)
      if (!scalar || !/^[A-Za-z][A-Za-z0-9]{0,63}$/.test(key)) throw new MalformedError(`the field ${name} is not of type ${detailType}`)
      detail[key] = fact
    }
    return detail
  },
  write: (value) => value
}

/** A code that this version does not know counts as `Internal`. */
const errorCode: Field<WireErrorCode> = {
  type: 'error code',
  optional: false,
  parse: (value, name) => {
    if (typeof value !== 'string' || value.length > 64) throw new MalformedError(`the field ${name} is not of type error code`)
    return isWireErrorCode(value) ? value : WireErrorCode.Internal
  },
  write: (value) => value
}

export const refusalFields: Fields<Omit<LinkRefusedMessage, 'type'>> = {
  code: errorCode,
  message: cutText(limits.maxMessageChars),
  detail: errorDetail
}

const side = oneOf('predecessor', 'successor')

export const controlRequestTable: MessageTable<ControlRequest> = {
  open: {
    id: requestId,
    session: sessionId,
    model: modelId,
    span: blockRange,
    numerics,
    exact: bool,
    kvTokens: integer(1, limits.maxContextTokens),
    historyBytes: count,
    encoding,
    predecessor: linkEnd,
    successor: linkEnd,
    leaseMs: integer(limits.minLeaseMs, limits.maxLeaseMs)
  },
  reroute: { id: requestId, side, link: linkEnd },
  skip: { from: integer(1), to: integer(1) },
  probe: { id: requestId },
  close: { id: requestId }
}

export const controlResponseTable: MessageTable<ControlResponse> = {
  opened: { id: requestId, load: nodeLoad },
  rerouted: { id: requestId, held, historyFrom: position },
  state: {
    id: requestId,
    held,
    historyFrom: position,
    acceptedSeq: seq,
    sentSeq: seq,
    acknowledgedSeq: seq,
    turnMs: float(0, 2 ** 31),
    load: nodeLoad
  },
  closed: { id: requestId },
  refused: { id: responseId, ...refusalFields, load: optional(nodeLoad) },
  accuse: { side, term, code: errorCode, message: cutText(limits.maxMessageChars) },
  drain: { withinMs: integer(0, 2 ** 31 - 1) }
}

/** What the wire has of one run, three numbers in a row. `want` is 0 for none, 1 for last, 2 for all. */
export const runFields: Fields<StepRun> = {
  seq: integer(1),
  rows: integer(0, limits.maxStepRows),
  want: oneOf('none', 'last', 'all')
}
export const wants: readonly Want[] = ['none', 'last', 'all']

/** Arrays on the wire: the code, then these fields in this order. */
export const stepCode = 1
export const stepFields: Fields<Omit<StepMessage, 'type'>> = {
  from: integer(1),
  to: integer(1),
  position,
  after: seq,
  computeUs: count,
  runs: list(nested<StepRun>('StepRun', runFields), limits.maxStepRuns)
}
export const ackCode = 2
export const ackFields: Fields<Omit<AckMessage, 'type'>> = { seq, steps: count, bytes: count }

export const linkTable: MessageTable<Exclude<LinkMessage, StepMessage | AckMessage>> = {
  hello: { coordinator: peerId, session: sessionId, term },
  held: { term, held, steps: count, bytes: count },
  refused: refusalFields
}

/** The parts that messages are made of, by the names under which the document lists them. */
export const partTables: Readonly<Record<string, Fields<object>>> = {
  BlockRange: { start: integer(0, limits.maxBlocks - 1), end: integer(1, limits.maxBlocks) } satisfies Fields<BlockRange>,
  Numerics: numericsFields,
  LinkPeer: linkPeerFields,
  LinkEnd: linkEndFields,
  NodeLoad: nodeLoadFields,
  Held: heldFields,
  StepRun: runFields
}
