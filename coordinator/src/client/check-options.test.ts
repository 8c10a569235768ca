import assert from 'node:assert/strict'
import { silentLogger } from '@skein/protocol'
import { requireConnectOptions, requirePrompt, requireSignal } from './check-options.ts'
import { connect } from './connect.node.ts'
import { connectDefaults, type ConnectOptions } from './types.ts'

const address = `/ip4/192.0.2.1/tcp/1/p2p/12D3KooW${'A'.repeat(44)}`
const usage = (message: RegExp) => ({ code: 'ERR_SKEIN_INVALID_ARGUMENT', message })

describe('requireConnectOptions', () => {
  it('takes what the types allow', () => {
    requireConnectOptions({ model: 'm', bootstrap: [address] })
    requireConnectOptions({ model: 'm', bootstrap: [address], ...connectDefaults, lan: undefined, signal: undefined })
    const all: Required<ConnectOptions> = {
      ...{ model: 'm', bootstrap: [address], identity: 'key', lan: true, cacheDir: 'c', transport: 'star', encoding: 'f32', exact: true },
      ...{ prefillChunkTokens: 2048, threads: 1, link: '{}', logger: silentLogger, onProgress: () => {}, connectTimeoutMs: 0.5 },
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
      [{ encoding: 'f8' }, /^encoding is "f8": expected one of f32, f16, bf16$/],
      [{ encoding: 'raw' }, /^encoding is "raw"/],
      [{ transport: 'mesh' }, /^transport is "mesh": expected one of ring, star$/],
      [{ coverageTimeoutMs: -1 }, /^coverageTimeoutMs is -1: expected a number of milliseconds from 0/],
      [{ connectTimeoutMs: NaN }, /^connectTimeoutMs is NaN/],
      [{ connectTimeoutMs: Infinity }, /^connectTimeoutMs is Infinity/],
      [{ prefillChunkTokens: 0 }, /^prefillChunkTokens is 0: expected an integer from 1 to 2048$/],
      [{ threads: 1.5 }, /^threads is 1.5/],
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

describe('requireSignal', () => {
  it('takes a signal or none, and not the controller in its place', () => {
    for (const right of [undefined, null, AbortSignal.abort(), new AbortController().signal]) requireSignal(right)
    for (const not of [new AbortController(), {}, 'now']) {
      assert.throws(() => requireSignal(not), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: /^signal is .*: expected an AbortSignal$/ })
    }
  })
})
