import {
  containsRange,
  formatBlockRange,
  limits,
  type ModelId,
  type NodeState,
  type OpenRequest,
  rowBytes,
  sameNumerics,
  WireError,
  WireErrorCode
} from '@skein/protocol'
import type { SpanRuntimeInfo } from '../runtime/span-runtime.ts'

/** What a node looks at when it is asked for a session. */
export interface AdmissionView {
  readonly model: ModelId
  readonly info: SpanRuntimeInfo
  readonly state: NodeState
  readonly sessions: number
  readonly maxSessions: number
  /** Sessions of the coordinator that asks, and how many one coordinator may have: a share, so that one cannot take all. */
  readonly sessionsOfPeer: number
  readonly maxSessionsPerPeer: number
  /** Whether this runtime can take rows in `raw` encoding: only the simulator's. */
  readonly acceptsRaw: boolean
}

/**
 * Decides whether a node takes a session, before anything is reserved for it. Room for KV and history is not looked at
 * here: the reservation itself tells.
 *
 * @throws WireError with the code that says why not, and the numbers
 */
export function admit(request: OpenRequest, view: AdmissionView): void {
  const { info } = view
  if (view.state === 'draining' || view.state === 'offline') {
    throw new WireError(WireErrorCode.Draining, 'this node is going offline and takes no new sessions')
  }
  if (view.state !== 'serving') throw new WireError(WireErrorCode.Busy, 'this node is still starting')
  if (request.model !== view.model) {
    throw new WireError(WireErrorCode.WrongModel, `this node serves ${view.model}, not ${request.model}`, { detail: { model: view.model } })
  }
  const entryPoint = info.entryPoints.includes(request.span.start) && info.entryPoints.includes(request.span.end)
  if (!containsRange(info.span, request.span) || !entryPoint) {
    throw new WireError(
      WireErrorCode.WrongSpan,
      `this node hosts blocks ${formatBlockRange(info.span)} with entry points ${info.entryPoints.join(', ')}; ${formatBlockRange(request.span)} cannot be served`
    )
  }
  if (!sameNumerics(request.numerics, info.numerics)) {
    throw new WireError(
      WireErrorCode.WrongNumerics,
      `this node computes with ${info.numerics.weights} weights and ${info.numerics.kernels}, not ${request.numerics.weights} and ${request.numerics.kernels}`
    )
  }
  if ((request.encoding === 'raw') !== view.acceptsRaw) {
    throw new WireError(WireErrorCode.Unsupported, `activations in ${request.encoding} are not taken here`)
  }
  admitSizes(request, view)
}

function admitSizes(request: OpenRequest, view: AdmissionView): void {
  const { info } = view
  if (request.kvTokens < 1 || request.kvTokens > info.contextTokens) {
    throw new WireError(
      WireErrorCode.TooLong,
      `a session of ${request.kvTokens} tokens does not fit the model's context of ${info.contextTokens}`,
      {
        detail: { contextTokens: info.contextTokens }
      }
    )
  }
  if (request.leaseMs < limits.minLeaseMs || request.leaseMs > limits.maxLeaseMs) {
    throw new WireError(WireErrorCode.Malformed, `a lease is ${limits.minLeaseMs} to ${limits.maxLeaseMs} ms, not ${request.leaseMs}`)
  }
  if (rowBytes(request.encoding, info.hiddenSize) > limits.maxStepBytes) {
    throw new WireError(WireErrorCode.TooLarge, `one row of ${request.encoding} activations is larger than a step may be`)
  }
  if (view.sessions >= view.maxSessions || view.sessionsOfPeer >= view.maxSessionsPerPeer) {
    throw new WireError(
      WireErrorCode.Busy,
      `this node has ${view.sessions} sessions, ${view.sessionsOfPeer} of them yours, and takes no more`,
      {
        detail: { sessions: view.sessions, maxSessions: view.maxSessions }
      }
    )
  }
}
