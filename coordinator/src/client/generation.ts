import { type Clock, InvalidArgumentError, type Logger, onAbort, raceAbort, type Random } from '@skein/protocol'
import type { SessionEvent, SessionStage, TokenSession } from '../session/token-session.ts'
import type { ResolvedSampling } from '../text/sampling/options.ts'
import { Sampler } from '../text/sampling/sampler.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { AnswerText } from './answer-text.ts'
import { tell } from './listener.ts'
import { PieceStream } from './piece-stream.ts'
import type {
  ChainStage,
  FinishReason,
  GenerateOptions,
  Generation,
  GenerationEvent,
  GenerationPiece,
  GenerationResult,
  GenerationTimings
} from './types.ts'

export interface GenerationComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly tokenizer: Tokenizer
  /** Draws the answer's tokens. */
  readonly random: Random
  /** Logits f32 `[rows, vocabSize]` of the last block's output, `[rows, hiddenSize]` in the session's encoding. */
  readonly logits: (body: Uint8Array, rows: number) => Promise<Float32Array>
}

/** What a generation needs of its session, which may be its own or that of a conversation. */
export interface SessionLease {
  readonly session: TokenSession
  /** The generation does not need the session any more. */
  release(): Promise<void>
}

export interface GenerationInit {
  /** The whole context before the answer. */
  readonly promptTokens: readonly number[]
  /** The first so many of them are in the session's caches; less than all. */
  readonly cachedTokens: number
  readonly maxTokens: number
  readonly sampling: ResolvedSampling
  readonly eosTokenIds: readonly number[]
  readonly stops: readonly string[]
  readonly topLogprobs: number | undefined
  /** Rows of a prefill chunk: chunks go through the stages as through a pipeline. */
  readonly prefillChunkTokens: number
  readonly options: Pick<GenerateOptions, 'signal' | 'onEvent'>
  /** Opens or takes the session; what happens on it is told to the listener. */
  readonly acquire: (signal: AbortSignal, onEvent: (event: SessionEvent) => void) => Promise<SessionLease>
}

const noChain: readonly SessionStage[] = []

/** One generation: prefill, then a token after the other until something ends it. */
export class GenerationRun implements Generation {
  readonly result: Promise<GenerationResult>
  readonly #components: GenerationComponents
  readonly #init: GenerationInit
  readonly #pieces: PieceStream<GenerationPiece>
  readonly #cancelled = new AbortController()
  readonly #answer: AnswerText
  readonly #sampler: Sampler
  readonly #startedAtMs: number
  #firstTokenAtMs: number | undefined
  #lastTokenAtMs = 0
  #decodeComputeUs = 0
  #recoveryStartedAtMs: number | undefined
  /** What was last told of a loss or of uncovered blocks: while a search goes on, the same is found again and again. */
  #lastTrouble = ''
  #recoveriesBefore = 0
  #session: TokenSession | undefined

  constructor(components: GenerationComponents, init: GenerationInit) {
    this.#components = components
    this.#init = init
    this.#startedAtMs = components.clock.monotonicMs()
    this.#pieces = new PieceStream(() => this.cancel())
    this.#sampler = new Sampler({ random: components.random }, { sampling: init.sampling, prompt: init.promptTokens })
    this.#answer = new AnswerText({
      tokenizer: components.tokenizer,
      stops: init.stops,
      contextTokens: init.promptTokens.slice(-8),
      onPiece: (piece) => this.#pieces.push(piece)
    })
    this.result = this.#run()
    // Who only iterates gets the error from the loop.
    this.result.catch(() => {})
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationPiece> {
    return this.#pieces[Symbol.asyncIterator]()
  }

  async cancel(): Promise<void> {
    this.#cancelled.abort()
    await this.result.then(
      () => {},
      () => {}
    )
  }

  async #run(): Promise<GenerationResult> {
    const { signal } = this.#init.options
    const stopListening = signal && onAbort(signal, () => this.#cancelled.abort())
    // Each step waits for it: one listener from the beginning on is cheaper than one for each.
    const stopWaiting = onAbort(this.#cancelled.signal, () => {})
    try {
      const finishReason = await this.#finishReason()
      this.#answer.finish()
      this.#pieces.end()
      return this.#makeResult(finishReason)
    } catch (error) {
      const thrown = error instanceof Error ? error : new Error(String(error))
      this.#pieces.end(thrown)
      throw thrown
    } finally {
      stopListening?.()
      stopWaiting()
    }
  }

  /** Generates; a cancellation is no error. */
  async #finishReason(): Promise<FinishReason> {
    const { signal } = this.#cancelled
    let lease: SessionLease | undefined
    try {
      lease = await this.#init.acquire(signal, (event) => this.#onSessionEvent(event))
      this.#session = lease.session
      this.#recoveriesBefore = lease.session.recoveries
      return await this.#generate(lease.session)
    } catch (error) {
      if (signal.aborted) return 'cancelled'
      throw error
    } finally {
      await lease?.release()
    }
  }

  async #generate(session: TokenSession): Promise<FinishReason> {
    const { maxTokens, eosTokenIds, topLogprobs } = this.#init
    const { signal } = this.#cancelled
    let body = await this.#prefill(session)
    for (;;) {
      const logits = await this.#components.logits(body, 1)
      if (signal.aborted) return 'cancelled'
      const sample = this.#sampler.sample(logits, { inPlace: true, topLogprobs })
      this.#sampler.accept(sample.token)
      this.#lastTokenAtMs = this.#components.clock.monotonicMs()
      this.#firstTokenAtMs ??= this.#lastTokenAtMs
      if (this.#answer.push(sample) || eosTokenIds.includes(sample.token)) return 'stop'
      if (this.#answer.tokens.length >= maxTokens) return 'length'
      const output = await session.step([sample.token], session.rows, 'last', { signal })
      body = output.body
      this.#decodeComputeUs += output.computeUs
    }
  }

  /** Sends the prompt in chunks, all at once, so that every stage has one at a time; the last row's output comes back. */
  async #prefill(session: TokenSession): Promise<Uint8Array> {
    const { promptTokens, cachedTokens, prefillChunkTokens } = this.#init
    const total = promptTokens.length - cachedTokens
    if (total < 1) throw new InvalidArgumentError('the prompt has no tokens')
    const chunks: Promise<Uint8Array>[] = []
    let done = 0
    for (let position = cachedTokens; position < promptTokens.length; position += prefillChunkTokens) {
      const tokens = promptTokens.slice(position, position + prefillChunkTokens)
      const last = position + tokens.length === promptTokens.length
      const chunk = session.step(tokens, position, last ? 'last' : 'none').then((output) => {
        done += tokens.length
        this.#emit({ type: 'prefill-progress', doneTokens: done, totalTokens: total, atMs: this.#sinceStartMs() })
        return output.body
      })
      // The last chunk's promise is awaited; an earlier failure shows there too, since the session fails as a whole.
      chunk.catch(() => {})
      chunks.push(chunk)
    }
    return (await raceAbort(Promise.all(chunks), this.#cancelled.signal)).at(-1) as Uint8Array
  }

  #sinceStartMs(): number {
    return this.#components.clock.monotonicMs() - this.#startedAtMs
  }

  #onSessionEvent(event: SessionEvent): void {
    const atMs = this.#sinceStartMs()
    switch (event.type) {
      case 'opened':
        this.#emit({ type: 'chain-opened', session: event.session, chain: event.chain.map(publicStage), atMs })
        break
      case 'recovering': {
        this.#recoveryStartedAtMs ??= atMs
        const lost = event.lost.map(publicStage)
        if (this.#isNews({ lost, cause: event.cause }))
          this.#emit({ type: 'recovery-started', reason: event.cause, lost, message: event.reason, atMs })
        break
      }
      case 'recovered': {
        const tookMs = atMs - (this.#recoveryStartedAtMs ?? atMs)
        this.#recoveryStartedAtMs = undefined
        this.#lastTrouble = ''
        this.#emit({ type: 'recovery-finished', chain: event.chain.map(publicStage), tookMs, atMs })
        break
      }
      case 'uncovered':
        if (this.#isNews(event.blocks)) this.#emit({ type: 'waiting-for-coverage', uncoveredBlocks: event.blocks, atMs })
        break
    }
  }

  #isNews(trouble: unknown): boolean {
    const text = JSON.stringify(trouble)
    const isNews = text !== this.#lastTrouble
    this.#lastTrouble = text
    return isNews
  }

  #emit(event: GenerationEvent): void {
    tell(this.#init.options.onEvent, event, this.#components.logger, 'a generation')
  }

  #makeResult(finishReason: FinishReason): GenerationResult {
    const { text, tokens, logprobs } = this.#answer
    const session = this.#session
    return {
      text,
      tokens: [...tokens],
      finishReason,
      promptTokens: this.#init.promptTokens.length,
      completionTokens: tokens.length,
      timings: this.#timings(),
      chain: (session?.chain ?? noChain).map(publicStage),
      recoveries: (session?.recoveries ?? 0) - this.#recoveriesBefore,
      ...(this.#init.topLogprobs === undefined ? {} : { logprobs: [...logprobs] })
    }
  }

  #timings(): GenerationTimings {
    const first = this.#firstTokenAtMs
    const further = this.#answer.tokens.length - 1
    const decodeMs = first === undefined ? 0 : this.#lastTokenAtMs - first
    return {
      timeToFirstTokenMs: first === undefined ? undefined : first - this.#startedAtMs,
      tokensPerSecond: further > 0 && decodeMs > 0 ? (further * 1000) / decodeMs : undefined,
      computeMsPerToken: further > 0 ? this.#decodeComputeUs / 1000 / further : undefined,
      totalMs: this.#sinceStartMs()
    }
  }
}

function publicStage({ peer, start, end }: SessionStage): ChainStage {
  return { peerId: peer, start, end }
}
