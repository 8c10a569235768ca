import { seededRandom } from '@skein/protocol/testing'
import type { GenerationRecord, NodeRecord, RunEvent, RunRecord, Sample, TraceSpan } from '../record/run-record.ts'

export interface SyntheticOptions {
  readonly seed?: number
  readonly nodes?: number
  readonly generations?: number
  readonly blocks?: number
  readonly stages?: number
  readonly seconds?: number
  /** Goes into every name that a report prints. */
  readonly name?: string
}

/** A record as a run would leave it, with numbers that hang together; for tests of reports. */
export function syntheticRecord(options: SyntheticOptions = {}): RunRecord {
  const { seed = 1, nodes = 16, generations = 40, blocks = 32, stages = 4, seconds = 600, name = 'synthetic' } = options
  const random = seededRandom(seed)
  const virtualMs = 1000 * seconds
  const span = blocks / stages
  const log: RunEvent[] = []
  const nodeRecords = Array.from({ length: nodes }, (_, node): NodeRecord => {
    const start = (node % stages) * span
    const leaves = node % 4 === 3
    const downAt = virtualMs * (0.3 + 0.4 * random.float())
    const upAgain = Math.min(virtualMs, downAt + 60_000)
    if (leaves) {
      log.push({ atMs: downAt, kind: 'node-down', node, text: `${name} node ${node} left` })
      log.push({ atMs: upAgain, kind: 'node-up', node, text: `${name} node ${node} came back` })
    }
    return {
      node,
      peer: `peer-${node}`,
      group: `${name}-${node % 2}`,
      region: ['frankfurt', 'virginia', 'singapore'][node % 3] ?? '',
      start,
      end: start + span,
      up: leaves
        ? [
            [0, downAt],
            [upAgain, virtualMs]
          ]
        : [[0, virtualMs]],
      busyMs: virtualMs * 0.6 * random.float(),
      rows: 1000,
      sentBytes: 5e7,
      receivedBytes: 5e7
    }
  })
  const trace: TraceSpan[] = []
  const records = Array.from({ length: generations }, (_, id): GenerationRecord => {
    const startMs = (virtualMs * 0.9 * id) / generations
    const recoveries = id % 7 === 3 ? 1 : 0
    const chain = Array.from({ length: stages }, (_, stage) => {
      const node = stage + stages * Math.floor((random.float() * nodes) / stages)
      return { node, start: stage * span, end: (stage + 1) * span }
    })
    const outputTokens = 20 + Math.floor(40 * random.float())
    let now = startMs + 200
    trace.push({ generation: id, track: `client ${id % 4}`, name: 'queue', startMs, endMs: now })
    let firstTokenMs = now
    const total = { chainMs: 0, computeMs: 0, transferMs: 0, delayMs: 0, queueMs: 200, silenceMs: 0, recoveryMs: 0 }
    const add = (track: string, kind: 'compute' | 'transfer' | 'delay' | 'recovery', ms: number, seq: number): void => {
      trace.push({ generation: id, track, name: kind, startMs: now, endMs: now + ms, seq })
      total[`${kind}Ms`] += ms
      now += ms
    }
    for (let seq = 0; seq < outputTokens; seq++) {
      if (recoveries > 0 && seq === 10) {
        log.push({ atMs: now, kind: 'recovering', generation: id, node: chain[1]?.node, text: `${name} lost a stage` })
        add(`client ${id % 4}`, 'recovery', 1500, seq)
        log.push({ atMs: now, kind: 'recovered', generation: id, text: `${name} goes on` })
      }
      for (const { node } of chain) {
        add(`node ${node}`, 'compute', (seq === 0 ? 60 : 8) * (0.9 + 0.2 * random.float()), seq)
        add(`node ${node}`, 'transfer', seq === 0 ? 40 : 1.5, seq)
        add(`node ${node}`, 'delay', 15 + 5 * random.float(), seq)
      }
      if (seq === 0) firstTokenMs = now
    }
    trace.push({ generation: id, track: `client ${id % 4}`, name: 'generation', startMs, endMs: now })
    const outcome = id % 20 === 19 ? 'failed' : 'completed'
    return {
      id,
      client: id % 4,
      startMs,
      firstTokenMs,
      endMs: now,
      promptTokens: 64,
      outputTokens,
      outcome,
      ...(outcome === 'failed' ? { errorCode: 'ERR_SKEIN_NO_COVERAGE' } : {}),
      recoveries,
      chain,
      time: total
    }
  })
  const samples = Array.from({ length: seconds }, (_, second): Sample => {
    const atMs = 1000 * second
    const nodesUp = nodeRecords.filter(({ up }) => up.some(([from, to]) => from <= atMs && atMs < to)).length
    const sessions = records.filter(({ startMs, endMs = virtualMs }) => startMs <= atMs && atMs < endMs).length
    return {
      atMs,
      tokensPerSecond: sessions * 8 * (0.8 + 0.4 * random.float()),
      sessions,
      nodesUp,
      leastCoverage: Math.floor(nodesUp / stages) - 1
    }
  })
  return {
    scenario: name,
    seed,
    eventLogHash: '0123456789abcdef',
    virtualMs,
    wallMs: 1234,
    events: 100_000,
    generations: records,
    nodes: nodeRecords,
    samples,
    log: log.toSorted((a, b) => a.atMs - b.atMs),
    trace,
    violations: []
  }
}
