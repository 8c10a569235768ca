/**
 * What a live run is judged by, as far as it can be seen from outside of real processes. Pure, but for {@link judgeAnswers}.
 *
 * @packageDocumentation
 */
import { throwIfAborted } from '@skein/protocol'
import type { RealModel } from '../compute/real-model.ts'
import type { Violation } from '../record/run-record.ts'

/** What came of one generation. */
export interface LiveAnswer {
  readonly generation: number
  readonly client: number
  readonly atMs: number
  readonly prompt: string
  readonly tokens: readonly number[]
  /** How many tokens were to come. */
  readonly wantedTokens: number
  readonly isWhole: boolean
}

/** The promises that the simulator watches and nobody can in a live run, for who reads its summary. */
export const notJudgedLive: readonly string[] = ['bounds of queues while nodes are at work', 'how old the entries of a map may be']

/**
 * How far a logit of normal mode on f16 links is from the reference's, as a part of the range of a row's logits. The tests of
 * normal mode hold it to that (test/src/e2e/normal-mode.test.ts).
 */
const maxErrorShare = 0.008

/**
 * Whether the tokens of an answer are those of one undisturbed machine, wherever its logits leave no doubt: each of the two
 * that compete may be wrong by the largest error. What follows a token is judged by the answer's own tokens, so that one
 * close decision does not make all that follows incomparable.
 *
 * @param logits of the reference, one row for each token of the answer
 * @param excluded tokens that were not to be chosen
 * @returns what is wrong, if anything is
 */
export function checkTokens(tokens: readonly number[], logits: readonly Float32Array[], excluded: readonly number[]): string | undefined {
  for (const [index, token] of tokens.entries()) {
    const row = logits[index]!
    let [best, least] = [-1, Infinity]
    for (const [other, value] of row.entries()) {
      least = Math.min(least, value)
      if (!excluded.includes(other) && (best < 0 || value > row[best]!)) best = other
    }
    const doubt = 2 * maxErrorShare * (row[best]! - least)
    const gap = row[best]! - (row[token] ?? -Infinity)
    if (excluded.includes(token) || !(gap <= doubt)) {
      return (
        `token ${index} of the answer is ${token}, and one undisturbed machine gives ${best}, ` +
        `whose logit is ${gap.toFixed(3)} larger, where at most ${doubt.toFixed(3)} can be an error`
      )
    }
  }
  return undefined
}

/** Compares every answer with the reference. @throws AbortError */
export async function judgeAnswers(
  answers: readonly LiveAnswer[],
  model: Pick<RealModel, 'encode' | 'logits' | 'text'>,
  signal: AbortSignal
): Promise<Array<Pick<Violation, 'atMs' | 'text'>>> {
  const found: Array<Pick<Violation, 'atMs' | 'text'>> = []
  const { eosTokenIds } = model.text.generation
  for (const { generation, client, atMs, prompt, tokens, wantedTokens, isWhole } of answers) {
    throwIfAborted(signal)
    const context = model.encode(prompt)
    const logits = tokens.length === 0 ? [] : await model.logits([...context, ...tokens.slice(0, -1)], context.length - 1)
    const lengthWrong =
      isWhole && tokens.length !== wantedTokens ? `it has ${tokens.length} tokens, and ${wantedTokens} were to come` : undefined
    const wrong = checkTokens(tokens, logits, eosTokenIds) ?? lengthWrong
    if (wrong !== undefined) found.push({ atMs, text: `generation ${generation} of client ${client}: ${wrong}` })
  }
  return found
}
