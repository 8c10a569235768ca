/**
 * Announcements as signed bytes.
 *
 * Encoded: the MessagePack array `[payload, signature]`. `payload` is the MessagePack map of the announcement's fields, as
 * bytes; `signature` is Ed25519 over `"skein/announcement/1\n"` followed by the payload. The bytes travel unchanged, so a
 * field that a later version adds stays covered by the signature.
 *
 * @packageDocumentation
 */
import { InvalidArgumentError, MalformedError } from '../errors.ts'
import { limits } from '../limits.ts'
import { asMap, blockRange, float, integer, list, modelId, oneOf, parseFields, peerId, text, writeFields } from '../messages/fields.ts'
import type { Fields } from '../messages/fields.ts'
import { packMessage, unpackMessage } from '../messages/msgpack.ts'
import { numerics } from '../messages/tables.ts'
import type { Identity, Verifier } from '../ports/identity.ts'
import type { Announcement, SignedAnnouncement } from './announcement.ts'

/** Keeps a signature of an announcement from being one of anything else that the same key signs. */
const signaturePrefix = new TextEncoder().encode('skein/announcement/1\n')
const signatureBytes = 64

/** Components of a multiaddr in its text form: names, numbers, hosts. */
const addressPattern = /^(?:\/[A-Za-z0-9._:%~+=-]{1,200}){2,32}$/

const anyCount = integer(0)

export const announcementFields: Fields<Announcement> = {
  peer: peerId,
  model: modelId,
  blocks: integer(1, limits.maxBlocks),
  hiddenSize: integer(1, limits.maxHiddenSize),
  span: blockRange,
  entryPoints: list(integer(0, limits.maxBlocks), limits.maxBlocks + 1),
  numerics,
  state: oneOf('joining', 'serving', 'draining', 'offline'),
  addresses: list(
    text(limits.maxAddressChars, addressPattern, `multiaddr text up to ${limits.maxAddressChars}`),
    limits.maxAnnouncementAddresses
  ),
  stepMs: float(0, 1e9),
  rowsPerSecond: float(0, 1e12),
  kvTokens: anyCount,
  historyBytes: anyCount,
  sequence: integer(1),
  lifeMs: integer(limits.minAnnouncementLifeMs, limits.maxAnnouncementLifeMs)
}

/** An announcement whose fields are checked and whose signature is not: it says what it claims, and nothing more. */
export interface UnverifiedAnnouncement {
  readonly announcement: Announcement
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  /** As it arrived; a view. */
  readonly encoded: Uint8Array
}

/** @throws InvalidArgumentError when a value breaks the limits that other peers check, or the identity is another peer */
export function signAnnouncement(identity: Identity, announcement: Announcement): SignedAnnouncement {
  if (announcement.peer !== identity.peerId) {
    throw new InvalidArgumentError(`the key of ${identity.peerId} cannot sign an announcement of ${announcement.peer}`)
  }
  // Copied out of the packer's pool, since records are kept for long.
  const payload = Uint8Array.from(packMessage(writeFields(announcementFields, announcement), limits.maxAnnouncementBytes))
  const encoded = Uint8Array.from(packMessage([payload, identity.sign(signedBytes(payload))], Number.MAX_SAFE_INTEGER))
  try {
    return { announcement: parseAnnouncement(encoded).announcement, encoded }
  } catch (cause) {
    throw new InvalidArgumentError('the announcement cannot be signed: other peers would refuse it', { cause })
  }
}

/**
 * Checks bytes from anybody: sizes, fields, how they fit together, and the signature by the key inside the peer id.
 *
 * @returns the announcement with a copy of its bytes
 * @throws MalformedError
 */
export function verifyAnnouncement(verifier: Verifier, bytes: Uint8Array): SignedAnnouncement {
  return verifyParsed(verifier, parseAnnouncement(bytes))
}

/** The costly half of {@link verifyAnnouncement}. @throws MalformedError when the signature is not the peer's */
export function verifyParsed(verifier: Verifier, parsed: UnverifiedAnnouncement): SignedAnnouncement {
  const { announcement, payload, signature, encoded } = parsed
  if (!verifier.verify(announcement.peer, signedBytes(payload), signature)) {
    throw new MalformedError(`the signature of an announcement is not by the key of its peer ${announcement.peer}`)
  }
  return { announcement, encoded: Uint8Array.from(encoded) }
}

/** The cheap half of {@link verifyAnnouncement}, for who may not need the other one. @throws MalformedError */
export function parseAnnouncement(bytes: Uint8Array): UnverifiedAnnouncement {
  const envelope = unpackMessage(bytes, limits.maxAnnouncementBytes)
  if (!Array.isArray(envelope) || envelope.length !== 2) throw new MalformedError('an announcement is no pair of payload and signature')
  const [payload, signature] = envelope as unknown[]
  if (!(payload instanceof Uint8Array) || !(signature instanceof Uint8Array) || signature.byteLength !== signatureBytes) {
    throw new MalformedError('an announcement is no pair of payload and signature')
  }
  // One form only: what the signature does not cover must leave no choice, or copies of a record would differ.
  if (bytes.byteLength !== shortestEnvelopeBytes(payload.byteLength)) {
    throw new MalformedError('the envelope of an announcement is not in its shortest form')
  }
  const map = asMap(unpackMessage(payload, limits.maxAnnouncementBytes), 'the announcement')
  const announcement = parseFields(announcementFields, map)
  checkConsistency(announcement)
  return { announcement, payload, signature, encoded: bytes }
}

/**
 * The sequence of a peer's next announcement: above every earlier one, and above what a peer that has lost its state but
 * not its clock has used.
 *
 * @param persisted - the last sequence used, 0 when none is known
 * @param wallMs - milliseconds since the Unix epoch
 */
export function nextSequence(persisted: number, wallMs: number): number {
  return Math.max(persisted + 1, Math.floor(wallMs))
}

function checkConsistency({ peer, blocks, span, entryPoints, addresses }: Announcement): void {
  if (span.end > blocks) throw new MalformedError(`an announcement has the span ${span.start}:${span.end} of a model with ${blocks} blocks`)
  if (
    entryPoints[0] !== span.start ||
    entryPoints.at(-1) !== span.end ||
    entryPoints.some((point, i) => i > 0 && point <= entryPoints[i - 1]!)
  ) {
    throw new MalformedError(`the entry points of an announcement do not rise from ${span.start} to ${span.end}`)
  }
  for (const address of addresses) {
    const named = /\/p2p\/([^/]+)$/.exec(address)?.[1]
    if (named !== undefined && named !== peer) throw new MalformedError(`an announcement of ${peer} has an address of ${named}`)
  }
}

function signedBytes(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(signaturePrefix.length + payload.byteLength)
  bytes.set(signaturePrefix)
  bytes.set(payload, signaturePrefix.length)
  return bytes
}

/** Of the header of a pair, and of two byte strings with their headers: every longer form of a header has more bytes. */
function shortestEnvelopeBytes(payloadBytes: number): number {
  return 1 + (payloadBytes < 256 ? 2 : 3) + payloadBytes + 2 + signatureBytes
}
