/**
 * Checks of what callers hand over. Not all of them are compiled with types, and what is wrong is to be said by its name, here,
 * and not by whatever fails on it later.
 *
 * @packageDocumentation
 */
import { InvalidArgumentError, limits } from '@skein/protocol'
import type { ChatMessage } from '../text/chat-message.ts'
import { connectChoices, type ConnectOptions } from './types.ts'

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
const integer = (least: number, most: number): Rule => ({
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  expected: `an integer from ${least} to ${most}`
})
const milliseconds: Rule = {
  fits: (value) => typeof value === 'number' && value >= 0 && value <= maxTimeoutMs,
  expected: `a number of milliseconds from 0 to ${maxTimeoutMs}`
}

const abortSignal: Rule = { fits: (value) => value instanceof AbortSignal, expected: 'an AbortSignal' }

const required = ['model', 'bootstrap'] as const satisfies ReadonlyArray<keyof ConnectOptions>

const connectRules: Readonly<Record<keyof ConnectOptions, Rule>> = {
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
  link: text('JSON text, or the path of a file'),
  logger: { fits: isObject, expected: 'a logger' },
  onProgress: callback,
  connectTimeoutMs: milliseconds,
  coverageTimeoutMs: milliseconds,
  signal: abortSignal
}

/** @throws InvalidArgumentError that names the option, its value and what is allowed */
export function requireConnectOptions(options: unknown): asserts options is ConnectOptions {
  if (!isObject(options)) throw wrong('the argument of connect', options, 'an object with model and bootstrap')
  for (const [name, rule] of Object.entries(connectRules)) {
    const value = options[name]
    const mayBeMissing = !required.some((one) => one === name)
    if (!(value === undefined && mayBeMissing) && !rule.fits(value)) throw wrong(name, value, rule.expected)
  }
}

/** @throws InvalidArgumentError for what is no signal, such as its controller */
export function requireSignal(signal: unknown): void {
  if (signal !== undefined && signal !== null && !abortSignal.fits(signal)) throw wrong('signal', signal, abortSignal.expected)
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
