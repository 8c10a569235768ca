import assert from 'node:assert/strict'
import { type GenerationRecord, liveEventLog, type RunRecord } from '../record/run-record.ts'
import { chromeTrace } from './chrome-trace.ts'
import { comparePage } from './compare-page.ts'
import { compareFigures, meanFigures } from './compare.ts'
import { figureNames, figures, missedExpectations } from './figures.ts'
import { formatFigure, grouped } from './format.ts'
import { escapeHtml, html } from './html.ts'
import { reportPage } from './page.ts'
import { thinned, windows } from './series.ts'
import { chooseGeneration, closeUp } from './session-timeline.ts'
import { syntheticRecord } from './synthetic-record.test-helper.ts'

const empty: RunRecord = {
  scenario: 'empty',
  seed: 1,
  eventLogHash: '00',
  virtualMs: 0,
  wallMs: 0,
  events: 0,
  generations: [],
  nodes: [],
  samples: [],
  log: [],
  trace: [],
  violations: []
}

function generation(id: number, fields: Partial<GenerationRecord>): GenerationRecord {
  return {
    id,
    client: 0,
    startMs: 0,
    promptTokens: 1,
    outputTokens: 0,
    outcome: 'completed',
    recoveries: 0,
    chain: [],
    time: { chainMs: 0, computeMs: 0, transferMs: 0, delayMs: 0, queueMs: 0, silenceMs: 0, recoveryMs: 0 },
    ...fields
  }
}

describe('figures', () => {
  it('are what they say, on numbers that can be checked by hand', () => {
    const time = { chainMs: 0, computeMs: 600, transferMs: 100, delayMs: 200, queueMs: 50, silenceMs: 0, recoveryMs: 50 }
    const node = { peer: '', group: '', region: '', start: 0, end: 4, rows: 0, receivedBytes: 0 }
    const found = figures({
      ...empty,
      virtualMs: 10_000,
      generations: [
        generation(0, {
          startMs: 1000,
          firstTokenMs: 1500,
          endMs: 3500,
          outputTokens: 11,
          recoveries: 1,
          time,
          chain: [{ node: 0, start: 0, end: 4 }]
        }),
        generation(1, { startMs: 2000, firstTokenMs: 3500, lastTokenMs: 4500, endMs: 4800, outputTokens: 11, time }),
        generation(2, { startMs: 2000, outcome: 'failed', endMs: 9000, recoveries: 1 }),
        generation(3, { startMs: 9000, outcome: 'unfinished', firstTokenMs: 9500, outputTokens: 2 })
      ],
      nodes: [
        { ...node, node: 0, up: [[0, 10_000]], busyMs: 5000, sentBytes: 2000 },
        {
          ...node,
          node: 1,
          up: [
            [2000, 3000],
            [4000, 5000]
          ],
          busyMs: 400,
          sentBytes: 400
        }
      ],
      samples: [
        { atMs: 0, tokensPerSecond: 0, sessions: 0, nodesUp: 2, leastCoverage: 2 },
        { atMs: 5000, tokensPerSecond: 0, sessions: 4, nodesUp: 1, leastCoverage: 0 }
      ],
      log: [{ atMs: 3000, kind: 'node-down', node: 1, text: '' }]
    })
    const expected: Array<[keyof typeof found, number]> = [
      ['generations', 4],
      ['completed', 2],
      ['failed', 1],
      ['unfinished', 1],
      ['completedShare', 0.5],
      ['tokens', 24],
      ['tokensPerSecond', 24 / 9],
      ['sessionTokensPerSecondP50', 7.5],
      ['firstTokenMsP50', 500],
      ['latencyMsP50', 2500],
      ['computeShare', 0.6],
      ['recoveryShare', 0.05],
      ['recoveries', 2],
      ['recoveryMsMean', 50],
      ['recoveredShare', 0.5],
      ['stagesMean', 1],
      ['coveredShare', 0.5],
      ['leastCoverage', 0],
      ['coverageMean', 1],
      ['nodesUpMean', 1.5],
      ['departures', 1],
      ['sessionsMax', 4],
      ['utilisationMean', 5400 / 12_000],
      ['utilisationMax', 0.5],
      ['bytesPerToken', 100]
    ]
    for (const [name, value] of expected)
      assert.ok(Math.abs((found[name] ?? NaN) - value) < 1e-9, `${name}: ${found[name]}, expected ${value}`)
  })

  it('look at the swarm neither while it comes to be nor after everything has healed', () => {
    const sample = (atMs: number, nodesUp: number, sessions: number): RunRecord['samples'][number] => ({
      ...{ atMs, nodesUp, sessions },
      leastCoverage: Math.floor(nodesUp / 2),
      tokensPerSecond: 0
    })
    const node = { peer: '', group: '', region: '', start: 0, end: 4, rows: 0, sentBytes: 0, receivedBytes: 0 }
    const record: RunRecord = {
      ...empty,
      virtualMs: 20_000,
      observedMs: [2_000, 6_000],
      generations: [generation(0, { startMs: 1000, firstTokenMs: 1500, endMs: 8000, outputTokens: 11 })],
      nodes: [
        {
          ...node,
          node: 0,
          up: [
            [0, 4000],
            [6000, 20_000]
          ],
          busyMs: 3000
        }
      ],
      samples: [sample(1000, 1, 1), sample(2000, 1, 1), sample(3000, 3, 1), sample(6000, 1, 0), sample(7000, 9, 5), sample(20_000, 9, 0)]
    }
    const found = figures(record)
    const { coveredShare, leastCoverage, coverageMean, nodesUpMean, sessionsMean, sessionsMax, utilisationMean, utilisationMax } = found
    assert.deepEqual([coveredShare, leastCoverage, coverageMean, nodesUpMean, sessionsMean, sessionsMax], [0.5, 0, 0.5, 2, 0.5, 5])
    assert.deepEqual([utilisationMean, utilisationMax], [0.5, 0.5])
    // Shorter than the start of its nodes: all of it.
    assert.equal(figures({ ...record, observedMs: [2_000, 2_000] }).nodesUpMean, 4)
  })

  it('are none where there is nothing to compute them from', () => {
    const found = figures(empty)
    assert.deepEqual(Object.keys(found).toSorted(), figureNames.toSorted())
    assert.equal(found.completedShare, undefined)
    assert.equal(found.firstTokenMsP99, undefined)
    assert.ok(figureNames.every((name) => found[name] === undefined || Number.isFinite(found[name])))
    assert.equal(formatFigure('completedShare', undefined), '–')
  })

  it('meet expectations, or miss them; one without a value is missed', () => {
    const found = figures(syntheticRecord())
    assert.deepEqual(missedExpectations(found, [{ figure: 'completedShare', atLeast: 0.95, atMost: 0.95 }]), [])
    const missed = missedExpectations(figures(empty), [
      { figure: 'completedShare', atLeast: 0 },
      { figure: 'failed', atMost: 0 },
      { figure: 'toString' }
    ])
    assert.deepEqual(
      missed.map(({ figure }) => figure),
      ['completedShare', 'toString']
    )
  })

  it('are compared by their relative difference, and by which way is better', () => {
    const a = figures(syntheticRecord())
    const rows = compareFigures(a, {
      ...a,
      firstTokenMsP50: 2 * (a.firstTokenMsP50 ?? 0),
      tokens: (a.tokens ?? 0) / 2,
      leastCoverage: undefined
    })
    const row = (name: string) => rows.find(({ figure }) => figure === name)
    assert.equal(row('firstTokenMsP50')?.relativeDifference, 1)
    assert.equal(row('firstTokenMsP50')?.better, false)
    assert.equal(row('tokens')?.relativeDifference, -0.5)
    assert.equal(row('tokens')?.better, false)
    assert.equal(row('leastCoverage')?.better, undefined)
    assert.equal(row('failed')?.better, undefined)
    assert.deepEqual(meanFigures([a, a]), a)
  })
})

describe('the report', () => {
  const nasty = `<img src=x onerror=alert(1)>"'&</style></svg><script>`

  it('escapes what comes from a run, in text, attributes and charts', async () => {
    const record = syntheticRecord({ name: nasty, generations: 12, seconds: 60 })
    const violation = { oracle: nasty, atMs: 1, text: nasty, lastEvents: [nasty], replay: nasty }
    const group = record.nodes.map((node) => ({ ...node, region: nasty }))
    const page = await reportPage({ ...record, nodes: group, violations: [violation] }, { question: nasty, command: nasty })
    for (const text of [page, await comparePage(record, record)]) {
      assert.ok(!/<img|<script|onerror=alert\(1\)>(?!&)/.test(text.replaceAll('onerror=alert(1)&gt;', '')))
      assert.equal(text.match(/<\/style>/g)?.length, 1)
    }
    assert.equal(escapeHtml(`<a b="c">'&`), '&lt;a b=&quot;c&quot;&gt;&#39;&amp;')
    assert.equal(html`<p>${'<'}${undefined}${[html`<b>${1}</b>`, '>']}</p>`.text, '<p>&lt;<b>1</b>&gt;</p>')
  })

  it('stands alone, with a chart for each question, and no clip path of one in another', async () => {
    const record = syntheticRecord({ generations: 20, seconds: 120 })
    const page = await reportPage(record, { expect: [{ figure: 'completedShare', atLeast: 0.5 }] })
    assert.ok(!/(src|href)="(?!#)/.test(page) && !page.includes('@import') && !page.includes('<script'))
    for (const title of [
      'Throughput',
      'Time to the first token',
      'Coverage of the blocks',
      'Chains',
      'Time by cause',
      'Utilisation',
      'come and go',
      'One session'
    ]) {
      assert.ok(page.includes(title), title)
    }
    assert.ok((page.match(/<svg /g)?.length ?? 0) >= 12)
    const ids = [...page.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id)
    assert.equal(new Set(ids).size, ids.length)
  })

  it('is written of a run in which nothing happened, and of one with very many nodes', async () => {
    assert.match(await reportPage(empty), /No generation failed/)
    const large = syntheticRecord({ nodes: 400, generations: 3, seconds: 20 })
    assert.ok((await reportPage(large)).length < 2_000_000)
  })

  it('of a live run speaks of real processes, and of a simulated one of virtual time', async () => {
    const record = syntheticRecord({ generations: 12, seconds: 60 })
    const live: RunRecord = { ...record, eventLogHash: liveEventLog, notJudged: ['dreams'] }
    const violation = { oracle: 'answer', atMs: 1, text: 'wrong', lastEvents: [], replay: 'skein-sim live x' }
    const [simulated, good, bad] = [
      await reportPage(record),
      await reportPage(live),
      await reportPage({ ...live, violations: [violation] })
    ]
    const has = (page: string, text: RegExp, expected = true): void => assert.equal(text.test(page), expected, String(text))
    for (const text of [/1 min of virtual time in/, /event log /, />virtual time \(/, /ui\.perfetto/]) has(simulated, text)
    for (const page of [good, bad]) {
      for (const text of [/real processes for 1 min \(.* with their start and the judging\)/, />time \(/]) has(page, text)
      has(page, /virtual time|event log|Replay it|--trace|ui\.perfetto/, false)
    }
    has(good, /No promise was broken that a live run can be judged by\. Not judged: dreams\./)
    has(bad, /Run it again: <code>skein-sim live x/)
    has(await comparePage(record, live), /1 min of virtual time[^]*real processes for 1 min/)
  })

  it('shows the session that recovered, close up', () => {
    const record = syntheticRecord()
    const chosen = chooseGeneration(record)
    assert.ok(chosen !== undefined && chosen.recoveries === 1)
    const window = closeUp(record, chosen)
    assert.ok(window !== undefined && window.toMs - window.fromMs === 3000)
    assert.equal(chooseGeneration(empty), undefined)
  })

  it('puts values into windows and thins them evenly', () => {
    const cut = windows([0, 1, 5, 9, 10, 99], 10, 2, (value) => value)
    assert.deepEqual(
      cut.map(({ items }) => items),
      [
        [0, 1],
        [5, 9, 10, 99]
      ]
    )
    assert.deepEqual(thinned([1, 2, 3, 4, 5, 6], 3), [1, 3, 5])
    assert.deepEqual([999, 1234567, 12.34].map(grouped), ['999', '1,234,567', '12.3'])
  })
})

describe('the trace file', () => {
  it('has a process a peer, a thread a generation, and no span of a thread that overlaps another', () => {
    const record = syntheticRecord({ generations: 10 })
    const { traceEvents } = chromeTrace(record)
    const spans = traceEvents.filter(({ ph }) => ph === 'X')
    assert.equal(spans.length, record.trace.length)
    const named = new Set(traceEvents.filter(({ name }) => name === 'process_name').map(({ pid }) => pid))
    assert.ok(spans.every(({ pid, ts = -1, dur = -1 }) => named.has(pid) && Number.isInteger(ts) && Number.isInteger(dur) && dur >= 0))
    const first = record.trace[0]
    assert.equal(spans[0]?.ts, Math.round(1000 * (first?.startMs ?? -1)))
    assert.equal(traceEvents.filter(({ ph }) => ph === 'C').length, record.samples.length)
    assert.equal(traceEvents.filter(({ ph }) => ph === 'i').length, record.log.length)
  })
})
