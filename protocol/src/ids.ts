/**
 * Names of things that cross the wire. Each is a branded string, so that one cannot be handed over for another.
 *
 * @packageDocumentation
 */
import { InvalidArgumentError } from './errors.ts'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** A libp2p peer id in its canonical text form (base58btc of the identity multihash of an Ed25519 key: `12D3KooW...`). */
export type PeerId = Branded<'PeerId'>

/** `<name>@<32 lower-case hex digits>`: the checkpoint's name and 128 bits of the hash of its manifest. */
export type ModelId = Branded<'ModelId'>

/** 128 random bits as 32 lower-case hex digits. Unique within its coordinator; a stage keys sessions by both. */
export type SessionId = Branded<'SessionId'>

/** The id of a protocol and its version, such as `/skein/link/1.0`. */
export type ProtocolId = Branded<'ProtocolId'>

const peerIdPrefix = '12D3KooW'
const peerIdChars = 52
const peerIdPattern = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
/**
 * The ids of the keys of nothing but zeros and of nothing but ones. The alphabet of base58 is in the order of ASCII, so that
 * texts of one length compare as the numbers that they stand for: what lies between these two is the id of some key.
 */
const leastPeerId = '12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw'
const greatestPeerId = '12D3KooWT3gYEvLJyx1FyyHqrmvdy1tMjpgxmu9aSeKMEuafQtyC'
const modelIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}@[0-9a-f]{32}$/
const sessionIdPattern = /^[0-9a-f]{32}$/
const protocolIdPattern = /^\/[a-z0-9-]+(\/[a-z0-9-]+)*\/[0-9]+(\.[0-9]+)?$/

function parser<T extends string>(what: string, pattern: RegExp, expected: string): (text: string) => T {
  return (text) => {
    if (!pattern.test(text)) {
      throw new InvalidArgumentError(`${JSON.stringify(text.slice(0, 160))} is not a ${what}: expected ${expected}`)
    }
    return text as T
  }
}

/** @throws InvalidArgumentError when the text is no peer id of an Ed25519 key */
export function parsePeerId(text: string): PeerId {
  if (isPeerId(text)) return text
  throw new InvalidArgumentError(`${JSON.stringify(text.slice(0, 160))} is not a peer id: ${whatIsWrong(text)}`)
}

function whatIsWrong(text: string): string {
  if (!text.startsWith(peerIdPrefix)) return `expected one of an Ed25519 key, which begins with ${peerIdPrefix}`
  if (text.length !== peerIdChars) return `it has ${text.length} characters, and a whole one has ${peerIdChars}`
  return 'no Ed25519 key has it'
}

/** @throws InvalidArgumentError when the text is no model id */
export const parseModelId = parser<ModelId>('model id', modelIdPattern, '<name>@<32 hex digits>')

/** @throws InvalidArgumentError when the text is no session id */
export const parseSessionId = parser<SessionId>('session id', sessionIdPattern, '32 hex digits')

/** @throws InvalidArgumentError when the text is no protocol id */
export const parseProtocolId = parser<ProtocolId>('protocol id', protocolIdPattern, '/name/major.minor')

/** Exact: a text that passes is one that libp2p reads as well, and whose key it compares with that of who answers. */
export function isPeerId(value: unknown): value is PeerId {
  return typeof value === 'string' && peerIdPattern.test(value) && value >= leastPeerId && value <= greatestPeerId
}

export function isModelId(value: unknown): value is ModelId {
  return typeof value === 'string' && modelIdPattern.test(value)
}

export function isSessionId(value: unknown): value is SessionId {
  return typeof value === 'string' && sessionIdPattern.test(value)
}
