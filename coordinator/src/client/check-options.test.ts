import assert from 'node:assert/strict'
import { silentLogger } from '@skein/protocol'
import {
  checkedLogprobs,
  checkedStops,
  requireConnectOptions,
  requireForward,
  requireGenerateOptions,
  requirePrompt,
  requireSessionOptions,
  requireStatusOptions
} from './check-options.ts'
import { connect } from './connect.node.ts'
import { connectDefaults, type ConnectOptions, type GenerateOptions } from './types.ts'

const address = `/ip4/192.0.2.1/tcp/1/p2p/12D3KooW${'A'.repeat(44)}`
const usage = (message: RegExp) => ({ code: 'ERR_SKEIN_INVALID_ARGUMENT', message })

describe('requireConnectOptions', () => {
  it('takes what the types allow', () => {
    requireConnectOptions({ model: 'm', bootstrap: [address] })
    requireConnectOptions({ model: 'm', bootstrap: [address], ...connectDefaults, lan: undefined, signal: undefined })
    const all: Required<ConnectOptions> = {
      ...{ model: 'm', bootstrap: [address], identity: 'key', lan: true, cacheDir: 'c', transport: 'star', encoding: 'f32', exact: true },
      ...{
        prefillChunkTokens: 2048,
        threads: 1,
        headDtype: 'q8',
        link: '{}',
        logger: silentLogger,
        onProgress: () => {},
        connectTimeoutMs: 0.5
      },
      ...{ coverageTimeoutMs: 0, signal: new AbortController().signal }
    }
    requireConnectOptions(all)
  })

  it('names the option, its value and what is allowed', () => {
    const cases: Array<[change: Record<string, unknown>, message: RegExp]> = [
      [{ model: undefined }, /^model is undefined: expected the folder of a checkpoint$/],
      [{ model: '' }, /^model is "": /],
      [{ bootstrap: undefined }, /^bootstrap is undefined: expected a list of addresses/],
      [{ bootstrap: [] }, /^bootstrap is an empty list: /],
      [{ bootstrap: address }, /^bootstrap is "\/ip4.*: expected a list/],
      [{ bootstrap: [5] }, /^bootstrap is a list: /],
      [{ logger: {} }, /^logger is an object: expected a logger, with the methods error, warn/],
      [{ logger: { ...silentLogger, child: undefined } }, /^logger is an object/],
      [{ encoding: 'f8' }, /^encoding is "f8": expected one of f32, f16, bf16$/],
      [{ encoding: 'raw' }, /^encoding is "raw"/],
      [{ transport: 'mesh' }, /^transport is "mesh": expected one of ring, star$/],
      [{ coverageTimeoutMs: -1 }, /^coverageTimeoutMs is -1: expected a number of milliseconds from 0/],
      [{ connectTimeoutMs: NaN }, /^connectTimeoutMs is NaN/],
      [{ connectTimeoutMs: Infinity }, /^connectTimeoutMs is Infinity/],
      [{ prefillChunkTokens: 0 }, /^prefillChunkTokens is 0: expected an integer from 1 to 2048$/],
      [{ threads: 1.5 }, /^threads is 1.5/],
      [{ headDtype: 'q4' }, /^headDtype is "q4": expected one of f32, q8$/],
      [{ exact: 'yes' }, /^exact is "yes": expected true or false$/],
      [{ lan: 1 }, /^lan is 1/],
      [{ identity: null }, /^identity is null/],
      [{ onProgress: {} }, /^onProgress is an object: expected a function$/],
      [{ signal: new AbortController() }, /^signal is an object: expected an AbortSignal$/]
    ]
    for (const [change, message] of cases) {
      assert.throws(() => requireConnectOptions({ model: 'm', bootstrap: [address], ...change }), usage(message))
    }
    for (const nothing of [undefined, null, 'm']) assert.throws(() => requireConnectOptions(nothing), usage(/^the argument of connect is/))
  })

  it('is what connect asks first', async () => {
    await assert.rejects(connect({} as ConnectOptions), usage(/^model is undefined/))
    await assert.rejects(connect(undefined as unknown as ConnectOptions), usage(/^the argument of connect is undefined/))
  })
})

describe('requirePrompt', () => {
  it('takes texts and messages, and names what is neither', () => {
    for (const prompt of ['', 'Hello', [{ role: 'user', content: [] }], [{ role: 'assistant', content: null, tool_calls: [] }]]) {
      requirePrompt(prompt)
    }
    const cases: Array<[prompt: unknown, message: RegExp]> = [
      [undefined, /^the prompt is undefined: expected a text or a list of messages$/],
      [{ role: 'user', content: 'Hello' }, /^the prompt is an object/],
      [['Hello'], /^message 0 is "Hello": expected an object with role and content$/],
      [[{ content: 'Hello' }], /^the role of message 0 is undefined/],
      [[{ role: 'user' }], /^the content of message 0 is undefined: expected a text, a list of parts, or null$/]
    ]
    for (const [prompt, message] of cases) assert.throws(() => requirePrompt(prompt), usage(message))
  })
})

describe('options of calls', () => {
  const generate = (options: unknown): void => requireGenerateOptions(options)
  const session = (options: unknown): void => requireSessionOptions(options)
  const status = (options: unknown): void => requireStatusOptions(options)

  it('are taken when the types allow them', () => {
    const all: Required<GenerateOptions> = {
      ...{
        temperature: 1,
        topK: 1,
        topP: 1,
        minP: 0,
        repetitionPenalty: 1,
        presencePenalty: 0,
        frequencyPenalty: 0,
        logitBias: {},
        seed: 1
      },
      ...{ maxTokens: 1, stop: 'x', signal: AbortSignal.abort(), raw: true, logprobs: 3, tools: [], onEvent: () => {} }
    }
    for (const options of [{}, all, { signal: null, maxTokens: undefined }]) generate(options)
    for (const options of [{}, { system: '', maxContextTokens: 2, signal: new AbortController().signal }]) session(options)
    for (const options of [{}, { refresh: false }]) status(options)
  })

  it('are refused by name when there is none such, with the one that was meant', () => {
    const cases: Array<[check: () => void, message: RegExp]> = [
      [() => generate({ maxToken: 3 }), /^generate has no option maxToken \(did you mean maxTokens\?\)$/],
      [() => generate({ temprature: undefined }), /^generate has no option temprature \(did you mean temperature\?\)$/],
      [() => generate({ constructor: 1 }), /^generate has no option constructor; there are temperature, topK/],
      [() => session({ sytem: 'x' }), /^session has no option sytem \(did you mean system\?\)$/],
      [() => status({ fresh: true }), /^status has no option fresh \(did you mean refresh\?\)$/],
      [() => requireConnectOptions({ model: 'm', bootstrap: [address], bootstraps: 1 }), /^connect has no option bootstraps \(did/],
      [() => requireConnectOptions({ modl: 'm', bootstrap: [address] }), /^connect has no option modl \(did you mean model\?\)$/]
    ]
    for (const [check, message] of cases) assert.throws(check, usage(message))
  })

  it('are refused with their value and what is allowed', () => {
    const cases: Array<[check: () => void, message: RegExp]> = [
      [() => generate(null), /^the options of generate is null: expected an object$/],
      [() => generate({ maxTokens: 0 }), /^maxTokens is 0: expected an integer of at least 1$/],
      [() => generate({ maxTokens: '3' }), /^maxTokens is "3"/],
      [() => generate({ raw: 'yes' }), /^raw is "yes": expected true or false$/],
      [() => generate({ tools: {} }), /^tools is an object: expected a list$/],
      [() => generate({ onEvent: 1 }), /^onEvent is 1: expected a function$/],
      [() => session({ maxContextTokens: 1 }), /^maxContextTokens is 1: expected an integer of at least 2$/],
      [() => session({ system: 5 }), /^system is 5: expected a text$/],
      [() => checkedStops([5] as unknown as string[]), /^stop is a list: expected a text or a list of texts$/],
      [() => checkedStops(''), /^a stop string has 0 characters/],
      [() => checkedLogprobs(21), /^logprobs is 21: expected 1 to 20, or true$/]
    ]
    for (const not of [new AbortController(), {}, 'now']) {
      for (const check of [generate, session, status]) {
        cases.push([() => check({ signal: not }), /^signal is .*: expected an AbortSignal$/])
      }
    }
    for (const [check, message] of cases) assert.throws(check, usage(message))
  })
})

describe('requireForward', () => {
  const forward = (tokens: unknown, options: unknown = {}): void => requireForward(tokens, options, { vocabSize: 10, contextTokens: 3 })

  it('takes ids of the vocabulary, as many as the context has', () => {
    forward([0])
    forward([9, 0, 9], { rows: 'last', signal: undefined })
    forward([1], { rows: 'all', signal: null })
  })

  it('says what else it was given', () => {
    const cases: Array<[tokens: unknown, options: unknown, message: RegExp]> = [
      ['abc', {}, /^the argument of forward is "abc": expected a list of token ids$/],
      [undefined, {}, /^the argument of forward is undefined/],
      [Uint8Array.of(1), {}, /^the argument of forward is an object/],
      [[1, 10], {}, /^10 is no token of this model: its ids are 0 to 9$/],
      [[undefined], {}, /^undefined is no token/],
      [['1'], {}, /^1 is no token/],
      [[], {}, /^0 tokens were given: 1 to 3 are possible$/],
      [[1, 1, 1, 1], {}, /^4 tokens were given/],
      [[1], { rows: 'first' }, /^rows is "first": expected one of all, last$/],
      [[1], { row: 'last' }, /^forward has no option row \(did you mean rows\?\)$/],
      [[1], null, /^the options of forward is null/]
    ]
    for (const [tokens, options, message] of cases) assert.throws(() => forward(tokens, options), usage(message))
  })
})
