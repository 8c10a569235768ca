import { AbortError, type ModelId, parseModelId, parsePeerId, type PeerId } from '@skein/protocol'
import type {
  ChatSession,
  ConnectOptions,
  ForwardResult,
  GenerateOptions,
  Generation,
  GenerationEvent,
  GenerationPiece,
  GenerationResult,
  SessionOptions,
  SwarmClient,
  SwarmStatus
} from '../client/types.ts'
import type { ChatMessage } from '../text/chat-message.ts'

export const fakePeers: readonly PeerId[] = ['A', 'B', 'C'].map((letter) => parsePeerId(`12D3KooW${letter.repeat(44)}`))
const [first, second, third] = fakePeers as [PeerId, PeerId, PeerId]

export const fakeChain = [
  { peerId: first, start: 0, end: 3 },
  { peerId: second, start: 3, end: 8 }
]

/** What the fake answers, and how. */
export interface FakeScript {
  /** Pieces of the answer; each is one token. @default two */
  pieces?: readonly string[]
  /** Called before each piece; the answer waits for it, or for its end by the caller. */
  beforePiece?: (index: number, options: GenerateOptions) => Promise<void> | void
  /** Thrown by the generation after its pieces. */
  failure?: Error
  /** Told before the first piece. */
  events?: readonly GenerationEvent[]
  /** Thrown by connect. */
  connectFailure?: Error
  /** Connect waits for its signal. */
  connectHangs?: boolean
  /** `cancel` never resolves, and the answer goes on. */
  ignoresCancel?: boolean
  status?: SwarmStatus
}

/** What was asked of the fake, in order. */
export interface FakeCalls {
  readonly connects: ConnectOptions[]
  readonly prompts: Array<{ prompt: string | readonly ChatMessage[]; options: GenerateOptions }>
  readonly sessions: SessionOptions[]
  closedClients: number
  closedSessions: number
}

/** A client without a swarm: it answers from a script, and ends an answer at a cancel as the real one does. */
export class FakeSwarm {
  readonly script: FakeScript
  readonly calls: FakeCalls = { connects: [], prompts: [], sessions: [], closedClients: 0, closedSessions: 0 }

  constructor(script: FakeScript = {}) {
    this.script = script
  }

  readonly connect = async (options: ConnectOptions): Promise<SwarmClient> => {
    this.calls.connects.push(options)
    options.onProgress?.({ phase: 'network', message: 'dialling the first contact' })
    if (this.script.connectFailure !== undefined) throw this.script.connectFailure
    if (this.script.connectHangs === true) {
      await new Promise((resolve) => options.signal?.addEventListener('abort', resolve, { once: true }))
      throw new AbortError()
    }
    options.onProgress?.({ phase: 'ready', message: 'ready' })
    return this.#client()
  }

  #client(): SwarmClient {
    const { calls, script } = this
    return {
      model: fakeModel,
      peerId: third,
      generate: (prompt, options = {}) => this.#generate(prompt, options),
      session: async (options = {}) => this.#session(options),
      forward: async (): Promise<ForwardResult> => {
        throw new Error('the fake has no logits')
      },
      status: async () => script.status ?? fakeStatus,
      close: async () => {
        calls.closedClients++
      }
    }
  }

  #session(options: SessionOptions): ChatSession {
    this.calls.sessions.push(options)
    const messages: ChatMessage[] = options.system === undefined ? [] : [{ role: 'system', content: options.system }]
    return {
      messages,
      maxContextTokens: options.maxContextTokens ?? 1024,
      get tokens() {
        return 10 * messages.length
      },
      send: (text, sendOptions = {}) => {
        messages.push({ role: 'user', content: text })
        const generation = this.#generate(text, sendOptions)
        void generation.result.then(
          (result) => messages.push({ role: 'assistant', content: result.text }),
          () => undefined
        )
        return generation
      },
      close: async () => {
        this.calls.closedSessions++
      }
    }
  }

  #generate(prompt: string | readonly ChatMessage[], options: GenerateOptions): Generation {
    this.calls.prompts.push({ prompt, options })
    const stop = new AbortController()
    options.signal?.addEventListener('abort', () => stop.abort(), { once: true })
    if (options.signal?.aborted === true) stop.abort()
    const queue = this.#pieces(options, stop.signal)
    let settle: (result: GenerationResult) => void = () => undefined
    let fail: (error: Error) => void = () => undefined
    const result = new Promise<GenerationResult>((resolve, reject) => {
      settle = resolve
      fail = reject
    })
    const taken: string[] = []
    async function* iterate(): AsyncGenerator<GenerationPiece> {
      try {
        for await (const piece of queue) {
          taken.push(piece.text)
          yield piece
        }
        settle(fakeResult(taken, stop.signal.aborted, options))
      } catch (error) {
        fail(error as Error)
        throw error
      }
    }
    return {
      result,
      cancel: async () => {
        if (this.script.ignoresCancel === true) return new Promise<void>(() => undefined)
        stop.abort()
        await result.catch(() => undefined)
      },
      [Symbol.asyncIterator]: iterate
    }
  }

  async *#pieces(options: GenerateOptions, stop: AbortSignal): AsyncGenerator<GenerationPiece> {
    const { pieces = ['Geese ', 'fly.'], beforePiece, failure, events = [] } = this.script
    for (const event of events) options.onEvent?.(event)
    const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }))
    for (const [index, text] of pieces.entries()) {
      await Promise.race([beforePiece?.(index, options), stopped])
      if (stop.aborted) return
      yield { text, tokens: [index] }
    }
    if (failure !== undefined) throw failure
  }
}

const fakeModel: ModelId = parseModelId('skein-tiny@00112233445566778899aabbccddeeff')

function fakeResult(pieces: readonly string[], cancelled: boolean, options: GenerateOptions): GenerationResult {
  return {
    text: pieces.join(''),
    tokens: pieces.map((_, index) => index),
    finishReason: cancelled ? 'cancelled' : 'stop',
    promptTokens: 7,
    completionTokens: pieces.length,
    timings: {
      timeToFirstTokenMs: pieces.length === 0 ? undefined : 12.5,
      tokensPerSecond: pieces.length < 2 ? undefined : 40,
      computeMsPerToken: pieces.length < 2 ? undefined : 8,
      totalMs: 100
    },
    chain: fakeChain,
    recoveries: 0,
    ...(options.logprobs === undefined || options.logprobs === false
      ? {}
      : {
          logprobs: pieces.map((text, index) => ({
            token: index,
            text,
            logprob: -0.25,
            top: typeof options.logprobs === 'number' ? [{ token: 9, text: 'other', logprob: -1.5 }] : []
          }))
        })
  }
}

const numerics = { weights: 'f32', kernels: 'ort-1.30.0/x64' } as const

/** Blocks 6:8 are served by a node that is going offline, so nobody covers them. */
export const fakeStatus: SwarmStatus = {
  model: fakeModel,
  blocks: 8,
  nodes: [
    {
      ...{ peerId: first, start: 0, end: 3, state: 'serving', numerics, stepMs: 0.8, roundTripMs: 1.25 },
      ...{ kvTokens: 1024, freeKvTokens: 1000, sessions: 2, addresses: ['/ip4/127.0.0.1/tcp/1'] }
    },
    { peerId: second, start: 2, end: 6, state: 'serving', numerics, stepMs: 12, kvTokens: 512, addresses: [] },
    { peerId: third, start: 5, end: 8, state: 'draining', numerics, stepMs: 1200, kvTokens: 512, addresses: [] }
  ],
  uncoveredBlocks: [{ start: 6, end: 8 }]
}
