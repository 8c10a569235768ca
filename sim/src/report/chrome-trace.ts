import type { RunRecord } from '../record/run-record.ts'

/** One event of the Trace Event Format, which Perfetto and chrome://tracing read. Times are microseconds. */
export interface TraceEvent {
  readonly name: string
  /** `X` a span, `i` an instant, `C` a counter, `M` a name. */
  readonly ph: 'X' | 'i' | 'C' | 'M'
  readonly pid: number
  readonly tid?: number
  readonly ts?: number
  readonly dur?: number
  readonly cat?: string
  readonly s?: 'g' | 'p'
  readonly args?: Readonly<Record<string, string | number>>
}

/** The process of what concerns the whole swarm. */
const swarmPid = 0

/**
 * A run's traced sessions as a trace file: a process a peer, a thread a generation, so that spans of different sessions do
 * not cover each other.
 *
 * @see https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event Format)
 */
export function chromeTrace(record: RunRecord): { displayTimeUnit: 'ms'; traceEvents: TraceEvent[] } {
  const pids = new Map<string, number>()
  const threads = new Set<string>()
  const names: TraceEvent[] = [
    { name: 'process_name', ph: 'M', pid: swarmPid, args: { name: `swarm: ${record.scenario}, seed ${record.seed}` } }
  ]
  const spans = record.trace.map((span): TraceEvent => {
    let pid = pids.get(span.track)
    if (pid === undefined) {
      pid = pids.size + 1
      pids.set(span.track, pid)
      names.push({ name: 'process_name', ph: 'M', pid, args: { name: span.track } })
    }
    const thread = `${pid}/${span.generation}`
    if (!threads.has(thread)) {
      threads.add(thread)
      names.push({ name: 'thread_name', ph: 'M', pid, tid: span.generation, args: { name: `generation ${span.generation}` } })
    }
    return {
      name: span.name,
      cat: span.name,
      ph: 'X',
      pid,
      tid: span.generation,
      ts: Math.round(1000 * span.startMs),
      dur: Math.max(0, Math.round(1000 * (span.endMs - span.startMs))),
      args: { generation: span.generation, ...(span.seq === undefined ? {} : { seq: span.seq }) }
    }
  })
  const instants = record.log.map(({ atMs, kind, text }): TraceEvent => {
    return { name: kind, cat: 'event', ph: 'i', s: 'g', pid: swarmPid, tid: 0, ts: Math.round(1000 * atMs), args: { text } }
  })
  const counters = record.samples.map(({ atMs, tokensPerSecond, sessions, leastCoverage }): TraceEvent => {
    return { name: 'swarm', ph: 'C', pid: swarmPid, ts: Math.round(1000 * atMs), args: { tokensPerSecond, sessions, leastCoverage } }
  })
  return { displayTimeUnit: 'ms', traceEvents: [...names, ...spans, ...instants, ...counters] }
}
