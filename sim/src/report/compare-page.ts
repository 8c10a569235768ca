import type { RunRecord } from '../record/run-record.ts'
import { causeChart, firstTokenChart, throughputChart } from './charts.ts'
import { compareFigures } from './compare.ts'
import { figureMeanings, figures } from './figures.ts'
import { describeTime, formatDifference, formatFigure } from './format.ts'
import { type Html, html } from './html.ts'
import { wholePage } from './page.ts'
import { type ChartSpec, drawChart } from './plot.ts'

/** Two runs beside each other, as an HTML page that stands alone. */
export async function comparePage(a: RunRecord, b: RunRecord): Promise<string> {
  const rows = compareFigures(figures(a), figures(b))
  const body = html`<h1>${a.scenario} and ${b.scenario}</h1>
    <p class="faint">A: ${a.scenario}, seed ${a.seed}, ${describeTime(a)} · B: ${b.scenario}, seed ${b.seed}, ${describeTime(b)}</p>
    <h2>Figures</h2>
    <table>
      <tr>
        <th>figure</th>
        <th class="n">A</th>
        <th class="n">B</th>
        <th class="n">B over A</th>
        <th>meaning</th>
      </tr>
      ${rows.map(
        (row) =>
          html`<tr>
            <td><code>${row.figure}</code></td>
            <td class="n">${formatFigure(row.figure, row.a)}</td>
            <td class="n">${formatFigure(row.figure, row.b)}</td>
            <td class="n ${verdict(row.better)}">${formatDifference(row.relativeDifference)}</td>
            <td class="faint">${figureMeanings[row.figure].text}</td>
          </tr>`
      )}
    </table>
    ${await pair('Throughput', a, b, throughputChart)} ${await pair('Time to the first token', a, b, firstTokenChart)}
    ${await pair('Where the time went', a, b, causeChart)}`
  return wholePage(`${a.scenario} and ${b.scenario}: skein-sim`, body)
}

function verdict(better: boolean | undefined): string {
  return better === undefined ? '' : better ? 'good' : 'bad'
}

async function pair(title: string, a: RunRecord, b: RunRecord, chart: (record: RunRecord) => ChartSpec): Promise<Html> {
  const one = async (label: string, record: RunRecord): Promise<Html> =>
    html`<figure>
      <h3>${label}: ${record.scenario}</h3>
      ${await drawChart(chart(record), `${title} of ${record.scenario}`)}
    </figure>`
  return html`<h2>${title}</h2>
    ${await one('A', a)}${await one('B', b)}`
}
