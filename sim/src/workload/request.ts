import type { Random } from '@skein/protocol'
import type { ClientGroup } from '../scenario/scenario.ts'
import { drawCount } from './draw.ts'

/** How long a prompt is, and its answer. */
export interface RequestLengths {
  readonly promptTokens: number
  readonly outputTokens: number
}

/** A prompt and an answer that the context has room for. */
export function drawRequest(
  { promptTokens: prompt, outputTokens: output }: ClientGroup['workload'],
  contextTokens: number,
  random: Random
): RequestLengths {
  const promptTokens = drawCount(prompt, random, 1, contextTokens - 1)
  return { promptTokens, outputTokens: drawCount(output, random, 1, contextTokens - promptTokens) }
}

/** The random numbers of the text of a request, by the number of its generation: live and simulated runs ask the same. */
export function textRandom(client: Random, generation: number): Random {
  return client.fork(`request ${generation}`)
}
