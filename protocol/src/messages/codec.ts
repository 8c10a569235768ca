/**
 * Messages to bytes and back. What comes out of a decoder is checked field by field: types, ranges, lengths, and how the
 * parts fit together. Unknown fields are dropped.
 *
 * Every decoder throws `MalformedError` for bytes that break the protocol, and a `WireError` of code `Unsupported` for a
 * well-formed message of a type that this version does not know. Nothing else.
 *
 * @packageDocumentation
 */
import { MalformedError, WireError, WireErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import type { ControlRequest, ControlResponse } from './control.ts'
import { asMap, parseFields, writeFields } from './fields.ts'
import type { Fields } from './fields.ts'
import type { AckMessage, LinkMessage, StepMessage, StepRun } from './link.ts'
import { packMessage, unpackMessage } from './msgpack.ts'
import {
  ackCode,
  ackFields,
  controlRequestTable,
  controlResponseTable,
  linkTable,
  runFields,
  stepCode,
  stepFields,
  wants
} from './tables.ts'

type AnyTable = Readonly<Record<string, Fields<object>>>

/** @throws WireError `TooLarge` beyond `limits.maxControlBytes` */
export function encodeControl(message: ControlRequest | ControlResponse): Uint8Array {
  const tables: AnyTable = message.type in controlRequestTable ? controlRequestTable : controlResponseTable
  return packMessage(writeMessage(tables, message), limits.maxControlBytes)
}

/** @throws MalformedError, WireError `Unsupported` */
export function decodeControlRequest(bytes: Uint8Array): ControlRequest {
  const message = parseMessage<ControlRequest>(controlRequestTable, unpackMessage(bytes, limits.maxControlBytes))
  if (message.type === 'skip' && message.from > message.to) {
    throw new MalformedError(`a skip runs backwards, from ${message.from} to ${message.to}`)
  }
  return message
}

/** @throws MalformedError, WireError `Unsupported` */
export function decodeControlResponse(bytes: Uint8Array): ControlResponse {
  return parseMessage<ControlResponse>(controlResponseTable, unpackMessage(bytes, limits.maxControlBytes))
}

/** @throws WireError `TooLarge` beyond `limits.maxLinkHeadBytes` */
export function encodeLink(message: LinkMessage): Uint8Array {
  switch (message.type) {
    case 'step':
      return packMessage(writeStep(message), limits.maxLinkHeadBytes)
    case 'ack':
      return packMessage([ackCode, message.seq, message.steps, message.bytes], limits.maxLinkHeadBytes)
    default:
      return packMessage(writeMessage(linkTable, message), limits.maxLinkHeadBytes)
  }
}

/**
 * @param kind - on a results link a run may have no rows in the body, because none was wanted
 * @throws MalformedError, WireError `Unsupported`
 */
export function decodeLink(bytes: Uint8Array, kind: 'link' | 'results' = 'link'): LinkMessage {
  const value = unpackMessage(bytes, limits.maxLinkHeadBytes)
  if (!Array.isArray(value)) return parseMessage<LinkMessage>(linkTable, value)
  switch (value[0]) {
    case stepCode:
      return parseStep(value, kind)
    case ackCode:
      return parseAck(value)
    default:
      if (typeof value[0] !== 'number') throw new MalformedError('the message is an array without a code')
      throw unsupported(String(value[0]))
  }
}

/** The rows that a step's body holds. */
export function stepRows(step: StepMessage): number {
  let rows = 0
  for (const run of step.runs) rows += run.rows
  return rows
}

/**
 * @param bodyBytes - length of the frame's body, 0 when it has none
 * @param rowBytes - bytes of one row in the session's encoding
 * @throws MalformedError when the body is not exactly the rows that the step names
 */
export function checkStepBody(step: StepMessage, bodyBytes: number, rowBytes: number): void {
  const rows = stepRows(step)
  if (bodyBytes !== rows * rowBytes) {
    throw new MalformedError(`step ${step.to} has ${bodyBytes} bytes of activations for ${rows} rows of ${rowBytes} bytes`)
  }
}

function writeStep(step: StepMessage): unknown[] {
  const runs: number[] = []
  for (const run of step.runs) runs.push(run.seq, run.rows, wants.indexOf(run.want))
  return [stepCode, step.from, step.to, step.position, step.after, Math.round(step.computeUs), runs]
}

function parseStep(value: readonly unknown[], kind: 'link' | 'results'): StepMessage {
  const step: StepMessage = {
    type: 'step',
    from: stepFields.from.parse(value[1], 'from'),
    to: stepFields.to.parse(value[2], 'to'),
    position: stepFields.position.parse(value[3], 'position'),
    after: stepFields.after.parse(value[4], 'after'),
    computeUs: stepFields.computeUs.parse(value[5], 'computeUs'),
    runs: parseRuns(value[6], kind === 'results' ? 0 : 1)
  }
  checkStep(step, kind === 'link')
  return step
}

function parseRuns(value: unknown, minRows: number): StepRun[] {
  if (!Array.isArray(value) || value.length % 3 !== 0 || value.length > 3 * limits.maxStepRuns) {
    throw new MalformedError(`the runs of a step are no array of up to ${limits.maxStepRuns} times three numbers`)
  }
  const runs: StepRun[] = []
  for (let i = 0; i < value.length; i += 3) {
    const rows = runFields.rows.parse(value[i + 1], 'rows')
    const want = wants[value[i + 2] as number]
    if (want === undefined) throw new MalformedError('the field want is neither 0, 1 nor 2')
    if (rows < minRows) throw new MalformedError('a run has no rows')
    runs.push({ seq: runFields.seq.parse(value[i], 'seq'), rows, want })
  }
  return runs
}

/**
 * How the parts of a step fit together, as far as that can be seen without the session. Results do not follow each other in
 * a cache, so their `after` says nothing.
 */
function checkStep(step: StepMessage, linked: boolean): void {
  const { from, to, position, after, runs } = step
  if (from > to) throw new MalformedError(`a step runs backwards, from ${from} to ${to}`)
  if (runs.length === 0) return
  let before = from - 1
  for (const { seq } of runs) {
    if (seq <= before) throw new MalformedError('the runs of a step do not rise')
    before = seq
  }
  if (before > to) throw new MalformedError(`a step from ${from} to ${to} has a run of seq ${before}`)
  const rows = stepRows(step)
  if (rows > limits.maxStepRows) throw new MalformedError(`a step of ${rows} rows exceeds the limit of ${limits.maxStepRows}`)
  if (position + rows > limits.maxContextTokens) throw new MalformedError(`a step ends at row ${position + rows}, beyond any context`)
  if (!linked) return
  if ((position === 0) !== (after === 0) || after > to) {
    throw new MalformedError(`a step at position ${position} cannot come after seq ${after}`)
  }
}

function parseAck(value: readonly unknown[]): AckMessage {
  return {
    type: 'ack',
    seq: ackFields.seq.parse(value[1], 'seq'),
    steps: ackFields.steps.parse(value[2], 'steps'),
    bytes: ackFields.bytes.parse(value[3], 'bytes')
  }
}

/** The map of a message: its type first, then its fields in the order of its table. */
export function writeMessage(table: AnyTable, message: { readonly type: string }): Record<string, unknown> {
  return writeFields<object>(table[message.type] as Fields<object>, message, { type: message.type })
}

/** @throws MalformedError, WireError `Unsupported` */
export function parseMessage<M extends { readonly type: string }>(table: AnyTable, value: unknown): M {
  const map = asMap(value, 'the message')
  const { type } = map
  if (typeof type !== 'string' || type.length > 64) throw new MalformedError('the message has no type')
  const fields = Object.hasOwn(table, type) ? table[type] : undefined
  if (fields === undefined) throw unsupported(type)
  return { type, ...parseFields<object>(fields, map) } as M
}

function unsupported(type: string): WireError {
  return new WireError(WireErrorCode.Unsupported, `messages of type ${JSON.stringify(type)} are not known here`, { detail: { type } })
}
