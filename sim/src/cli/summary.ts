import { printable, table, type Style } from '@skein/coordinator'
import { isLive, type RunRecord } from '../record/run-record.ts'
import { causeNames } from '../report/charts.ts'
import { causes, failuresByCode, type FigureName, figures, type MissedExpectation, timeByCause } from '../report/figures.ts'
import { describeMissed, describeTime, formatFigure, grouped } from '../report/format.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { formatDuration } from '../scenario/units.ts'

const shownFigures: ReadonlyArray<readonly [label: string, names: readonly FigureName[]]> = [
  ['completed', ['completed', 'completedShare']],
  ['failed, unfinished', ['failed', 'unfinished']],
  ['throughput', ['tokensPerSecond']],
  ['a session (median; 10 % are slower than)', ['sessionTokensPerSecondP50', 'sessionTokensPerSecondP10']],
  ['first token (median, 90 %, 99 %)', ['firstTokenMsP50', 'firstTokenMsP90', 'firstTokenMsP99']],
  ['whole answer (median, 90 %, 99 %)', ['latencyMsP50', 'latencyMsP90', 'latencyMsP99']],
  ['recoveries, mean time', ['recoveries', 'recoveryMsMean']],
  ['all blocks covered', ['coveredShare']],
  ['nodes up, departures', ['nodesUpMean', 'departures']],
  ['stages of a chain', ['stagesMean']],
  ['utilisation (mean, busiest)', ['utilisationMean', 'utilisationMax']]
]

/** A run as lines for a terminal. */
export function summaryLines(
  record: RunRecord,
  scenario: Scenario,
  missed: readonly MissedExpectation[],
  style: Style,
  out: string | undefined
): string[] {
  const found = figures(record)
  const rows = shownFigures.map(([label, names]) => [label, names.map((name) => formatFigure(name, found[name])).join(', ')])
  const speed = record.wallMs > 0 && !isLive(record) ? `, ${grouped(record.virtualMs / record.wallMs)} times real time` : ''
  return [
    style('bold', record.scenario),
    printable(scenario.question),
    style(
      'dim',
      `seed ${record.seed}, ${grouped(record.nodes.length)} nodes, ${describeTime(record)}, ${grouped(record.events)} events${speed}`
    ),
    '',
    ...table(['', ''], rows, new Set()).slice(1),
    ...(found.wrong === 0 ? [] : [style('red', `${grouped(found.wrong ?? 0)} had tokens that one undisturbed machine does not give`)]),
    ...failuresByCode(record.generations).map(([code, count]) => style('red', `${grouped(count)} failed with ${printable(code)}`)),
    '',
    ...causeLines(record),
    '',
    ...textLines(record, style),
    ...verdictLines(record, scenario, missed, style),
    ...(isLive(record) ? [] : [`event log ${record.eventLogHash}`]),
    ...(out === undefined ? [] : [`wrote report.html, record.json and trace.json to ${out}`])
  ]
}

/** Texts that are shown; `--json` and `record.json` have all of them. */
const shownTexts = 3
const shownChars = 300

/** What a real model wrote: the first generations, and the first of those that lost a stage. */
function textLines({ generations }: RunRecord, style: Style): string[] {
  const written = generations.filter(({ text }) => text !== undefined)
  const recovered = written.findIndex(({ recoveries }) => recoveries > 0)
  const shown = written.filter((_, index) => index < shownTexts || index === recovered)
  const lines = shown.flatMap(({ id, recoveries, outcome, prompt = '', text = '' }) => [
    style('bold', `generation ${id}`) +
      `, ${outcome}${recoveries === 0 ? '' : `, ${recoveries === 1 ? 'one recovery' : `${recoveries} recoveries`}`}: ${style('dim', `${clipped(prompt)} ...`)}`,
    `  ${clipped(text.trim())}`
  ])
  return lines.length === 0 ? [] : [...lines, '']
}

function clipped(text: string): string {
  const line = printable(text.replaceAll(/\s+/g, ' '))
  return line.length <= shownChars ? line : `${line.slice(0, shownChars)} ...`
}

/** Where the time went, as bars of text. */
function causeLines(record: RunRecord): string[] {
  const time = timeByCause(record.generations)
  const total = causes.reduce((sum, cause) => sum + time[cause], 0)
  if (total === 0) return ['no time was spent on generations']
  const bars = causes.map((cause) => {
    const share = time[cause] / total
    return `${causeNames[cause].padEnd(9)} ${'█'.repeat(Math.round(40 * share)).padEnd(40)} ${(100 * share).toFixed(1).padStart(5)} %`
  })
  const titled = ['where the time of generations went, failed ones included', ...bars]
  return isLive(record) ? [...titled, 'delay is also transfer, queue and the ends: a live run cannot tell them apart'] : titled
}

function verdictLines(record: RunRecord, { expect }: Scenario, missed: readonly MissedExpectation[], style: Style): string[] {
  const { violations, notJudged = [] } = record
  return [
    ...violations.flatMap((violation) => [
      style('red', `violation of ${printable(violation.oracle)} at ${formatDuration(violation.atMs)}: ${printable(violation.text)}`),
      ...violation.lastEvents.map((event) => `    ${printable(event)}`),
      `  ${isLive(record) ? 'run it again' : 'replay it'}: ${printable(violation.replay)}`
    ]),
    ...missed.map((item) => style('red', `expectation missed: ${describeMissed(item)}`)),
    ...(violations.length === 0 && missed.length === 0
      ? [
          style(
            'green',
            `no promise ${notJudged.length === 0 ? '' : 'that a live run can be judged by '}was broken${expect.length === 0 ? '' : `, all ${expect.length} expectations were met`}`
          )
        ]
      : []),
    ...(notJudged.length === 0 ? [] : [style('dim', `not judged: ${notJudged.join('; ')}`)])
  ]
}
