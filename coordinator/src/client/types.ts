/**
 * The SDK's public options and results.
 *
 * @packageDocumentation
 */
import type { BlockRange, Logger, ModelId, NodeState, Numerics, PeerId, SessionId, TensorEncoding } from '@skein/protocol'
import type { RecoveryReason } from '../session/chain-events.ts'
import type { ChatMessage } from '../text/chat-message.ts'
import type { SamplingOptions } from '../text/sampling/options.ts'

export type { RecoveryReason } from '../session/chain-events.ts'

/**
 * How activations travel. `ring`: from stage to stage, and only the tail's results come back. `star`: every stage's output
 * comes back to the coordinator; slower, for stages that cannot reach each other and for comparisons.
 */
export type Transport = 'ring' | 'star'

/** What `connect` is busy with, for a progress line. `fraction` is 0 to 1, where known. */
export interface ConnectProgress {
  /**
   * `checkpoint`: the model's folder is read; `ends`: embedding and head are converted (the first time) and loaded;
   * `network`: the first contact is dialled; `coverage`: waits until nodes cover every block; `ready`: done.
   */
  readonly phase: 'checkpoint' | 'ends' | 'network' | 'coverage' | 'ready'
  readonly fraction?: number
  /** One line for people. */
  readonly message: string
  /** In phase `coverage`: what nobody serves yet. */
  readonly uncoveredBlocks?: readonly BlockRange[]
}

export interface ConnectOptions {
  /** A folder with `config.json`, safetensors and `tokenizer.json`. Only the embedding, the norm and the head are read. */
  model: string
  /** Multiaddrs with peer ids (`/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...`) of nodes or other peers to ask first. At least one. */
  bootstrap: readonly string[]
  /** This coordinator's key: a file, made when it does not exist. @default a fresh one, in memory only */
  identity?: string
  /** Use private and loopback addresses of nodes. @default whether all of `bootstrap` are such */
  lan?: boolean
  /** Where converted weights are kept. @default `skein` below the user's cache folder */
  cacheDir?: string
  /** @default 'ring' */
  transport?: Transport
  /** How activations are encoded on links. @default 'f16' */
  encoding?: Exclude<TensorEncoding, 'raw'>
  /**
   * One-token steps are computed so that a replay in chunks restores every bit; with `encoding: 'f32'` a recovered
   * generation is the same bit for bit. Costs a dummy row per decode step.
   * @default false
   */
  exact?: boolean
  /**
   * Tokens of a prompt that travel together: chunks go through the chain as through a pipeline, so smaller ones keep more
   * stages busy at once, and larger ones compute better. 1 to 2048.
   * @default 128
   */
  prefillChunkTokens?: number
  /** Threads of the worker that computes embedding and head. @default 1 */
  threads?: number
  /**
   * The head's weights in memory. With `q8` they take about a third of the memory of `f32`, and of the time of a token that the
   * head takes; logits differ slightly, so greedy answers are no longer those of the model as it was published.
   * @default 'f32'
   */
  headDtype?: 'f32' | 'q8'
  /**
   * Makes the network look like another one, for tests: JSON text of a link profile (`{"oneWayMs": 25, "upMbps": 20}`), or
   * the file that holds it, which is read again when it changes. @default the network as it is
   */
  link?: string
  /** @default no logging */
  logger?: Logger
  /** What it throws is logged and has no effect. */
  onProgress?: (progress: ConnectProgress) => void
  /** How long the first contact may take, in milliseconds. @default 10_000 */
  connectTimeoutMs?: number
  /**
   * How long `connect`, and later a generation that lost a stage, waits for nodes to cover every block before it fails with
   * an error that names the uncovered ones, in milliseconds; and a generation that begins, for room on nodes that are full. 0:
   * `connect` does not wait at all.
   * @default 30_000
   */
  coverageTimeoutMs?: number
  /** Gives up connecting. */
  signal?: AbortSignal
}

/** Defaults of {@link ConnectOptions}; the commands read their flags' defaults from here. */
export const connectDefaults = {
  transport: 'ring',
  encoding: 'f16',
  exact: false,
  prefillChunkTokens: 128,
  threads: 1,
  headDtype: 'f32',
  /** Three round trips of a handshake over a bad line, with one retry. */
  connectTimeoutMs: 10_000,
  /** A node that restarts from its cache is back within this time. */
  coverageTimeoutMs: 30_000
} as const satisfies Partial<ConnectOptions>

/** What {@link ConnectOptions} may choose from. */
export const connectChoices = {
  transport: ['ring', 'star'],
  encoding: ['f32', 'f16', 'bf16'],
  headDtype: ['f32', 'q8']
} as const satisfies {
  transport: readonly Transport[]
  encoding: ReadonlyArray<ConnectOptions['encoding']>
  headDtype: ReadonlyArray<ConnectOptions['headDtype']>
}

/** A stage of a chain, as results and commands show it: blocks `[start, end)`. */
export interface ChainStage {
  readonly peerId: PeerId
  readonly start: number
  readonly end: number
}

/** What happens to a generation besides its text. `atMs` counts from the call of `generate`. */
export type GenerationEvent =
  /**
   * `session` is how the stages' logs call it. In a conversation it comes with the first turn, and with one whose chain is not
   * that of the end of the turn before.
   */
  | { readonly type: 'chain-opened'; readonly session: SessionId; readonly chain: readonly ChainStage[]; readonly atMs: number }
  | {
      readonly type: 'recovery-started'
      readonly reason: RecoveryReason
      /** The stages that were lost. */
      readonly lost: readonly ChainStage[]
      readonly message: string
      readonly atMs: number
    }
  | {
      readonly type: 'recovery-finished'
      /** The whole chain, after it. */
      readonly chain: readonly ChainStage[]
      readonly tookMs: number
      readonly atMs: number
    }
  /** No node serves these blocks now; the generation goes on when one does, within `coverageTimeoutMs`. */
  | { readonly type: 'waiting-for-coverage'; readonly uncoveredBlocks: readonly BlockRange[]; readonly atMs: number }
  | { readonly type: 'prefill-progress'; readonly doneTokens: number; readonly totalTokens: number; readonly atMs: number }

export interface GenerateOptions extends SamplingOptions {
  /** The most tokens to generate. @default 256, or what is left of the model's context if that is less */
  maxTokens?: number
  /** The answer ends before the first of these texts. At most 16, each 1 to 256 characters. @default none */
  stop?: string | readonly string[]
  /** Ends the generation: the loop ends, and the result has the text so far with the finish reason `cancelled`. */
  signal?: AbortSignal
  /**
   * A string prompt is sent as it is, without the chat template. Special tokens written in it then count as such.
   * @default false
   */
  raw?: boolean
  /**
   * Log-probabilities of the chosen tokens, taken from the model's own distribution (before penalties, bias, temperature and
   * cuts): `true` for those alone, or with how many of the most likely tokens beside each, 1 to 20.
   * @default false
   */
  logprobs?: boolean | number
  /** Tools for the chat template, passed on as they are. */
  tools?: readonly unknown[]
  /** Called on the events of this generation; what it throws is logged and has no effect. */
  onEvent?: (event: GenerationEvent) => void
}

/** Defaults of {@link GenerateOptions} beyond those of sampling. */
export const generateDefaults = {
  maxTokens: 256,
  raw: false,
  logprobs: false
} as const satisfies Partial<GenerateOptions>

/** Room of a conversation where nobody says how much, in tokens: a long talk, and half of what a node has by default. */
export const conversationTokens = 8192

/** Bounds on {@link GenerateOptions}. */
export const generateLimits = { maxStopStrings: 16, maxStopChars: 256 } as const

/** A token with its log-probability (natural logarithm). */
export interface TokenLogprob {
  readonly token: number
  /** The token's own text; a part of a character shows as U+FFFD. */
  readonly text: string
  readonly logprob: number
}

/** The chosen token, and the most likely ones at its place by falling log-probability. */
export interface ChosenLogprob extends TokenLogprob {
  readonly top: readonly TokenLogprob[]
}

/** Text as it comes: never half a character, never a part of a stop string. */
export interface GenerationPiece {
  /** Never empty. */
  readonly text: string
  /** The tokens taken since the last piece, those of the last one included. */
  readonly tokens: readonly number[]
  /** For the same tokens, when asked for. */
  readonly logprobs?: readonly ChosenLogprob[]
}

/**
 * `stop`: the model ended its answer, or a stop string came. `length`: `maxTokens` or the model's context is used up.
 * `cancelled`: the caller's signal fired, or the loop over the pieces was left.
 */
export type FinishReason = 'stop' | 'length' | 'cancelled'

export interface GenerationTimings {
  /** From the call of `generate` to the first token; `undefined` if there was none. */
  readonly timeToFirstTokenMs: number | undefined
  /** Tokens after the first, over the time after the first; `undefined` with fewer than two. Recoveries count. */
  readonly tokensPerSecond: number | undefined
  /**
   * What the stages computed for a token after the first, summed over the chain, mean, in milliseconds. What a token takes
   * beyond it went to links, queues and the ends. `undefined` with fewer than two tokens.
   */
  readonly computeMsPerToken: number | undefined
  readonly totalMs: number
}

export interface GenerationResult {
  /** The whole text, without the stop string. */
  readonly text: string
  /** The ids of the generated tokens, the end token included if the model gave one. */
  readonly tokens: readonly number[]
  readonly finishReason: FinishReason
  /** Tokens of the prompt; in a chat session the whole conversation before this answer. */
  readonly promptTokens: number
  readonly completionTokens: number
  readonly timings: GenerationTimings
  /** The chain at the end. */
  readonly chain: readonly ChainStage[]
  /** How many times lost stages were replaced. */
  readonly recoveries: number
  /** One per token, when asked for. */
  readonly logprobs?: readonly ChosenLogprob[]
}

/**
 * A generation under way. It starts at once; iterate it (once) for the pieces, or only await the result. Leaving the loop
 * early cancels it. If it fails, both the loop and `result` throw the same error.
 *
 * ```ts
 * const generation = client.generate('Tell me a story')
 * for await (const piece of generation) process.stdout.write(piece.text)
 * const { timings } = await generation.result
 * ```
 */
export interface Generation extends AsyncIterable<GenerationPiece> {
  readonly result: Promise<GenerationResult>
  /** Ends it as the abort signal would; resolves when every stage has freed its cache. Idempotent. */
  cancel(): Promise<void>
}

export interface SessionOptions {
  /** Put before the first message. @default none */
  system?: string
  /**
   * Room for the whole conversation, in tokens, which every node of the chain sets aside.
   *
   * @default 8192, the model's context, or what the nodes have left, whichever is least
   */
  maxContextTokens?: number
  signal?: AbortSignal
}

/**
 * A conversation whose past stays in the caches of its chain, so that a turn sends only what is new. One turn at a time. After
 * a turn that failed it is as it was before; the next one opens another chain where this one was lost for good.
 */
export interface ChatSession {
  /** The conversation so far. A cancelled answer is in it as far as it came. */
  readonly messages: readonly ChatMessage[]
  /** Tokens in the caches. */
  readonly tokens: number
  /** Room for the whole conversation, in tokens. */
  readonly maxContextTokens: number
  /** Sends a user's turn. @throws InvalidArgumentError while the turn before is under way */
  send(text: string, options?: GenerateOptions): Generation
  /** Frees the caches on every stage. Idempotent. */
  close(): Promise<void>
}

export interface ForwardOptions {
  /** Which rows of logits come back. @default 'all' */
  rows?: 'all' | 'last'
  signal?: AbortSignal
}

export interface ForwardResult {
  /** f32, `[rows, vocabSize]`, row-major. */
  readonly logits: Float32Array
  readonly rows: number
  readonly vocabSize: number
}

export interface NodeStatus {
  readonly peerId: PeerId
  /** Blocks `[start, end)`. */
  readonly start: number
  readonly end: number
  readonly state: NodeState
  readonly numerics: Numerics
  /** One decode step of the whole span, as the node announces it, in milliseconds. */
  readonly stepMs: number
  /** Whether it answered when the swarm was asked anew, within 3 s, or 9 s where it had to be connected first; undefined when it was not asked: `refresh: false`, or more nodes than are asked at once. */
  readonly hasAnswered?: boolean
  /** As this coordinator measured it, in milliseconds; undefined when it has no connection to the node. */
  readonly roundTripMs?: number
  /** Rows of KV cache: in all, and free by the last word of the node. */
  readonly kvTokens: number
  readonly freeKvTokens?: number
  /** Sessions on the node, by its last word. */
  readonly sessions?: number
  readonly addresses: readonly string[]
}

export interface SwarmStatus {
  readonly model: ModelId
  /** Blocks of the whole model. */
  readonly blocks: number
  /** By first block, then peer id. */
  readonly nodes: readonly NodeStatus[]
  /** What no serving node hosts that answers, ascending and merged; empty when the swarm is whole. */
  readonly uncoveredBlocks: readonly BlockRange[]
}

export interface StatusOptions {
  /** Ask the swarm anew before answering. @default true */
  refresh?: boolean
  signal?: AbortSignal
}

/** A client of one model's swarm. Several generations and sessions at once are fine. */
export interface SwarmClient {
  readonly model: ModelId
  readonly peerId: PeerId
  /**
   * Answers a prompt. A string is one user's message in the model's chat template (`raw: true`: the text as it is); messages
   * go through the template.
   */
  generate(prompt: string | readonly ChatMessage[], options?: GenerateOptions): Generation
  /** A conversation that keeps its caches between turns. */
  session(options?: SessionOptions): Promise<ChatSession>
  /** One pass over token ids, without sampling. @throws InvalidArgumentError on an id outside the vocabulary */
  forward(tokens: readonly number[], options?: ForwardOptions): Promise<ForwardResult>
  status(options?: StatusOptions): Promise<SwarmStatus>
  /** Cancels what is under way, frees every cache, stops the worker and the network. Idempotent. */
  close(): Promise<void>
}
