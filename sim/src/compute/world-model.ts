import type { ClientEnds, ModelText } from '@skein/coordinator'
import type { CacheKey, SpanRuntime } from '@skein/node'
import type { BlockRange, ModelId, Numerics, Random, TensorEncoding } from '@skein/protocol'

/**
 * What is computed in a world, without any time: checksums, or a real model. Everything in it is done within the call that
 * asks for it, or its microtasks: a worker thread would finish outside virtual time.
 */
export interface WorldModel {
  /** Whether its texts mean anything: reports then show them. */
  readonly isReal: boolean
  readonly id: ModelId
  readonly numerics: Numerics
  readonly text: ModelText
  readonly vocabSize: number
  /** How rows travel, and how many bytes one has then. */
  readonly encoding: TensorEncoding
  readonly rowBytes: number
  /** Whether one-token steps are computed so that a replay restores every bit. */
  readonly exact: boolean
  openRuntime(span: BlockRange, kvTokens: number): SpanRuntime
  /** Caches that are reserved in a runtime of this model, where it can tell. */
  cachesOf(runtime: SpanRuntime): CacheKey[]
  readonly ends: ClientEnds
  /** A prompt of about so many tokens. */
  drawPrompt(tokens: number, random: Random): string
  encode(prompt: string): number[]
  /** What one undisturbed machine answers, greedily: at most `count` tokens, the model's end token included. */
  reference(prompt: readonly number[], count: number): Promise<number[]>
}
