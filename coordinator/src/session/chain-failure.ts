import { type BlockRange, type ErrorDetail, formatBlockRange, type PeerId, type RefusedResponse, WireErrorCode } from '@skein/protocol'
import type { ChainFailureCode } from './chain-events.ts'
import type { Gap } from './roster.ts'

/** Why a session ends: code, text, detail. */
type ChainFailure = readonly [code: ChainFailureCode, message: string, detail: ErrorDetail]

/** A refusal, and whose it is. */
export type PeerRefusal = RefusedResponse & { readonly peer: PeerId }

/** Refusals of nodes that would serve, and have no room. */
const wantOfRoom: ReadonlySet<string> = new Set([WireErrorCode.Busy, WireErrorCode.KvFull, WireErrorCode.HistoryFull])

/** Nobody is left for some blocks while the chain opens. That somebody refused them says more than that there is nobody else. */
export function openFailure(gap: Gap, refused: PeerRefusal | undefined): ChainFailure {
  if (refused === undefined) return ['ERR_SKEIN_NO_COVERAGE', noCoverage(gap), { ...gap.span }]
  return refusedBy(refused, gap)
}

/** The wait of a recovery is over, with a gap left or without. That nodes had no room says more than that there is nobody else. */
export function recoveryFailure(gap: Gap | undefined, waitedMs: number, refused?: PeerRefusal): ChainFailure {
  const seconds = waitedMs / 1000
  if (gap === undefined) {
    return ['ERR_SKEIN_RECOVERY_FAILED', `the chain could not be mended within ${seconds} s; generate again`, {}]
  }
  if (refused !== undefined && wantOfRoom.has(refused.code)) return refusedBy(refused, gap, `, waited ${seconds} s`)
  return ['ERR_SKEIN_NO_COVERAGE', noCoverage(gap, `, waited ${seconds} s`), { ...uncoveredOf(gap)[0] }]
}

function refusedBy({ code, message, peer, detail }: PeerRefusal, { span }: Gap, wait = ''): ChainFailure {
  return [code, `no node takes blocks ${formatBlockRange(span)}${wait}; ${peer} refused: ${message}`, { ...detail, ...span, peer }]
}

/** What to do is said as at connecting, where the same code comes from. */
function noCoverage(gap: Gap, wait = ''): string {
  const uncovered = uncoveredOf(gap)
  return `nobody serves blocks ${uncovered.map(formatBlockRange).join(', ')}${wait}; start a node with --blocks ${formatBlockRange(uncovered[0])}`
}

/** What the last search found nobody for; a node that could not be used may have been found for all of it. */
function uncoveredOf({ span, uncovered = [] }: Gap): readonly [BlockRange, ...BlockRange[]] {
  const [first = span, ...rest] = uncovered
  return [first, ...rest]
}
