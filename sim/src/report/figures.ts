/**
 * The figures of a report: pure functions of a run's record, each with its unit and its meaning. Expectations, comparisons,
 * sweeps and `--json` use them by these names.
 *
 * @packageDocumentation
 */
import { quantileSorted } from 'simple-statistics'
import type { GenerationRecord, NodeRecord, RunRecord, Sample, TimeByCause } from '../record/run-record.ts'
import type { Expectation } from '../scenario/scenario.ts'

export type FigureUnit = 'count' | 'ms' | 'tokens/s' | 'tokens' | 'share' | 'bytes' | 'nodes' | 'stages'

/** Figures by name. Undefined where a run has nothing to compute it from: no generation ended, for example. */
export type Figures = Readonly<Record<FigureName, number | undefined>>

export interface FigureMeaning {
  readonly unit: FigureUnit
  readonly text: string
  /** Which way is better, if either is. */
  readonly better?: 'more' | 'less'
}

const more = 'more'
const less = 'less'

/** All figures, in the order in which reports show them. */
export const figureMeanings = {
  generations: { unit: 'count', text: 'requests that began' },
  completed: { unit: 'count', text: 'generations that ended with all their tokens, or that their user stopped', better: more },
  wrong: {
    unit: 'count',
    text: 'generations with tokens that one undisturbed machine does not give, completed ones included: the work of liars',
    better: less
  },
  failed: { unit: 'count', text: 'generations that ended with an error', better: less },
  unfinished: { unit: 'count', text: 'generations that the run, or the process of their client, ended before they did', better: less },
  completedShare: { unit: 'share', text: 'completed of all that began', better: more },
  violations: { unit: 'count', text: 'times that an oracle found a promise broken', better: less },
  tokens: { unit: 'tokens', text: 'tokens of all answers', better: more },
  tokensPerSecond: {
    unit: 'tokens/s',
    text: 'tokens of all answers over the time from the first request to the end of the last answer',
    better: more
  },
  sessionTokensPerSecondP10: { unit: 'tokens/s', text: 'speed of one answer after its first token: one in ten is slower', better: more },
  sessionTokensPerSecondP50: { unit: 'tokens/s', text: 'speed of one answer after its first token: the median', better: more },
  sessionTokensPerSecondP90: { unit: 'tokens/s', text: 'speed of one answer after its first token: one in ten is faster', better: more },
  firstTokenMsP50: { unit: 'ms', text: 'from a request to its first token: the median', better: less },
  firstTokenMsP90: { unit: 'ms', text: 'from a request to its first token: one in ten takes longer', better: less },
  firstTokenMsP99: { unit: 'ms', text: 'from a request to its first token: one in a hundred takes longer', better: less },
  firstTurnTokenMsP50: { unit: 'ms', text: 'the same, of the first messages of conversations: the median', better: less },
  laterTurnTokenMsP50: { unit: 'ms', text: 'the same, of the later messages of conversations: the median', better: less },
  latencyMsP50: { unit: 'ms', text: 'from a request to the end of its answer: the median', better: less },
  latencyMsP90: { unit: 'ms', text: 'from a request to the end of its answer: one in ten takes longer', better: less },
  latencyMsP99: { unit: 'ms', text: 'from a request to the end of its answer: one in a hundred takes longer', better: less },
  chainShare: { unit: 'share', text: 'of the time of all generations: until a chain was open, waits for blocks included', better: less },
  computeShare: { unit: 'share', text: 'of the time of all generations: computing' },
  transferShare: { unit: 'share', text: 'of the time of all generations: bytes passing through up- and downlinks' },
  delayShare: { unit: 'share', text: 'of the time of all generations: distance, jitter and retransmissions' },
  queueShare: {
    unit: 'share',
    text: 'of the time of all generations: waiting for a turn in a node, or for earlier bytes in a sender',
    better: less
  },
  silenceShare: { unit: 'share', text: 'of the time of all generations: until it was noticed that a stage was lost', better: less },
  recoveryShare: { unit: 'share', text: 'of the time of all generations: recovering lost stages', better: less },
  recoveries: { unit: 'count', text: 'lost stages that were replaced in the middle of an answer' },
  recoveryMsMean: { unit: 'ms', text: 'time that one recovery took, on average', better: less },
  recoveredShare: { unit: 'share', text: 'of the generations that lost a stage: those that completed all the same', better: more },
  stagesMean: { unit: 'stages', text: 'stages of a chain, on average' },
  coveredShare: {
    unit: 'share',
    text: 'of the time observed, from when all nodes had started until the duration ended: every block had a node',
    better: more
  },
  leastCoverage: { unit: 'nodes', text: 'fewest nodes that any block had at any time observed', better: more },
  coverageMean: { unit: 'nodes', text: 'nodes of the least covered block, averaged over the time observed', better: more },
  nodesUpMean: { unit: 'nodes', text: 'nodes that were up, averaged over the time observed' },
  departures: { unit: 'count', text: 'times that a node went away' },
  sessionsMean: { unit: 'count', text: 'sessions under way, averaged over the time observed' },
  sessionsMax: { unit: 'count', text: 'most sessions at a time' },
  utilisationMean: { unit: 'share', text: 'time that nodes computed of the time that they were up, until the last answer had come' },
  utilisationMax: { unit: 'share', text: 'the same, of the busiest node' },
  bytesPerToken: { unit: 'bytes', text: 'bytes that nodes sent, announcements included, over the tokens of all answers', better: less }
} as const satisfies Readonly<Record<string, FigureMeaning>>

export type FigureName = keyof typeof figureMeanings

/** In the order in which reports show them. */
export const figureNames = Object.keys(figureMeanings) as FigureName[]

/** Values and their quantile, or undefined of none. `q` from 0 to 1. */
export function quantileOf(values: readonly number[], q: number): number | undefined {
  if (values.length === 0) return undefined
  return quantileSorted(
    values.toSorted((a, b) => a - b),
    q
  )
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}

function ratio(part: number, whole: number): number | undefined {
  return whole > 0 ? part / whole : undefined
}

function mean(values: readonly number[]): number | undefined {
  return ratio(sum(values), values.length)
}

/** Milliseconds to the first token; undefined if there was none. */
export function firstTokenMs({ startMs, firstTokenMs: at }: GenerationRecord): number | undefined {
  return at === undefined ? undefined : at - startMs
}

/** When its answer had come: the end of a generation is when its stages were closed as well. Undefined while it runs. */
function answeredMs({ lastTokenMs, endMs }: GenerationRecord): number | undefined {
  return endMs === undefined ? undefined : (lastTokenMs ?? endMs)
}

/** Tokens a second after the first one; undefined if there was no second. */
export function tokensPerSecond(generation: GenerationRecord): number | undefined {
  const { firstTokenMs: first, outputTokens, outcome } = generation
  const last = answeredMs(generation)
  if (outcome !== 'completed' || first === undefined || last === undefined || outputTokens < 2 || last <= first) return undefined
  return (1000 * (outputTokens - 1)) / (last - first)
}

export const causes = [
  'chainMs',
  'computeMs',
  'transferMs',
  'delayMs',
  'queueMs',
  'silenceMs',
  'recoveryMs'
] as const satisfies ReadonlyArray<keyof TimeByCause>

/** The sum over generations of the time that went to each cause; of a record that does not know a cause, 0. */
export function timeByCause(generations: readonly GenerationRecord[]): TimeByCause {
  const total = (cause: keyof TimeByCause): number => sum(generations.map(({ time }) => (time as Partial<TimeByCause>)[cause] ?? 0))
  return {
    chainMs: total('chainMs'),
    computeMs: total('computeMs'),
    transferMs: total('transferMs'),
    delayMs: total('delayMs'),
    queueMs: total('queueMs'),
    silenceMs: total('silenceMs'),
    recoveryMs: total('recoveryMs')
  }
}

/** Share of its time up until `untilMs`, after which nobody had anything to compute, in which a node computed; undefined if it was never up. */
export function utilisation(node: NodeRecord, untilMs = Infinity): number | undefined {
  return ratio(node.busyMs, upUntilMs(node, untilMs))
}

function upUntilMs({ up }: NodeRecord, untilMs: number): number {
  return sum(up.map(([from, to]) => Math.max(0, Math.min(to, untilMs) - from)))
}

/** The end of what nodes may have been busy with: the duration's, or that of the last answer if it came later. */
export function busyUntilMs({ generations, virtualMs, observedMs }: RunRecord): number {
  if (observedMs === undefined) return virtualMs
  return generations.reduce((most, { endMs = virtualMs }) => Math.max(most, endMs), observedMs[1])
}

/** The samples of the time observed; where there is none of it, all. */
function observedSamples({ samples, observedMs: [fromMs, toMs] = [-1, Infinity] }: RunRecord): readonly Sample[] {
  const observed = samples.filter(({ atMs }) => atMs > fromMs && atMs <= toMs)
  return observed.length > 0 ? observed : samples
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined
}

/** The figures of a run. */
export function figures(record: RunRecord): Figures {
  const { generations, violations } = record
  const tokens = sum(generations.map(({ outputTokens }) => outputTokens))
  return {
    ...countFigures(generations),
    violations: violations.length,
    tokens,
    tokensPerSecond: ratio(1000 * tokens, busyPeriodMs(record)),
    ...latencyFigures(generations),
    ...timeFigures(generations),
    ...swarmFigures(record, tokens)
  }
}

/** From the first request to the end of the last answer: a run goes on after it, until all that was reserved is free again. */
function busyPeriodMs({ generations, virtualMs }: RunRecord): number {
  const first = generations.reduce((least, { startMs }) => Math.min(least, startMs), Infinity)
  const last = generations.reduce((most, generation) => Math.max(most, answeredMs(generation) ?? virtualMs), -Infinity)
  return Math.max(0, last - first)
}

function countFigures(generations: readonly GenerationRecord[]) {
  const count = (outcome: GenerationRecord['outcome']): number => generations.filter((generation) => generation.outcome === outcome).length
  const completed = count('completed')
  const failed = count('failed')
  const unfinished = count('unfinished')
  const wrong = generations.filter(({ isWrong }) => isWrong === true).length
  return { generations: generations.length, completed, wrong, failed, unfinished, completedShare: ratio(completed, generations.length) }
}

/** From the request to the end of the answer. */
function wholeMs(generation: GenerationRecord): number | undefined {
  const last = answeredMs(generation)
  return last === undefined ? undefined : last - generation.startMs
}

function latencyFigures(generations: readonly GenerationRecord[]) {
  const first = generations.map(firstTokenMs).filter(isNumber)
  const ofTurns = (isOne: (turn: number) => boolean): number[] =>
    generations
      .filter(({ turn }) => turn !== undefined && isOne(turn))
      .map(firstTokenMs)
      .filter(isNumber)
  const speeds = generations.map(tokensPerSecond).filter(isNumber)
  const whole = generations
    .filter(({ outcome }) => outcome === 'completed')
    .map((generation) => wholeMs(generation))
    .filter(isNumber)
  return {
    sessionTokensPerSecondP10: quantileOf(speeds, 0.1),
    sessionTokensPerSecondP50: quantileOf(speeds, 0.5),
    sessionTokensPerSecondP90: quantileOf(speeds, 0.9),
    firstTokenMsP50: quantileOf(first, 0.5),
    firstTokenMsP90: quantileOf(first, 0.9),
    firstTokenMsP99: quantileOf(first, 0.99),
    firstTurnTokenMsP50: quantileOf(
      ofTurns((turn) => turn === 1),
      0.5
    ),
    laterTurnTokenMsP50: quantileOf(
      ofTurns((turn) => turn > 1),
      0.5
    ),
    latencyMsP50: quantileOf(whole, 0.5),
    latencyMsP90: quantileOf(whole, 0.9),
    latencyMsP99: quantileOf(whole, 0.99)
  }
}

function timeFigures(generations: readonly GenerationRecord[]) {
  const time = timeByCause(generations)
  const all = sum(Object.values(time) as number[])
  const recoveries = sum(generations.map((generation) => generation.recoveries))
  const hit = generations.filter((generation) => generation.recoveries > 0)
  const chains = generations.map(({ chain }) => chain.length).filter((length) => length > 0)
  return {
    chainShare: ratio(time.chainMs, all),
    computeShare: ratio(time.computeMs, all),
    transferShare: ratio(time.transferMs, all),
    delayShare: ratio(time.delayMs, all),
    queueShare: ratio(time.queueMs, all),
    silenceShare: ratio(time.silenceMs, all),
    recoveryShare: ratio(time.recoveryMs, all),
    recoveries,
    recoveryMsMean: ratio(time.recoveryMs, recoveries),
    recoveredShare: ratio(hit.filter(({ outcome }) => outcome === 'completed').length, hit.length),
    stagesMean: mean(chains)
  }
}

function swarmFigures(record: RunRecord, tokens: number) {
  const { nodes, log } = record
  const untilMs = busyUntilMs(record)
  const shares = nodes.map((node) => utilisation(node, untilMs)).filter(isNumber)
  const samples = observedSamples(record)
  const coverage = samples.map(({ leastCoverage }) => leastCoverage)
  return {
    coveredShare: ratio(coverage.filter((count) => count > 0).length, coverage.length),
    leastCoverage: coverage.length === 0 ? undefined : coverage.reduce((least, value) => Math.min(least, value)),
    coverageMean: mean(coverage),
    nodesUpMean: mean(samples.map(({ nodesUp }) => nodesUp)),
    departures: log.filter(({ kind }) => kind === 'node-down').length,
    sessionsMean: mean(samples.map(({ sessions }) => sessions)),
    sessionsMax: record.samples.reduce((most, { sessions }) => Math.max(most, sessions), 0),
    utilisationMean: ratio(sum(nodes.map(({ busyMs }) => busyMs)), sum(nodes.map((node) => upUntilMs(node, untilMs)))),
    utilisationMax: shares.length === 0 ? undefined : shares.reduce((most, value) => Math.max(most, value)),
    bytesPerToken: ratio(sum(nodes.map(({ sentBytes }) => sentBytes)), tokens)
  }
}

/** An expectation that was not met: its figure was outside its bounds, or there was none. */
export interface MissedExpectation extends Expectation {
  readonly value: number | undefined
}

/** What of `expect` a run did not keep. */
export function missedExpectations(found: Figures, expect: readonly Expectation[]): MissedExpectation[] {
  return expect.flatMap((expectation) => {
    const { figure, atLeast = -Infinity, atMost = Infinity } = expectation
    const value = Object.hasOwn(found, figure) ? found[figure as FigureName] : undefined
    return value !== undefined && value >= atLeast && value <= atMost ? [] : [{ ...expectation, value }]
  })
}

/** How many generations failed with each error, those that did so most first. */
export function failuresByCode(generations: readonly GenerationRecord[]): Array<readonly [code: string, count: number]> {
  const counts = new Map<string, number>()
  for (const { outcome, errorCode = 'unknown' } of generations) {
    if (outcome === 'failed') counts.set(errorCode, (counts.get(errorCode) ?? 0) + 1)
  }
  return [...counts].toSorted(([, a], [, b]) => b - a)
}
