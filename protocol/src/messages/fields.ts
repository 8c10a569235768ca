/**
 * Descriptions of the fields of messages. One table of them validates what arrives, writes what is sent, and is what the
 * test of docs/protocol.md compares the document with. Everything here refuses by {@link MalformedError}.
 *
 * @packageDocumentation
 */
import type { BlockRange } from '../block-range.ts'
import { MalformedError } from '../errors.ts'
import { isModelId, isPeerId, isSessionId } from '../ids.ts'
import type { ModelId, PeerId, SessionId } from '../ids.ts'
import { limits } from '../limits.ts'

/** One field: how it is checked, and how the document words its type. */
export interface Field<T> {
  /** The type as docs/protocol.md has it, such as `int 0..1024`. */
  readonly type: string
  /** Whether it may be absent. Nil counts as absent. */
  readonly optional: boolean
  /** Returns a checked copy (bytes stay views of the message). @throws MalformedError */
  parse(value: unknown, name: string): T
  /** The value as it goes to the packer. */
  write(value: T): unknown
}

/** A field for each property of a message or of a part of it. Fields that arrive and are not named here are ignored. */
export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> }

function field<T>(type: string, parse: (value: unknown, name: string) => T, write: (value: T) => unknown = (value) => value): Field<T> {
  return { type, optional: false, parse, write }
}

function refuse(name: string, type: string): MalformedError {
  return new MalformedError(`the field ${name} is not of type ${type}`)
}

/** A field of which `accept` says whether the value is right as it is. */
function checked<T>(type: string, accept: (value: unknown) => value is T): Field<T> {
  return field(type, (value, name) => {
    if (!accept(value)) throw refuse(name, type)
    return value
  })
}

export function optional<T>(inner: Field<T>): Field<T | undefined> {
  return {
    type: inner.type,
    optional: true,
    parse: (value, name) => (value === undefined || value === null ? undefined : inner.parse(value, name)),
    write: (value) => (value === undefined ? undefined : inner.write(value))
  }
}

/** Whole numbers, both bounds included. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Field<number> {
  const type = `int ${min}..${max === Number.MAX_SAFE_INTEGER ? '2^53-1' : max}`
  return field(type, (value, name) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) throw refuse(name, type)
    return value === 0 ? 0 : value // -0 becomes 0
  })
}

/** Finite numbers, both bounds included. */
export function float(min: number, max: number): Field<number> {
  return checked(
    `float ${min}..${max}`,
    (value): value is number => typeof value === 'number' && Number.isFinite(value) && value >= min && value <= max
  )
}

export const bool: Field<boolean> = checked('bool', (value) => typeof value === 'boolean')

/** Text of a bounded number of UTF-16 code units. */
export function text(maxChars: number, pattern?: RegExp, type = `text up to ${maxChars}`): Field<string> {
  return checked(
    type,
    (value): value is string => typeof value === 'string' && value.length <= maxChars && (pattern === undefined || pattern.test(value))
  )
}

/** Text for people: what is longer is cut, on both sides. */
export function cutText(maxChars: number): Field<string> {
  const type = `text, cut at ${maxChars}`
  return field(
    type,
    (value, name) => {
      if (typeof value !== 'string') throw refuse(name, type)
      return cut(value, maxChars)
    },
    (value) => cut(value, maxChars)
  )
}

/** The first `maxChars` code units, without half a surrogate pair at the end. */
export function cut(value: string, maxChars: number): string {
  if (value.length <= maxChars) return value
  const last = value.charCodeAt(maxChars - 1)
  return value.slice(0, last >= 0xd800 && last <= 0xdbff ? maxChars - 1 : maxChars)
}

export function bytes(maxBytes: number): Field<Uint8Array> {
  return checked(`bytes up to ${maxBytes}`, (value): value is Uint8Array => value instanceof Uint8Array && value.byteLength <= maxBytes)
}

export function oneOf<T extends string>(...values: readonly T[]): Field<T> {
  return checked(values.map((value) => `"${value}"`).join(' or '), (value): value is T => (values as readonly unknown[]).includes(value))
}

export const peerId: Field<PeerId> = checked('peer id', isPeerId)
export const modelId: Field<ModelId> = checked('model id', isModelId)
export const sessionId: Field<SessionId> = checked('session id', isSessionId)

/** An array of bounded length. `check` sees the whole and throws when its parts do not fit together. */
export function list<T>(item: Field<T>, maxItems: number, check?: (items: readonly T[], name: string) => void): Field<readonly T[]> {
  const type = `list up to ${maxItems} of ${item.type}`
  return field<readonly T[]>(
    type,
    (value, name) => {
      if (!Array.isArray(value) || value.length > maxItems) throw refuse(name, type)
      const items = value.map((entry) => item.parse(entry, name))
      check?.(items, name)
      return items
    },
    (items) => items.map((entry) => item.write(entry))
  )
}

/** An array of a few values of stated meaning. Further values are ignored. */
export function tuple<T extends readonly unknown[]>(...items: { readonly [K in keyof T]: Field<T[K]> }): Field<Readonly<T>> {
  const type = `[${items.map((item) => item.type).join(', ')}]`
  return field<Readonly<T>>(
    type,
    (value, name) => {
      if (!Array.isArray(value) || value.length < items.length) throw refuse(name, type)
      return items.map((item, index) => item.parse(value[index], name)) as unknown as Readonly<T>
    },
    (value) => items.map((item, index) => item.write(value[index]))
  )
}

/** A map with fields of its own, documented under `title`. */
export function nested<T extends object>(title: string, fields: Fields<T>, check?: (value: T) => void): Field<T> {
  return field<T>(
    title,
    (value, name) => {
      const parsed = parseFields(fields, asMap(value, name))
      check?.(parsed)
      return parsed
    },
    (value) => writeFields(fields, value)
  )
}

/** A map as the decoder makes them; neither an array nor bytes. @throws MalformedError */
export function asMap(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new MalformedError(`${name} is not a map`)
  }
  return value as Record<string, unknown>
}

/** Checks every field of the table, and leaves out the others. @throws MalformedError */
export function parseFields<T extends object>(fields: Fields<T>, map: Readonly<Record<string, unknown>>): T {
  const parsed: Partial<Record<keyof T, unknown>> = {}
  for (const name of namesOf(fields)) {
    const value = (fields[name] as Field<unknown>).parse(Object.hasOwn(map, name) ? map[name] : undefined, name)
    if (value !== undefined) parsed[name] = value
  }
  return parsed as T
}

/** The map that is packed: the fields of the table in its order, without absent ones. */
export function writeFields<T extends object>(fields: Fields<T>, value: T, into: Record<string, unknown> = {}): Record<string, unknown> {
  for (const name of namesOf(fields)) {
    const part = (fields[name] as Field<unknown>).write(value[name])
    if (part !== undefined) into[name] = part
  }
  return into
}

function namesOf<T extends object>(fields: Fields<T>): Array<keyof T & string> {
  return Object.keys(fields) as Array<keyof T & string>
}

/** A range of blocks as a map of its ends. */
export const blockRange: Field<BlockRange> = nested<BlockRange>(
  'BlockRange',
  { start: integer(0, limits.maxBlocks - 1), end: integer(1, limits.maxBlocks) },
  ({ start, end }) => {
    if (start >= end) throw new MalformedError(`the range of blocks ${start}:${end} is empty or runs backwards`)
  }
)
