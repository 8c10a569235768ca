import { type BlockRange, type ErrorDetail, formatBlockRange, type PeerId, type RefusedResponse } from '@skein/protocol'
import type { ChainFailureCode } from './chain-events.ts'
import type { Gap } from './roster.ts'

/** Why a session ends: code, text, detail. */
type ChainFailure = readonly [code: ChainFailureCode, message: string, detail: ErrorDetail]

/** A refusal, and whose it is. */
export type PeerRefusal = RefusedResponse & { readonly peer: PeerId }

/** Nobody is left for some blocks while the chain opens. That somebody refused them says more than that there is nobody else. */
export function openFailure(gap: Gap, refused: PeerRefusal | undefined): ChainFailure {
  if (refused === undefined) return ['ERR_SKEIN_NO_COVERAGE', noCoverage(gap), { ...gap.span }]
  const { code, message, peer } = refused
  const blocks = `${gap.span.start}:${gap.span.end}`
  return [code, `no node takes blocks ${blocks}; ${peer} refused: ${message}`, { ...refused.detail, ...gap.span, peer }]
}

/** The wait of a recovery is over, with a gap left or without. */
export function recoveryFailure(gap: Gap | undefined, waitedMs: number): ChainFailure {
  const seconds = waitedMs / 1000
  if (gap === undefined) {
    return ['ERR_SKEIN_RECOVERY_FAILED', `the chain could not be mended within ${seconds} s; generate again`, {}]
  }
  return ['ERR_SKEIN_NO_COVERAGE', noCoverage(gap, `, waited ${seconds} s`), { ...uncoveredOf(gap)[0] }]
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
