/**
 * The charts of a report, as Vega-Lite specifications: pure functions of a record.
 *
 * @packageDocumentation
 */
import { type GenerationRecord, isLive, type NodeRecord, type RunRecord, type TimeByCause } from '../record/run-record.ts'
import { busyUntilMs, causes, firstTokenMs, quantileOf, timeByCause, tokensPerSecond, utilisation } from './figures.ts'
import { colours } from './palette.ts'
import type { ChartSpec } from './plot.ts'
import { overlapMs, thinned, timeUnitFor, windows } from './series.ts'

export const causeNames: Readonly<Record<keyof TimeByCause, string>> = {
  chainMs: 'chain',
  computeMs: 'compute',
  transferMs: 'transfer',
  delayMs: 'delay',
  queueMs: 'queue',
  silenceMs: 'silence',
  recoveryMs: 'recovery'
}

/** The same colour for the same cause in every chart. */
export const causeScale = {
  domain: ['chain', 'compute', 'transfer', 'delay', 'queue', 'silence', 'recovery'],
  range: [colours.purple, colours.blue, colours.sky, colours.green, colours.orange, colours.yellow, colours.red]
}

/** More rows than this are shown by a summary. */
const maxRows = 60

function timeAxis(record: RunRecord): { unitMs: number; x: ChartSpec } {
  const totalMs = record.virtualMs
  const unit = timeUnitFor(totalMs)
  return {
    unitMs: unit.ms,
    x: {
      field: 't',
      type: 'quantitative',
      title: `${isLive(record) ? '' : 'virtual '}time (${unit.name})`,
      scale: { domain: [0, totalMs / unit.ms], nice: false },
      axis: { grid: false, tickCount: 10 }
    }
  }
}

/** Faults and cuts as lines behind a chart over time. */
function faultRules({ log }: RunRecord, unitMs: number): ChartSpec {
  const faults = thinned(
    log.filter(({ kind }) => kind === 'fault' || kind === 'heal' || kind === 'violation'),
    100
  )
  return {
    data: { values: faults.map(({ atMs, kind }) => ({ t: atMs / unitMs, kind })) },
    mark: { type: 'rule', strokeDash: [3, 3], opacity: 0.8 },
    encoding: {
      x: { field: 't', type: 'quantitative' },
      color: { condition: { test: "datum.kind === 'heal'", value: colours.green }, value: colours.red }
    }
  }
}

/** Tokens a second of the whole swarm, in windows. */
export function throughputChart(record: RunRecord): ChartSpec {
  const { unitMs, x } = timeAxis(record)
  const count = Math.min(120, Math.max(1, record.samples.length))
  const values = windows(record.samples, record.virtualMs, count, ({ atMs }) => atMs)
    .filter(({ items }) => items.length > 0)
    .map(({ fromMs, toMs, items }) => ({
      t: (fromMs + toMs) / 2 / unitMs,
      rate: items.reduce((sum, sample) => sum + sample.tokensPerSecond, 0) / items.length
    }))
  return {
    layer: [
      {
        data: { values },
        mark: { type: 'area', interpolate: 'monotone', color: colours.blue, fillOpacity: 0.18, line: { color: colours.blue } },
        encoding: { x, y: { field: 'rate', type: 'quantitative', title: 'tokens/s' } }
      },
      faultRules(record, unitMs)
    ]
  }
}

interface Percentile {
  readonly name: string
  readonly q: number
}

/** Percentiles of a value of generations, by the time at which they began. */
function percentileChart(
  record: RunRecord,
  value: (generation: GenerationRecord) => number | undefined,
  percentiles: readonly Percentile[],
  title: string
): ChartSpec {
  const { unitMs, x } = timeAxis(record)
  const count = Math.max(1, Math.min(40, Math.ceil(record.generations.length / 8)))
  const values = windows(record.generations, record.virtualMs, count, ({ startMs }) => startMs).flatMap(({ fromMs, toMs, items }) => {
    const found = items.map(value).filter((item) => item !== undefined)
    return percentiles.flatMap(({ name, q }) => {
      const result = quantileOf(found, q)
      return result === undefined ? [] : [{ t: (fromMs + toMs) / 2 / unitMs, name, value: result }]
    })
  })
  const range = [colours.blue, colours.orange, colours.red]
  return {
    layer: [
      {
        data: { values },
        mark: { type: 'line', point: { size: 18 }, interpolate: 'monotone' },
        encoding: {
          x,
          y: { field: 'value', type: 'quantitative', title },
          color: { field: 'name', type: 'nominal', title: null, scale: { domain: percentiles.map(({ name }) => name), range } }
        }
      },
      faultRules(record, unitMs)
    ]
  }
}

/** Time to the first token over the run. */
export function firstTokenChart(record: RunRecord): ChartSpec {
  const percentiles = [
    { name: 'median', q: 0.5 },
    { name: '90 % are below', q: 0.9 },
    { name: '99 % are below', q: 0.99 }
  ]
  const seconds = (generation: GenerationRecord): number | undefined => {
    const ms = firstTokenMs(generation)
    return ms === undefined ? undefined : ms / 1000
  }
  return percentileChart(record, seconds, percentiles, 'seconds to the first token')
}

/** Speed of single answers over the run. */
export function sessionSpeedChart(record: RunRecord): ChartSpec {
  const percentiles = [
    { name: 'median', q: 0.5 },
    { name: '10 % are slower', q: 0.1 },
    { name: '10 % are faster', q: 0.9 }
  ]
  return percentileChart(record, tokensPerSecond, percentiles, 'tokens/s of one session')
}

/** Nodes of the least covered block, and all that are up. */
export function coverageChart(record: RunRecord): ChartSpec {
  const { unitMs, x } = timeAxis(record)
  const values = thinned(record.samples, 600).map(({ atMs, leastCoverage, nodesUp }) => ({ t: atMs / unitMs, leastCoverage, nodesUp }))
  return {
    layer: [
      {
        data: { values },
        mark: { type: 'area', interpolate: 'step-after', color: colours.green, fillOpacity: 0.2, line: { color: colours.green } },
        encoding: { x, y: { field: 'leastCoverage', type: 'quantitative', title: 'nodes', axis: { tickMinStep: 1 } } }
      },
      {
        data: { values: values.filter(({ leastCoverage }) => leastCoverage === 0) },
        mark: { type: 'point', shape: 'triangle-up', filled: true, size: 24, color: colours.red },
        encoding: { x, y: { field: 'leastCoverage', type: 'quantitative' } }
      },
      faultRules(record, unitMs)
    ]
  }
}

/** Nodes that are up over time, with those that came and went. */
export function churnChart(record: RunRecord): ChartSpec {
  const { unitMs, x } = timeAxis(record)
  const up = thinned(record.samples, 600).map(({ atMs, nodesUp }) => ({ t: atMs / unitMs, nodesUp }))
  // The first start of a node is no change in who is there.
  const started = new Set<number | undefined>()
  const moves = record.log.filter(({ kind, node }) => {
    const first = kind === 'node-up' && !started.has(node)
    started.add(node)
    return !first && (kind === 'node-down' || kind === 'node-up')
  })
  const counted = windows(moves, record.virtualMs, 60, ({ atMs }) => atMs).flatMap(({ fromMs, toMs, items }) => {
    const down = items.filter(({ kind }) => kind === 'node-down').length
    const bar = { t: fromMs / unitMs, t2: toMs / unitMs }
    return [
      { ...bar, kind: 'left', count: down },
      { ...bar, kind: 'came', count: items.length - down }
    ].filter(({ count }) => count > 0)
  })
  return {
    layer: [
      {
        data: { values: counted },
        mark: { type: 'bar', opacity: 0.8 },
        encoding: {
          x,
          x2: { field: 't2' },
          y: { field: 'count', type: 'quantitative', aggregate: 'sum', title: 'nodes', stack: 'zero' },
          color: {
            field: 'kind',
            type: 'nominal',
            title: null,
            scale: { domain: ['up', 'came', 'left'], range: [colours.blue, colours.green, colours.red] }
          }
        }
      },
      {
        data: { values: up.map((point) => ({ ...point, kind: 'up' })) },
        mark: { type: 'line', interpolate: 'step-after' },
        encoding: { x, y: { field: 'nodesUp', type: 'quantitative' }, color: { field: 'kind', type: 'nominal' } }
      }
    ]
  }
}

/** The time that averages are of; the whole run where none of it was observed. */
function averagedMs({ observedMs, virtualMs }: RunRecord): readonly [fromMs: number, toMs: number] {
  return observedMs !== undefined && observedMs[1] > observedMs[0] ? observedMs : [0, virtualMs]
}

/** How many nodes hosted each block, averaged over the time observed; by region where there are several. */
export function blockCoverageChart(record: RunRecord): ChartSpec {
  const hosted = new Map<string, Map<number, number>>()
  const [fromMs, toMs] = averagedMs(record)
  for (const node of record.nodes) {
    const region = hosted.get(node.region) ?? new Map<number, number>()
    hosted.set(node.region, region)
    const share = toMs > fromMs ? overlapMs(node.up, fromMs, toMs) / (toMs - fromMs) : 0
    for (let block = node.start; block < node.end; block++) region.set(block, (region.get(block) ?? 0) + share)
  }
  const regions = topCategories([...hosted].map(([name, blocks]) => [name, [...blocks.values()].reduce((sum, value) => sum + value, 0)]))
  const values = [...hosted].flatMap(([region, blocks]) =>
    [...blocks].map(([block, nodes]) => ({
      block: block - 0.5,
      block2: block + 0.5,
      nodes,
      region: regions.includes(region) ? region : otherRegions
    }))
  )
  return {
    height: 150,
    data: { values },
    mark: { type: 'bar' },
    encoding: {
      x: { field: 'block', type: 'quantitative', title: 'block', axis: { grid: false, tickMinStep: 1 }, scale: { nice: false } },
      x2: { field: 'block2' },
      y: { field: 'nodes', type: 'quantitative', title: 'nodes, averaged over time', stack: 'zero', aggregate: 'sum' },
      color: { field: 'region', type: 'nominal', title: 'region', scale: { domain: regionDomain(regions, values) } }
    }
  }
}

const otherRegions = 'other regions'

/** The seven largest; the palette has eight colours, and the last is for the rest. */
function topCategories(sizes: ReadonlyArray<readonly [name: string, size: number]>): string[] {
  return sizes
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 7)
    .map(([name]) => name)
}

function regionDomain(regions: readonly string[], values: ReadonlyArray<{ readonly region: string }>): string[] {
  return values.some(({ region }) => region === otherRegions) ? [...regions, otherRegions] : [...regions]
}

/** Which nodes the chains went through: a row a generation, its stages over the blocks, coloured by the node's region. */
export function chainChart(record: RunRecord): ChartSpec {
  const nodes = new Map(record.nodes.map((node) => [node.node, node]))
  const chains = thinned(
    record.generations.filter(({ chain }) => chain.length > 0),
    30
  )
  const used = new Map<string, number>()
  for (const { chain } of chains) for (const { node } of chain) count(used, nodes.get(node)?.region ?? '')
  const regions = topCategories([...used])
  const values = chains.flatMap(({ id, chain }) =>
    chain.map(({ node, start, end }) => {
      const region = nodes.get(node)?.region ?? ''
      return {
        generation: id,
        start,
        end,
        middle: (start + end) / 2,
        node: String(node),
        region: regions.includes(region) ? region : otherRegions
      }
    })
  )
  const y = { field: 'generation', type: 'ordinal', title: 'generation', axis: { grid: false } }
  const x = {
    field: 'start',
    type: 'quantitative',
    title: 'blocks; the numbers are nodes',
    axis: { grid: false, tickMinStep: 1 },
    scale: { nice: false }
  }
  return {
    height: Math.max(60, 16 * chains.length),
    data: { values },
    layer: [
      {
        mark: { type: 'bar', stroke: 'var(--paper)', strokeWidth: 1.5, opacity: 0.85 },
        encoding: {
          x,
          x2: { field: 'end' },
          y,
          color: { field: 'region', type: 'nominal', title: 'region', scale: { domain: regionDomain(regions, values) } }
        }
      },
      {
        mark: { type: 'text', fontSize: 9, color: 'var(--paper)', fontWeight: 'bold' },
        encoding: { x: { field: 'middle', type: 'quantitative' }, y, text: { field: 'node' } }
      }
    ]
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** Where the time of all generations went. */
export function causeChart(record: RunRecord): ChartSpec {
  const time = timeByCause(record.generations)
  const total = causes.reduce((sum, cause) => sum + time[cause], 0)
  const values = causes.map((cause) => {
    const share = total > 0 ? time[cause] / total : 0
    return { cause: causeNames[cause], seconds: time[cause] / 1000, text: `${(100 * share).toFixed(1)} %` }
  })
  const y = {
    field: 'cause',
    type: 'nominal',
    title: null,
    sort: causeScale.domain,
    axis: { labelColor: colours.ink, labelFontSize: 12, ticks: false }
  }
  return {
    height: 130,
    data: { values },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: {
          x: { field: 'seconds', type: 'quantitative', title: 'seconds, of all generations together', axis: { tickCount: 10 } },
          y,
          color: { field: 'cause', type: 'nominal', legend: null, scale: causeScale }
        }
      },
      {
        mark: { type: 'text', align: 'left', dx: 5 },
        encoding: { x: { field: 'seconds', type: 'quantitative' }, y, text: { field: 'text' } }
      }
    ]
  }
}

/** The same over time: the mean second of the generations that began in a window. */
export function causeOverTimeChart(record: RunRecord): ChartSpec {
  const { unitMs, x } = timeAxis(record)
  const windowCount = Math.max(1, Math.min(40, Math.ceil(record.generations.length / 4)))
  const values = windows(record.generations, record.virtualMs, windowCount, ({ startMs }) => startMs).flatMap(({ fromMs, toMs, items }) => {
    const time = timeByCause(items)
    return causes.map((cause, order) => ({
      t: fromMs / unitMs,
      t2: toMs / unitMs,
      cause: causeNames[cause],
      order,
      seconds: items.length === 0 ? 0 : time[cause] / items.length / 1000
    }))
  })
  return {
    data: { values },
    mark: { type: 'bar' },
    encoding: {
      x,
      x2: { field: 't2' },
      y: { field: 'seconds', type: 'quantitative', aggregate: 'sum', title: 'seconds a generation', stack: 'zero' },
      order: { field: 'order' },
      color: { field: 'cause', type: 'nominal', title: null, scale: causeScale }
    }
  }
}

/** How busy nodes were: each one, or how many were how busy where there are too many. */
export function utilisationChart(record: RunRecord): ChartSpec {
  const { nodes } = record
  const untilMs = busyUntilMs(record)
  const busy = nodes
    .map((node) => ({ node, share: utilisation(node, untilMs) }))
    .filter((item): item is { node: NodeRecord; share: number } => item.share !== undefined)
    .toSorted((a, b) => b.share - a.share || a.node.node - b.node.node)
  const groups = topCategories([...busy.reduce((counts, { node }) => (count(counts, node.group), counts), new Map<string, number>())])
  const color = { field: 'group', type: 'nominal', title: 'group', scale: { domain: groups } }
  if (busy.length > maxRows) {
    return {
      data: { values: busy.map(({ node, share }) => ({ percent: 100 * share, group: node.group })) },
      mark: { type: 'bar' },
      encoding: {
        x: { field: 'percent', type: 'quantitative', bin: { step: 5, extent: [0, 100] }, title: 'computed, per cent of the time up' },
        y: { aggregate: 'count', type: 'quantitative', title: 'nodes' },
        color
      }
    }
  }
  const values = busy.map(({ node, share }) => ({
    name: `${node.node} [${node.start}, ${node.end})`,
    percent: 100 * share,
    group: node.group
  }))
  return {
    height: Math.max(60, 13 * values.length),
    data: { values },
    mark: { type: 'bar' },
    encoding: {
      x: { field: 'percent', type: 'quantitative', title: 'computed, per cent of the time up' },
      y: { field: 'name', type: 'nominal', sort: null, title: 'node [blocks)', axis: { labelFontSize: 10 } },
      color
    }
  }
}

/** When each node was up; undefined where there are too many to tell apart. */
export function lifetimesChart(record: RunRecord): ChartSpec | undefined {
  if (record.nodes.length > maxRows || record.nodes.every(({ up }) => overlapMs(up, 0, record.virtualMs) >= record.virtualMs))
    return undefined
  const { unitMs, x } = timeAxis(record)
  const values = record.nodes.flatMap(({ node, group, up }) =>
    up.map(([from, to]) => ({ node, group, t: from / unitMs, t2: Math.min(to, record.virtualMs) / unitMs }))
  )
  return {
    height: Math.max(60, 11 * record.nodes.length),
    data: { values },
    mark: { type: 'bar', height: { band: 0.7 } },
    encoding: {
      x,
      x2: { field: 't2' },
      y: { field: 'node', type: 'ordinal', title: 'node', axis: { labelFontSize: 9 } },
      color: { field: 'group', type: 'nominal', title: 'group' }
    }
  }
}
