import type { GenerationRecord, RunRecord, TraceSpan } from '../record/run-record.ts'
import { causeScale } from './charts.ts'
import type { ChartSpec } from './plot.ts'
import { thinned } from './series.ts'

/** More bars than this are drawn by a sample. */
const maxBars = 1500

/**
 * The generation that tells most: the longest that recovered, or else the one of median length; of those with a trace.
 */
export function chooseGeneration({ generations, trace }: RunRecord): GenerationRecord | undefined {
  const traced = new Set(trace.map(({ generation }) => generation))
  const candidates = generations
    .filter(({ id, endMs }) => traced.has(id) && endMs !== undefined)
    .toSorted((a, b) => lengthOf(a) - lengthOf(b) || a.id - b.id)
  return candidates.findLast(({ recoveries }) => recoveries > 0) ?? candidates[Math.floor(candidates.length / 2)]
}

function lengthOf({ startMs, endMs = startMs }: GenerationRecord): number {
  return endMs - startMs
}

/** One session through its stages: a row a peer, a bar a piece of its time. Times are from the session's start. */
export function sessionChart(record: RunRecord, generation: GenerationRecord, fromMs: number, toMs: number): ChartSpec {
  const spans = record.trace.filter((span) => span.generation === generation.id && span.name !== 'generation')
  const inside = spans.filter(({ startMs, endMs }) => endMs > fromMs && startMs < toMs)
  const unit = toMs - fromMs > 10_000 ? { name: 's', ms: 1000 } : { name: 'ms', ms: 1 }
  const values = thinned(inside, maxBars).map((span) => ({
    track: span.track,
    cause: span.name,
    t: (Math.max(span.startMs, fromMs) - generation.startMs) / unit.ms,
    t2: (Math.min(span.endMs, toMs) - generation.startMs) / unit.ms
  }))
  const tracks = trackOrder(spans, generation)
  return {
    height: Math.max(60, 26 * tracks.length),
    data: { values },
    mark: { type: 'bar', height: { band: 0.7 } },
    encoding: {
      x: {
        field: 't',
        type: 'quantitative',
        title: `since the session began (${unit.name})`,
        scale: { domain: [(fromMs - generation.startMs) / unit.ms, (toMs - generation.startMs) / unit.ms], nice: false, clamp: true }
      },
      x2: { field: 't2' },
      y: { field: 'track', type: 'nominal', title: null, sort: tracks, scale: { domain: tracks }, axis: { labelFontSize: 12 } },
      color: { field: 'cause', type: 'nominal', title: null, scale: causeScale }
    }
  }
}

/** The client first, then the nodes in the order of their blocks; those that were replaced where they came in. */
function trackOrder(spans: readonly TraceSpan[], { chain }: GenerationRecord): string[] {
  const seen = [...new Set(spans.map(({ track }) => track))]
  const place = (track: string): number => {
    if (track.startsWith('client')) return -1
    const stage = chain.find(({ node }) => track === `node ${node}`)
    return stage?.start ?? 1e9
  }
  return seen.toSorted((a, b) => place(a) - place(b))
}

/** A few steps in the middle of the session, so that single hops can be seen; around its recovery if it had one. */
export function closeUp(record: RunRecord, generation: GenerationRecord): { fromMs: number; toMs: number } | undefined {
  const spans = record.trace.filter((span) => span.generation === generation.id && span.name !== 'generation')
  const recovery = spans.find(({ name }) => name === 'recovery')
  if (recovery !== undefined) {
    const length = recovery.endMs - recovery.startMs
    return { fromMs: recovery.startMs - 0.5 * length, toMs: recovery.endMs + 0.5 * length }
  }
  const { firstTokenMs, lastTokenMs: endMs, outputTokens } = generation
  if (firstTokenMs === undefined || endMs === undefined || outputTokens < 4 || endMs <= firstTokenMs) return undefined
  const stepMs = (endMs - firstTokenMs) / (outputTokens - 1)
  const fromMs = firstTokenMs + stepMs * Math.floor(outputTokens / 2)
  return { fromMs, toMs: fromMs + 3 * stepMs }
}
