import { blockCount, type BlockRange, formatBlockRange, type ModelId, SkeinError } from '@skein/protocol'
import type { SwarmMap } from '../directory/swarm-map.ts'
import { SessionError } from '../session/errors.ts'

/** Some blocks are served by nobody. The detail has `start` and `end` of the first gap. */
export class NoCoverageError extends SkeinError<'ERR_SKEIN_NO_COVERAGE'> {
  /** @param someServe - whether nodes of other blocks of this model were found */
  constructor(model: ModelId, blocks: readonly BlockRange[], reason: string, waitedMs: number, someServe = true) {
    const ranges = blocks.map(formatBlockRange).join(', ')
    const wait = waitedMs > 0 ? ` after waiting ${(waitedMs / 1000).toFixed(waitedMs < 10_000 ? 1 : 0)} s` : ''
    const [first] = blocks
    const what =
      reason === 'no-room'
        ? 'have no room for another session'
        : reason === 'silent'
          ? 'are served by no node that answers'
          : 'are served by no node'
    // The id ends in a hash of the weights: a swarm of other weights answers, and has none of this model's nodes.
    const hint = someServe ? '' : ', or compare this model id with the one that the running nodes print: no node of it was found'
    super(
      'ERR_SKEIN_NO_COVERAGE',
      `blocks ${ranges} of ${model} ${what}${wait}; start a node with --blocks ${first === undefined ? '0:1' : formatBlockRange(first)}${hint}`,
      {
        detail: { start: first?.start ?? 0, end: first?.end ?? 0, reason }
      }
    )
  }
}

/** No wait helps when no node has so large a cache at all: that is said at once, with the numbers. */
export function requireThatItCanFit(swarm: SwarmMap, kvTokens: number, blocks: readonly BlockRange[]): void {
  const [gap] = blocks
  if (gap === undefined || blockCount(gap) < 1) return
  const hosts = swarm
    .records()
    .filter(({ announcement: { span, state } }) => state === 'serving' && span.start < gap.end && gap.start < span.end)
  const largest = Math.max(0, ...hosts.map(({ announcement }) => announcement.kvTokens))
  if (largest >= kvTokens) return
  throw new SessionError(
    'ERR_SKEIN_KV_FULL',
    `the session needs ${kvTokens} tokens of KV cache, and the nodes of blocks ${formatBlockRange(gap)} have ${largest} at the most; ask for fewer tokens (max-tokens, or max-context-tokens of a conversation), or start a node with a larger --max-kv-tokens`,
    { detail: { kvTokens, largestKvTokens: largest } }
  )
}
