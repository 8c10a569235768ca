import { isLive, type RunRecord } from '../record/run-record.ts'
import type { Expectation } from '../scenario/scenario.ts'
import { formatDuration } from '../scenario/units.ts'
import {
  blockCoverageChart,
  causeChart,
  causeOverTimeChart,
  chainChart,
  churnChart,
  coverageChart,
  firstTokenChart,
  lifetimesChart,
  sessionSpeedChart,
  throughputChart,
  utilisationChart
} from './charts.ts'
import { failuresByCode, figureMeanings, type FigureName, figureNames, figures, type Figures, missedExpectations } from './figures.ts'
import { describeMissed, describeTime, formatFigure, grouped } from './format.ts'
import { Html, html } from './html.ts'
import { paletteCss } from './palette.ts'
import { type ChartSpec, drawChart } from './plot.ts'
import { chooseGeneration, closeUp, sessionChart } from './session-timeline.ts'

export interface PageOptions {
  readonly question?: string
  readonly expect?: readonly Expectation[]
  /** How the run is repeated. */
  readonly command?: string
}

/** Events of a run that a page lists; the rest are counted. */
const maxEvents = 200

const style = `${paletteCss}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1040px;padding:28px 20px 60px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:44px 0 4px}h3{font-size:14px;margin:18px 0 2px;font-weight:600}
p{margin:4px 0 10px}.faint{color:var(--faint)}code{font:13px ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(165px,1fr));gap:10px;margin:18px 0}
.tile{background:var(--panel);border:1px solid var(--grid);border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:18px;font-weight:600;line-height:1.3}.tile span{color:var(--faint);font-size:12.5px}
.good{color:var(--green)}.bad{color:var(--red)}
.note{border-left:4px solid var(--red);background:var(--panel);padding:10px 14px;margin:14px 0;border-radius:0 6px 6px 0}
.note.ok{border-color:var(--green)}
figure{margin:0 0 10px}figure svg{max-width:100%;height:auto;display:block}
.scroll{overflow-x:auto}
td code{white-space:nowrap}table{border-collapse:collapse;width:100%;font-size:13.5px}th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{color:var(--faint);font-weight:500}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;font:12.5px ui-monospace,Menlo,Consolas,monospace;background:var(--panel);padding:8px 10px;border-radius:6px;overflow-x:auto}
details summary{cursor:pointer;color:var(--faint);margin:12px 0}`

/** A whole page around a body: no scripts, nothing from elsewhere. */
export function wholePage(title: string, body: Html): string {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${title}</title>
        <style>
          ${new Html(style)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `
  return page.text
}

/** The report of a run as an HTML page that stands alone. */
export async function reportPage(record: RunRecord, options: PageOptions = {}): Promise<string> {
  const found = figures(record)
  const body = html`${head(record, options)} ${verdict(record, found, options.expect ?? [])} ${tiles(found)} ${await speedSection(record)}
  ${await coverageSection(record)} ${await timeSection(record)} ${await sessionSection(record)} ${await nodeSection(record)}
  ${eventSection(record)} ${figureSection(found)}`
  return wholePage(`${record.scenario}: skein-sim`, body)
}

function head(record: RunRecord, { question, command }: PageOptions): Html {
  const facts = [
    `seed ${record.seed}`,
    describeTime(record),
    `${grouped(record.events)} events`,
    `${grouped(record.nodes.length)} nodes`,
    ...(isLive(record) ? [] : [`event log ${record.eventLogHash}`])
  ]
  return html`<header>
    <h1>${record.scenario}</h1>
    ${question === undefined ? undefined : html`<p>${question}</p>`}
    <p class="faint">${facts.join(' · ')}</p>
    ${command === undefined ? undefined : html`<p class="faint">Run it again: <code>${command}</code></p>`}
  </header>`
}

function verdict(record: RunRecord, found: Figures, expect: readonly Expectation[]): Html {
  const { violations, notJudged = [] } = record
  const missed = missedExpectations(found, expect)
  if (violations.length === 0 && missed.length === 0) {
    const held = expect.length === 0 ? '' : `; all ${expect.length} expectations met`
    const judged = notJudged.length === 0 ? '' : ' that a live run can be judged by'
    const others = notJudged.length === 0 ? '' : ` Not judged: ${notJudged.join('; ')}.`
    return html`<div class="note ok">No promise was broken${judged}${held}.${others}</div>`
  }
  return html`${violations.map(
    (violation) =>
      html`<div class="note">
        <b class="bad">Violation: ${violation.oracle}</b> at ${formatDuration(violation.atMs)}<br />${violation.text}
        <p>${isLive(record) ? 'Run it again' : 'Replay it'}: <code>${violation.replay}</code></p>
        ${violation.lastEvents.length === 0 ? undefined : html`<pre>${violation.lastEvents.join('\n')}</pre>`}
      </div>`
  )}
  ${missed.map((item) => html`<div class="note"><b class="bad">Expectation missed:</b> ${describeMissed(item)}</div>`)}`
}

const tileFigures: ReadonlyArray<readonly [name: FigureName, label: string]> = [
  ['completedShare', 'of all requests completed'],
  ['tokensPerSecond', 'from the whole swarm'],
  ['sessionTokensPerSecondP50', 'one session, median'],
  ['firstTokenMsP50', 'to the first token, median'],
  ['firstTokenMsP99', 'to the first token, 99 %'],
  ['recoveries', 'stages lost and replaced'],
  ['recoveryMsMean', 'a recovery, on average'],
  ['coveredShare', 'of the time all blocks covered'],
  ['utilisationMean', "of the nodes' time computing"]
]

function tiles(found: Figures): Html {
  return html`<div class="tiles">
    ${tileFigures.map(([name, label]) => html`<div class="tile"><b>${formatFigure(name, found[name])}</b><span>${label}</span></div>`)}
  </div>`
}

async function figure(title: string, caption: string, spec: ChartSpec | undefined): Promise<Html | undefined> {
  if (spec === undefined) return undefined
  return html`<figure>
    <h3>${title}</h3>
    <p class="faint">${caption}</p>
    <div class="scroll">${await drawChart(spec, `${title}. ${caption}`)}</div>
  </figure>`
}

async function speedSection(record: RunRecord): Promise<Html> {
  return html`<h2>Speed</h2>
    ${await figure('Throughput', 'Tokens a second of all sessions together. Dashed lines: faults (red), and their end (green).', throughputChart(record))}
    ${await figure('Time to the first token', 'By the time at which a request came.', firstTokenChart(record))}
    ${await figure('Speed of a session', 'Tokens a second after the first one, by the time at which the request came.', sessionSpeedChart(record))}`
}

async function coverageSection(record: RunRecord): Promise<Html> {
  return html`<h2>Coverage and churn</h2>
    ${await figure('Coverage of the blocks over time', 'Nodes that serve the least covered block; at zero (red marks) no generation can go on.', coverageChart(record))}
    ${await figure('Nodes that come and go', 'The line: nodes that are up. Bars: how many came and left.', churnChart(record))}
    ${await figure('Coverage by block', 'Nodes that hosted each block, averaged over time; by region.', blockCoverageChart(record))}
    ${await figure('Lifetimes', 'When each node was up.', lifetimesChart(record))}`
}

const simulatedCauses =
  'Waiting for a chain: joining, blocks that nobody serves, opening stages; compute on stages; transfer of bytes through up- and downlinks; delay of distance, jitter and retransmission; queues: for the line and for a turn of a node; silence until a loss was noticed; recoveries.'
const liveCauses =
  'Waiting for a chain: opening stages; compute on stages, as they tell it; silence until a loss was noticed; recoveries; and delay, which is all the rest: distance, bytes on links, queues and the ends cannot be told apart from outside.'

async function timeSection(record: RunRecord): Promise<Html> {
  return html`<h2>Where the time went</h2>
    ${await figure('Time by cause', isLive(record) ? liveCauses : simulatedCauses, causeChart(record))}
    ${await figure('Time by cause over the run', 'The mean generation, by the time at which it began.', causeOverTimeChart(record))}`
}

async function sessionSection(record: RunRecord): Promise<Html | undefined> {
  const generation = chooseGeneration(record)
  if (generation?.endMs === undefined) return undefined
  const near = closeUp(record, generation)
  const several = record.trace.some((span) => span.generation !== generation.id)
  const reason = generation.recoveries > 0 ? ', the longest that lost a stage and went on' : ', the one of median length'
  const why = several ? reason : isLive(record) ? ', the first' : ', which was traced (--trace picks another)'
  const steps = isLive(record)
    ? 'A live run does not see the steps of a session.'
    : 'Open trace.json in ui.perfetto.dev or chrome://tracing to look at every step.'
  const about = `Generation ${generation.id}${why}: ${generation.promptTokens} tokens of prompt, ${generation.outputTokens} of answer, ${formatDuration(generation.endMs - generation.startMs)}.`
  return html`<h2>One session through its stages</h2>
    ${await figure('The whole session', about, sessionChart(record, generation, generation.startMs, generation.endMs))}
    ${near === undefined ? undefined : await figure('Close up', steps, sessionChart(record, generation, near.fromMs, near.toMs))}`
}

async function nodeSection(record: RunRecord): Promise<Html> {
  return html`<h2>Chains and nodes</h2>
    ${await figure('Chains', 'The stages of a sample of generations, as they were at their end.', chainChart(record))}
    ${await figure('Utilisation of the nodes', 'Share of its time up in which a node computed.', utilisationChart(record))}`
}

function eventSection({ log, generations }: RunRecord): Html {
  const told = log.filter(({ kind }) => kind !== 'node-up' && kind !== 'node-down')
  const shown = told.slice(0, maxEvents)
  const errors = failuresByCode(generations)
  return html`<h2>What happened</h2>
    ${
      errors.length === 0
        ? html`<p>No generation failed.</p>`
        : html`<table>
            <tr>
              <th>error of a failed generation</th>
              <th class="n">count</th>
            </tr>
            ${errors.map(
              ([code, count]) =>
                html`<tr>
                  <td><code>${code}</code></td>
                  <td class="n">${count}</td>
                </tr>`
            )}
          </table>`
    }
    <details>
      <summary>
        ${told.length} events (faults, recoveries, gaps in
        coverage)${told.length > shown.length ? `; the first ${shown.length} are listed` : ''}
      </summary>
      <table>
        <tr>
          <th class="n">time</th>
          <th>event</th>
          <th class="n">node</th>
          <th class="n">generation</th>
          <th>what</th>
        </tr>
        ${shown.map(
          (event) =>
            html`<tr>
              <td class="n">${formatDuration(event.atMs)}</td>
              <td>${event.kind}</td>
              <td class="n">${event.node}</td>
              <td class="n">${event.generation}</td>
              <td>${event.text}</td>
            </tr>`
        )}
      </table>
    </details>`
}

function figureSection(found: Figures): Html {
  return html`<h2>All figures</h2>
    <table>
      <tr>
        <th>figure</th>
        <th class="n">value</th>
        <th>meaning</th>
      </tr>
      ${figureNames.map(
        (name) =>
          html`<tr>
            <td><code>${name}</code></td>
            <td class="n">${formatFigure(name, found[name])}</td>
            <td class="faint">${figureMeanings[name].text}</td>
          </tr>`
      )}
    </table>`
}
