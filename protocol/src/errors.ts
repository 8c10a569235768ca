/**
 * Every error that skein throws on purpose is a {@link SkeinError} with a code. Codes that may cross the wire are the
 * members of {@link WireErrorCode}; a peer acts on the code, a person reads the text.
 *
 * @packageDocumentation
 */

/** Facts that go with an error, for programs and logs. Only scalars, so that they can cross the wire and a thread. */
export type ErrorDetail = Readonly<Record<string, string | number | boolean>>

export interface SkeinErrorOptions extends ErrorOptions {
  detail?: ErrorDetail
}

/** The base of all errors of skein. The text says what happened and what to do about it. */
export class SkeinError<Code extends string = string> extends Error {
  readonly code: Code
  readonly detail: ErrorDetail

  constructor(code: Code, message: string, options: SkeinErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.detail = options.detail ?? {}
  }
}

/** Matches by shape and not by `instanceof`, because a class may be loaded twice or have crossed a thread. */
export function isSkeinError(error: unknown): error is SkeinError {
  if (!(error instanceof Error) || !('code' in error)) return false
  return typeof error.code === 'string' && error.code.startsWith('ERR_SKEIN_')
}

/** An argument, flag or option has a value that cannot be used. */
export class InvalidArgumentError extends SkeinError<'ERR_SKEIN_INVALID_ARGUMENT'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_INVALID_ARGUMENT', message, options)
  }
}

/** An operation was given up because its abort signal fired. */
export class AbortError extends SkeinError<'ERR_SKEIN_ABORTED'> {
  constructor(message = 'the operation was aborted', options?: SkeinErrorOptions) {
    super('ERR_SKEIN_ABORTED', message, options)
  }
}

/** A deadline passed. The detail has `timeoutMs`. */
export class TimeoutError extends SkeinError<'ERR_SKEIN_TIMEOUT'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_TIMEOUT', message, options)
  }
}

/** The codes that a peer may send in a refusal. An unknown code that arrives is treated as `Internal`. */
export const WireErrorCode = {
  /** The frame cannot be decoded, or a field has an impossible value. */
  Malformed: 'ERR_SKEIN_MALFORMED',
  /** A frame or a field is larger than its limit. */
  TooLarge: 'ERR_SKEIN_TOO_LARGE',
  /** The two peers share no version of the protocol, or a required feature is missing. */
  Unsupported: 'ERR_SKEIN_UNSUPPORTED',
  /** The node serves another model. */
  WrongModel: 'ERR_SKEIN_WRONG_MODEL',
  /** The node does not host the span that was asked for, or not with such an entry point. */
  WrongSpan: 'ERR_SKEIN_WRONG_SPAN',
  /** The node's weights or kernels are not of the numerics that was asked for. */
  WrongNumerics: 'ERR_SKEIN_WRONG_NUMERICS',
  /** No session of that name is open for this peer. */
  UnknownSession: 'ERR_SKEIN_UNKNOWN_SESSION',
  /** A session of that name is open already. */
  SessionExists: 'ERR_SKEIN_SESSION_EXISTS',
  /** There is no room for the KV cache that was asked for; the detail has `freeTokens`. */
  KvFull: 'ERR_SKEIN_KV_FULL',
  /** There is no room for the history that was asked for; the detail has `freeBytes`. */
  HistoryFull: 'ERR_SKEIN_HISTORY_FULL',
  /** The node takes no new sessions: it is full of them, or stops. */
  Busy: 'ERR_SKEIN_BUSY',
  /** The node is going offline. */
  Draining: 'ERR_SKEIN_DRAINING',
  /** A step does not follow what the stage holds: its `seq`, `position` or `after` does not match. */
  OutOfOrder: 'ERR_SKEIN_OUT_OF_ORDER',
  /** A step would pass the session's reservation or the model's context. */
  TooLong: 'ERR_SKEIN_TOO_LONG',
  /** The link is of an older term than the one in force, or from a peer that was not named. */
  StaleTerm: 'ERR_SKEIN_STALE_TERM',
  /** Activations that arrived hold NaN or infinity. */
  NotFinite: 'ERR_SKEIN_NOT_FINITE',
  /** The session's lease ran out. */
  LeaseExpired: 'ERR_SKEIN_LEASE_EXPIRED',
  /** The peer sent more than its credits allow. */
  CreditExceeded: 'ERR_SKEIN_CREDIT_EXCEEDED',
  /** The history no longer reaches back far enough for the replay; the detail has `historyFrom`. */
  HistoryLost: 'ERR_SKEIN_HISTORY_LOST',
  /** A peer named in `open` or `reroute` could not be reached, or has no valid announcement. */
  PeerUnreachable: 'ERR_SKEIN_PEER_UNREACHABLE',
  /** The peer asked for too much in too short a time. */
  RateLimited: 'ERR_SKEIN_RATE_LIMITED',
  /** The node failed; its own log says why. */
  Internal: 'ERR_SKEIN_INTERNAL'
} as const

export type WireErrorCode = (typeof WireErrorCode)[keyof typeof WireErrorCode]

const wireCodes: ReadonlySet<string> = new Set(Object.values(WireErrorCode))

export function isWireErrorCode(value: unknown): value is WireErrorCode {
  return typeof value === 'string' && wireCodes.has(value)
}

/** A refusal, by this peer or by another one. */
export class WireError extends SkeinError<WireErrorCode> {}

/** A frame or a record that arrived breaks the protocol. */
export class MalformedError extends WireError {
  constructor(message: string, options?: SkeinErrorOptions) {
    super(WireErrorCode.Malformed, message, options)
  }
}

/** A channel was reset, or its connection is gone. */
export class ChannelClosedError extends SkeinError<'ERR_SKEIN_CHANNEL_CLOSED'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_CHANNEL_CLOSED', message, options)
  }
}

/** A peer has no known address, or none of them answered. */
export class DialError extends SkeinError<'ERR_SKEIN_DIAL_FAILED'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_DIAL_FAILED', message, options)
  }
}

/** `send` was called though the channel's bound was reached: a mistake of the caller, who must await `writable`. */
export class ChannelFullError extends SkeinError<'ERR_SKEIN_CHANNEL_FULL'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_CHANNEL_FULL', message, options)
  }
}

/** A file of this peer's own cannot be read or written. */
export class StorageError extends SkeinError<'ERR_SKEIN_STORAGE'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_STORAGE', message, options)
  }
}

/** The key of this peer cannot be used: its file is open to others, is no key, or another process uses it. */
export class IdentityError extends SkeinError<'ERR_SKEIN_IDENTITY'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_IDENTITY', message, options)
  }
}

/** An address cannot be listened on. The detail has `address` and, where the system said why, its `errno`. */
export class ListenError extends SkeinError<'ERR_SKEIN_LISTEN'> {
  constructor(message: string, options?: SkeinErrorOptions) {
    super('ERR_SKEIN_LISTEN', message, options)
  }
}

/** The one-line text of anything that was thrown, with those causes that say something new. Never a stack. */
export function describeError(error: unknown): string {
  const parts: string[] = []
  for (let current: unknown = error, depth = 0; current !== undefined && current !== null && depth < 4; depth++) {
    const text = current instanceof Error ? current.message : String(current)
    if (text !== '' && !parts.some((part) => part.includes(text))) parts.push(text)
    current = current instanceof Error ? current.cause : undefined
  }
  return parts.join(': ').replaceAll(/\s*\n\s*/g, ' ')
}
