/** Errors to refusals and back. What goes out says nothing of this machine's inside. */
import { isSkeinError, isWireErrorCode, MalformedError, WireError, WireErrorCode } from '../errors.ts'
import type { ErrorDetail } from '../errors.ts'
import { limits } from '../limits.ts'
import type { NodeLoad, RefusedResponse } from './control.ts'
import { cut } from './fields.ts'

/** What an error is to a peer: itself when it has a code that may cross the wire, else `Internal` without its text. */
export function wireErrorOf(error: unknown): WireError {
  if (error instanceof WireError) return error
  if (isSkeinError(error) && isWireErrorCode(error.code)) {
    return new WireError(error.code, error.message, { detail: error.detail, cause: error })
  }
  return new WireError(WireErrorCode.Internal, 'the peer failed; its own log says why', { cause: error })
}

/**
 * The refusal that tells a peer of an error, with its text and detail cut to what a message may hold.
 *
 * @param id - the request that is refused, or 0 for the session as a whole
 */
export function toRefusal(error: unknown, id: number, load?: NodeLoad): RefusedResponse {
  const { code, message, detail } = wireErrorOf(error)
  return {
    type: 'refused',
    id,
    code,
    message: cut(message, limits.maxMessageChars),
    detail: wireDetail(detail),
    ...(load === undefined ? {} : { load })
  }
}

/** The error that a refusal stands for, to be thrown where the answer was awaited. */
export function errorFromRefusal(refusal: {
  readonly code: WireErrorCode
  readonly message: string
  readonly detail: ErrorDetail
}): WireError {
  const { code, message, detail } = refusal
  return code === WireErrorCode.Malformed ? new MalformedError(message, { detail }) : new WireError(code, message, { detail })
}

function wireDetail(detail: ErrorDetail): ErrorDetail {
  const facts = Object.entries(detail).filter(([key, fact]) => /^[A-Za-z][A-Za-z0-9]{0,63}$/.test(key) && !Number.isNaN(fact))
  return Object.fromEntries(facts.slice(0, 32).map(([key, fact]) => [key, typeof fact === 'string' ? cut(fact, 256) : fact]))
}
