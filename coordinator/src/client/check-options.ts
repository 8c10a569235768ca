/**
 * Checks of what callers hand over. Not all of them are compiled with types, and what is wrong is to be said by its name, here,
 * and not by whatever fails on it later.
 *
 * @packageDocumentation
 */
import { didYouMean, InvalidArgumentError, limits, type Logger } from '@skein/protocol'
import type { ChatMessage } from '../text/chat-message.ts'
import { samplingLimits } from '../text/sampling/options.ts'
import {
  connectChoices,
  type ConnectOptions,
  type ForwardOptions,
  generateLimits,
  type GenerateOptions,
  type SessionOptions,
  type StatusOptions
} from './types.ts'

interface Rule {
  readonly fits: (value: unknown) => boolean
  readonly expected: string
}

/** What timers take: 24 days. */
const maxTimeoutMs = 2 ** 31 - 1
const maxThreads = 1024

const boolean: Rule = { fits: (value) => typeof value === 'boolean', expected: 'true or false' }
const callback: Rule = { fits: (value) => typeof value === 'function', expected: 'a function' }
const text = (what: string): Rule => ({ fits: (value) => typeof value === 'string' && value !== '', expected: what })
const oneOf = (choices: readonly string[]): Rule => ({
  fits: (value) => typeof value === 'string' && choices.includes(value),
  expected: `one of ${choices.join(', ')}`
})
const integer = (least: number, most = Number.MAX_SAFE_INTEGER): Rule => ({
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  expected: most === Number.MAX_SAFE_INTEGER ? `an integer of at least ${least}` : `an integer from ${least} to ${most}`
})
const milliseconds: Rule = {
  fits: (value) => typeof value === 'number' && value >= 0 && value <= maxTimeoutMs,
  expected: `a number of milliseconds from 0 to ${maxTimeoutMs}`
}

/** Looked at by those whose options they are. */
const elsewhere: Rule = { fits: () => true, expected: '' }
const abortSignal: Rule = { fits: (value) => value instanceof AbortSignal, expected: 'an AbortSignal' }

type Rules<Options> = Readonly<Record<keyof Options, Rule>>

const loggerMethods = ['error', 'warn', 'info', 'debug', 'trace', 'child'] as const satisfies ReadonlyArray<keyof Logger>

const required = ['model', 'bootstrap'] as const satisfies ReadonlyArray<keyof ConnectOptions>

const connectRules: Rules<ConnectOptions> = {
  model: text('the folder of a checkpoint'),
  bootstrap: {
    fits: (value) => Array.isArray(value) && value.length > 0 && value.every((address) => typeof address === 'string'),
    expected: 'a list of addresses with at least one, such as the one that a node prints when it is ready'
  },
  identity: text('the path of a file'),
  lan: boolean,
  cacheDir: text('the path of a folder'),
  transport: oneOf(connectChoices.transport),
  encoding: oneOf(connectChoices.encoding),
  exact: boolean,
  prefillChunkTokens: integer(1, limits.maxStepRows),
  threads: integer(1, maxThreads),
  headDtype: oneOf(connectChoices.headDtype),
  link: text('JSON text, or the path of a file'),
  logger: {
    fits: (value) => isObject(value) && loggerMethods.every((name) => typeof value[name] === 'function'),
    expected: `a logger, with the methods ${loggerMethods.join(', ')}`
  },
  onProgress: callback,
  connectTimeoutMs: milliseconds,
  coverageTimeoutMs: milliseconds,
  signal: abortSignal
}

const generateRules: Rules<GenerateOptions> = {
  temperature: elsewhere,
  topK: elsewhere,
  topP: elsewhere,
  minP: elsewhere,
  repetitionPenalty: elsewhere,
  presencePenalty: elsewhere,
  frequencyPenalty: elsewhere,
  logitBias: elsewhere,
  seed: elsewhere,
  maxTokens: integer(1),
  stop: elsewhere,
  signal: abortSignal,
  raw: boolean,
  logprobs: elsewhere,
  tools: { fits: (value) => Array.isArray(value), expected: 'a list' },
  onEvent: callback
}

const sessionRules: Rules<SessionOptions> = {
  system: { fits: (value) => typeof value === 'string', expected: 'a text' },
  maxContextTokens: integer(2),
  signal: abortSignal
}

const forwardRules: Rules<ForwardOptions> = { rows: oneOf(['all', 'last']), signal: abortSignal }

const statusRules: Rules<StatusOptions> = { refresh: boolean, signal: abortSignal }

/** @throws InvalidArgumentError that names the option, its value and what is allowed */
export function requireConnectOptions(options: unknown): asserts options is ConnectOptions {
  if (!isObject(options)) throw wrong('the argument of connect', options, 'an object with model and bootstrap')
  requireFitting('connect', options, connectRules, required)
}

/** @throws InvalidArgumentError as {@link requireConnectOptions}; the options of sampling are only looked at by name */
export function requireGenerateOptions(options: unknown): asserts options is GenerateOptions {
  requireOptions('generate', options, generateRules)
}

/** @throws InvalidArgumentError as {@link requireConnectOptions} */
export function requireSessionOptions(options: unknown): asserts options is SessionOptions {
  requireOptions('session', options, sessionRules)
}

/**
 * @throws InvalidArgumentError as {@link requireConnectOptions}, and when what is to be passed through is no list of 1 to
 * `contextTokens` ids of a vocabulary of `vocabSize` tokens
 */
export function requireForward(
  tokens: unknown,
  options: unknown,
  { vocabSize, contextTokens }: { readonly vocabSize: number; readonly contextTokens: number }
): asserts options is ForwardOptions {
  if (!Array.isArray(tokens)) throw wrong('the argument of forward', tokens, 'a list of token ids')
  const token = integer(0, vocabSize - 1)
  // Not by find, which says nothing of an undefined id.
  const at = (tokens as readonly unknown[]).findIndex((one) => !token.fits(one))
  if (at !== -1) throw new InvalidArgumentError(`${String(tokens[at])} is no token of this model: its ids are 0 to ${vocabSize - 1}`)
  if (tokens.length === 0 || tokens.length > contextTokens) {
    throw new InvalidArgumentError(`${tokens.length} tokens were given: 1 to ${contextTokens} are possible`)
  }
  requireOptions('forward', options, forwardRules)
}

/** @throws InvalidArgumentError as {@link requireConnectOptions} */
export function requireStatusOptions(options: unknown): asserts options is StatusOptions {
  requireOptions('status', options, statusRules)
}

function requireOptions(call: string, options: unknown, rules: Readonly<Record<string, Rule>>): void {
  if (!isObject(options)) throw wrong(`the options of ${call}`, options, 'an object')
  requireFitting(call, options, rules, [])
}

/** A required option that is misspelt is missing too: its name is told first. */
function requireFitting(
  call: string,
  options: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, Rule>>,
  required: readonly string[]
): void {
  const known = Object.keys(rules)
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined) {
    const hint = didYouMean(unknown, known) || `; there are ${known.join(', ')}`
    throw new InvalidArgumentError(`${call} has no option ${unknown}${hint}`)
  }
  for (const [name, rule] of Object.entries(rules)) {
    const value = options[name]
    // No signal is often written as null.
    const isMissing = value === undefined || (value === null && rule === abortSignal)
    if (!(isMissing && !required.includes(name)) && !rule.fits(value)) throw wrong(name, value, rule.expected)
  }
}

/** @throws InvalidArgumentError when there are too many, or one is too long or empty */
export function checkedStops(stop: GenerateOptions['stop']): readonly string[] {
  const stops = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop
  const { maxStopStrings, maxStopChars } = generateLimits
  if (!Array.isArray(stops) || !stops.every((one) => typeof one === 'string')) throw wrong('stop', stop, 'a text or a list of texts')
  if (stops.length > maxStopStrings)
    throw new InvalidArgumentError(`${stops.length} stop strings were given: at most ${maxStopStrings} are possible`)
  const wrongOne = stops.find((one) => one.length < 1 || one.length > maxStopChars)
  if (wrongOne !== undefined)
    throw new InvalidArgumentError(`a stop string has ${wrongOne.length} characters: 1 to ${maxStopChars} are possible`)
  return stops
}

/** How many of the most likely tokens to name beside each, or undefined for no log-probabilities. @throws InvalidArgumentError */
export function checkedLogprobs(logprobs: GenerateOptions['logprobs']): number | undefined {
  if (logprobs === undefined || logprobs === false) return undefined
  const count = logprobs === true ? 0 : logprobs
  const most = samplingLimits.maxTopLogprobs
  if (!(Number.isSafeInteger(count) && count >= 0 && count <= most)) throw wrong('logprobs', logprobs, `1 to ${most}, or true`)
  return count
}

/** @throws InvalidArgumentError when it is neither a text nor a list of messages */
export function requirePrompt(prompt: unknown): asserts prompt is string | readonly ChatMessage[] {
  if (typeof prompt === 'string') return
  if (!Array.isArray(prompt)) throw wrong('the prompt', prompt, 'a text or a list of messages')
  for (const [index, message] of (prompt as readonly unknown[]).entries()) {
    if (!isObject(message)) throw wrong(`message ${index}`, message, 'an object with role and content')
    const { role, content } = message
    if (typeof role !== 'string') throw wrong(`the role of message ${index}`, role, 'a text')
    if (typeof content !== 'string' && content !== null && !Array.isArray(content)) {
      throw wrong(`the content of message ${index}`, content, 'a text, a list of parts, or null')
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function wrong(name: string, value: unknown, expected: string): InvalidArgumentError {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : isObject(value) ? describeObject(value) : String(value)
  return new InvalidArgumentError(`${name} is ${shown}: expected ${expected}`)
}

function describeObject(value: object): string {
  if (!Array.isArray(value)) return 'an object'
  return value.length === 0 ? 'an empty list' : 'a list'
}
