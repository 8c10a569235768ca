import type { BlockRange } from '@skein/protocol'
import type {
  ChainStage,
  ChosenLogprob,
  FinishReason,
  GenerationEvent,
  GenerationResult,
  GenerationTimings,
  RecoveryReason
} from '../client/types.ts'
import { formatMs, shortPeerId } from './terminal.ts'

/** What `skein run --json` prints: names that other programs rely on. */
export interface GenerationReport {
  readonly text: string
  readonly tokens: readonly number[]
  readonly finishReason: FinishReason
  readonly promptTokens: number
  readonly completionTokens: number
  readonly chain: readonly ChainStage[]
  /** Null when there was no token. */
  readonly timeToFirstTokenMs: number | null
  /** Null with fewer than two tokens. */
  readonly tokensPerSecond: number | null
  readonly recoveries: number
  /** With `--logprobs` alone. */
  readonly logprobs?: readonly ChosenLogprob[]
}

export function generationReport(result: GenerationResult): GenerationReport {
  const { text, tokens, finishReason, promptTokens, completionTokens, timings, recoveries, logprobs } = result
  return {
    text,
    tokens,
    finishReason,
    promptTokens,
    completionTokens,
    chain: result.chain.map(({ peerId, start, end }) => ({ peerId, start, end })),
    timeToFirstTokenMs: timings.timeToFirstTokenMs ?? null,
    tokensPerSecond: timings.tokensPerSecond ?? null,
    recoveries,
    ...(logprobs === undefined ? {} : { logprobs })
  }
}

/** `…abcdefgh 0:3 -> …ijklmnop 3:8`. */
function formatChain(chain: readonly ChainStage[]): string {
  if (chain.length === 0) return 'none'
  return chain.map(({ peerId, start, end }) => `${shortPeerId(peerId)} ${start}:${end}`).join(' -> ')
}

/** `3:6, 8:12`. */
export function formatBlocks(ranges: readonly BlockRange[]): string {
  return ranges.map(({ start, end }) => `${start}:${end}`).join(', ')
}

/** What `--stats` and `/stats` print of an answer, one line each. */
export function statsLines(result: GenerationResult): string[] {
  const { timings } = result
  const first = timings.timeToFirstTokenMs
  return [
    `chain            ${formatChain(result.chain)}`,
    `first token      ${first === undefined ? 'none' : `after ${formatMs(first)}`}`,
    `speed            ${formatRate(timings)}`,
    `tokens           ${result.promptTokens} of the prompt, ${result.completionTokens} of the answer`,
    `finish reason    ${result.finishReason}`,
    `recoveries       ${result.recoveries}`
  ]
}

/** The rate, and how far it is from what the stages' compute alone would allow. */
function formatRate({ tokensPerSecond, computeMsPerToken }: GenerationTimings): string {
  if (tokensPerSecond === undefined) return 'fewer than two tokens'
  const compute = computeMsPerToken === undefined ? '' : `, of which the stages computed ${formatMs(computeMsPerToken)}`
  return `${tokensPerSecond.toFixed(1)} tokens/s (${formatMs(1000 / tokensPerSecond)} a token${compute})`
}

/** One line for each token: its own log-probability, and the most likely ones at its place. */
export function logprobLines(logprobs: readonly ChosenLogprob[]): string[] {
  return logprobs.map(({ text, logprob, top }) => {
    const others = top.map((other) => `${JSON.stringify(other.text)} ${other.logprob.toFixed(3)}`).join(', ')
    return `${logprob.toFixed(3).padStart(9)}  ${JSON.stringify(text)}${others === '' ? '' : `  of ${others}`}`
  })
}

const reasons: Readonly<Record<RecoveryReason, string>> = {
  'channel-closed': 'connection closed',
  'no-progress': 'no progress',
  'no-answer': 'no answer',
  refused: 'refused',
  'not-finite': 'wrong results',
  'history-lost': 'too little history'
}

/** What a person wants to know of what happens to a generation; undefined for what a progress line shows, or nothing does. */
export function eventLine(event: GenerationEvent): string | undefined {
  switch (event.type) {
    case 'chain-opened':
    case 'prefill-progress':
      return undefined
    case 'recovery-started':
      return event.lost.length === 0
        ? `a link between nodes broke (${reasons[event.reason]}); making it anew`
        : `lost ${formatChain(event.lost)} (${reasons[event.reason]}); looking for a replacement`
    case 'recovery-finished':
      return `goes on over ${formatChain(event.chain)} after ${formatMs(event.tookMs)}`
    case 'waiting-for-coverage':
      return `nobody serves blocks ${formatBlocks(event.uncoveredBlocks)}; waiting`
  }
}
