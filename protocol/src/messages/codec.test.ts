import assert from 'node:assert/strict'
import fc from 'fast-check'
import { pack } from 'msgpackr'
import { InvalidArgumentError, MalformedError, TimeoutError, WireError, WireErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { arbControlRequest, arbControlResponse, arbDirectoryRequest, arbDirectoryResponse, arbLinkMessage, arbStep } from './arbitraries.ts'
import { checkStepBody, decodeControlRequest, decodeControlResponse, decodeLink, encodeControl, encodeLink, stepRows } from './codec.ts'
import type { RefusedResponse } from './control.ts'
import { decodeDirectoryRequest, decodeDirectoryResponse, encodeDirectory } from './directory.ts'
import type { StepMessage } from './link.ts'
import { unpackMessage } from './msgpack.ts'
import { errorFromRefusal, toRefusal, wireErrorOf } from './refusal.ts'

const decoders: ReadonlyArray<(bytes: Uint8Array) => unknown> = [
  decodeControlRequest,
  decodeControlResponse,
  decodeDirectoryRequest,
  decodeDirectoryResponse,
  (bytes) => decodeLink(bytes),
  (bytes) => decodeLink(bytes, 'results')
]

/** Runs a decoder on anything; the only errors allowed out are those of the protocol. */
function decodeOrRefuse(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  try {
    decode(bytes)
  } catch (error) {
    const unknownType = error instanceof WireError && error.code === WireErrorCode.Unsupported
    if (!(error instanceof MalformedError) && !unknownType) throw error
  }
}

const step: StepMessage = {
  type: 'step',
  from: 3,
  to: 5,
  position: 10,
  after: 2,
  runs: [
    { seq: 3, rows: 2, want: 'none' },
    { seq: 5, rows: 4, want: 'last' }
  ],
  computeUs: 7
}

describe('message codec', () => {
  it('brings every message back as it was', () => {
    fc.assert(fc.property(arbControlRequest, (message) => assert.deepEqual(decodeControlRequest(encodeControl(message)), message)))
    fc.assert(fc.property(arbControlResponse, (message) => assert.deepEqual(decodeControlResponse(encodeControl(message)), message)))
    fc.assert(fc.property(arbDirectoryRequest, (message) => assert.deepEqual(decodeDirectoryRequest(encodeDirectory(message)), message)))
    fc.assert(fc.property(arbDirectoryResponse, (message) => assert.deepEqual(decodeDirectoryResponse(encodeDirectory(message)), message)))
    fc.assert(fc.property(arbLinkMessage(), (message) => assert.deepEqual(decodeLink(encodeLink(message)), message)))
    fc.assert(fc.property(arbLinkMessage('results'), (message) => assert.deepEqual(decodeLink(encodeLink(message), 'results'), message)))
  })

  it('survives arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(...decoders), (bytes, decode) => {
        decodeOrRefuse(decode, bytes)
      }),
      { numRuns: 2_000 }
    )
  })

  it('survives changed, cut and lengthened messages', () => {
    const valid = fc.oneof(
      arbControlRequest.map(encodeControl),
      arbControlResponse.map(encodeControl),
      arbLinkMessage().map(encodeLink),
      arbDirectoryRequest.map(encodeDirectory),
      arbDirectoryResponse.map(encodeDirectory)
    )
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(valid, changes, fc.nat(), fc.constantFrom(...decoders), (bytes, edits, end, decode) => {
        const changed = Uint8Array.from(bytes)
        for (const [at, value] of edits) changed[at % changed.length] = value
        decodeOrRefuse(decode, changed)
        const length = end % bytes.length
        assert.throws(() => decode(bytes.slice(0, length)), MalformedError)
        assert.throws(() => decode(Uint8Array.of(...bytes, 0)), MalformedError)
      }),
      { numRuns: 2_000 }
    )
  })

  it('survives any structure of values', () => {
    const value = fc.object({
      maxDepth: 3,
      withNullPrototype: false,
      key: fc.oneof(fc.string(), fc.constantFrom('type', 'id', 'held', 'load'))
    })
    fc.assert(
      fc.property(
        value,
        fc.constantFrom('open', 'state', 'refused', 'held', 'hello'),
        fc.constantFrom(...decoders),
        (object, type, decode) => {
          decodeOrRefuse(decode, new Uint8Array(pack({ ...object, type })))
        }
      )
    )
  })

  it('ignores unknown fields, in maps and behind arrays', () => {
    assert.deepEqual(decodeControlRequest(pack({ type: 'probe', id: 1, later: { a: [1] } })), { type: 'probe', id: 1 })
    assert.deepEqual(decodeLink(pack([2, 1, 2, 3, 'later'])), { type: 'ack', seq: 1, steps: 2, bytes: 3 })
  })

  it('says that a type is unknown, and not malformed', () => {
    for (const bytes of [pack({ type: 'dance', id: 1 }), pack({ type: 'constructor' })]) {
      assert.throws(
        () => decodeControlRequest(bytes),
        (error) => error instanceof WireError && error.code === WireErrorCode.Unsupported
      )
    }
    assert.throws(() => decodeLink(pack([77])), { code: WireErrorCode.Unsupported })
  })

  it('refuses peer ids that are none, so that no id that libp2p cannot read comes from a peer', () => {
    const model = `tiny@${'0'.repeat(32)}`
    const whole = testIdentity('whole').peerId
    const fetch = (peer: string): unknown => decodeDirectoryRequest(pack({ type: 'fetch', id: 1, model, peers: [peer] }))
    fetch(whole)
    for (const peer of [whole.slice(0, -1), whole.slice(1), '12345678', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N']) {
      assert.throws(() => fetch(peer), MalformedError)
    }
  })

  it('refuses headers that claim more than there is, without allocating for them', () => {
    const before = process.memoryUsage().heapUsed
    for (const token of [0xdd, 0xdf, 0xc6, 0xdb]) {
      for (const decode of decoders) {
        assert.throws(() => decode(Uint8Array.of(token, 0xff, 0xff, 0xff, 0xff)), MalformedError)
        assert.throws(() => decode(Uint8Array.of(0x93, 0xdd, 0, 1, 0, 0, token, 0x7f, 0xff, 0xff, 0xff)), MalformedError)
      }
    }
    assert.ok(process.memoryUsage().heapUsed - before < 20_000_000)
  })

  it('refuses deep nesting, too many values, extension types and keys that are no text', () => {
    assert.throws(() => unpackMessage(new Uint8Array(10_000).fill(0x91), 65_536), /nests deeper/)
    assert.throws(() => unpackMessage(Uint8Array.of(0xdc, 0x50, 0, ...new Uint8Array(0x5000)), 65_536), /more than/)
    // A record definition of msgpackr, a timestamp, and an undefined.
    for (const bytes of [[0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1], [0xd6, 0xff, 0, 0, 0, 0], [0xd4, 0, 0], [0xc1]]) {
      assert.throws(() => unpackMessage(Uint8Array.from(bytes), 64), /does not use/)
    }
    assert.throws(() => unpackMessage(Uint8Array.of(0x81, 1, 1), 64), /no short text/)
    assert.throws(() => unpackMessage(new Uint8Array(65), 64), /exceeds its limit/)
  })

  it('lets no key reach a prototype', () => {
    const evil = Uint8Array.of(0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa4, ...Buffer.from('isMe'), 0xc3)
    unpackMessage(evil, 64)
    assert.equal(({} as Record<string, unknown>)['isMe'], undefined)
    const refused = { type: 'refused', id: 1, code: WireErrorCode.Busy, message: '', detail: JSON.parse('{"__proto__": 1}') as object }
    assert.throws(() => decodeControlResponse(pack(refused)), MalformedError)
  })

  it('keeps integers beyond 32 bits exact in every form of the wire', () => {
    const big = 2 ** 53 - 1
    const forms = [[0xcf, 0, 0x1f, 255, 255, 255, 255, 255, 255], [...new Uint8Array(pack(big))]]
    for (const form of forms) {
      const message = decodeLink(Uint8Array.of(0x94, 2, ...form, 1, 1))
      assert.deepEqual(message, { type: 'ack', seq: big, steps: 1, bytes: 1 })
    }
    assert.throws(() => decodeLink(Uint8Array.of(0x94, 2, 0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0, 1, 1)), MalformedError)
    assert.throws(() => decodeLink(pack([2, 1.5, 1, 1])), MalformedError)
    assert.throws(() => decodeLink(pack([2, -1, 1, 1])), MalformedError)
  })

  it('refuses steps whose parts do not fit together', () => {
    assert.deepEqual(decodeLink(encodeLink(step)), step)
    const wrong: Array<Partial<StepMessage>> = [
      { from: 6 },
      { from: 0 },
      { to: 4 },
      { position: 0 },
      { after: 0 },
      { after: 6 },
      { position: limits.maxContextTokens - 5 },
      { runs: [...step.runs].reverse() },
      { runs: [{ seq: 2, rows: 1, want: 'all' }] },
      { runs: [{ seq: 3, rows: 0, want: 'all' }] },
      {
        runs: [
          { seq: 3, rows: limits.maxStepRows, want: 'all' },
          { seq: 4, rows: 1, want: 'all' }
        ]
      }
    ]
    for (const change of wrong) assert.throws(() => decodeLink(encodeLink({ ...step, ...change })), MalformedError, JSON.stringify(change))
    assert.throws(() => decodeLink(pack([1, 1, 1, 0, 0, 0, [1, 1]])), MalformedError)
    assert.throws(() => decodeLink(pack([1, 1, 1, 0, 0, 0, [1, 1, 3]])), MalformedError)
    assert.throws(() => decodeLink(pack([1, 1, 1, 0, 0])), MalformedError)
  })

  it('refuses row maps that do not rise or pass their rows', () => {
    const held = (rows: number, lastSeq: number, tail: number[][]): Uint8Array =>
      pack({ type: 'held', term: 1, held: { rows, lastSeq, tail }, steps: 1, bytes: 1 })
    decodeLink(
      held(4, 2, [
        [0, 1],
        [3, 2]
      ])
    )
    for (const bad of [
      held(4, 2, []),
      held(0, 2, [[0, 1]]),
      held(4, 2, [
        [0, 1],
        [4, 2]
      ]),
      held(4, 2, [[0, 3]]),
      held(4, 2, [
        [2, 1],
        [1, 2]
      ]),
      held(4, 2, [
        [0, 2],
        [1, 2]
      ])
    ]) {
      assert.throws(() => decodeLink(bad), MalformedError)
    }
  })

  it('refuses a digest that is no power of two of words', () => {
    for (const bytes of [0, 3, 12]) {
      const request = { type: 'exchange' as const, id: 1, model: `m@${'0'.repeat(32)}` as never, salt: 1, buckets: new Uint8Array(bytes) }
      assert.throws(() => decodeDirectoryRequest(encodeDirectory(request)), MalformedError)
    }
  })

  it('compares a body with the rows that its step names', () => {
    fc.assert(
      fc.property(arbStep(), fc.integer({ min: 1, max: 4096 }), (message, rowBytes) => {
        const bodyBytes = stepRows(message) * rowBytes
        checkStepBody(message, bodyBytes, rowBytes)
        assert.throws(() => checkStepBody(message, bodyBytes + 1, rowBytes), MalformedError)
      })
    )
  })

  it('fits the largest messages into their frames', () => {
    const runs = Array.from({ length: limits.maxStepRuns }, (_, i) => ({ seq: 2 ** 40 + i, rows: 1, want: 'all' as const }))
    const largest: StepMessage = { ...step, from: 2 ** 40, to: 2 ** 40 + runs.length, after: 2 ** 39, runs }
    assert.deepEqual(decodeLink(encodeLink(largest)), largest)
  })

  it('refuses to send what no frame can hold', () => {
    const record = new Uint8Array(limits.maxControlBytes)
    const link = { term: 1, to: { kind: 'stage' as const, peer: 'QmStageStage' as never, record } }
    assert.throws(() => encodeControl({ type: 'reroute', id: 1, side: 'successor', link }), { code: WireErrorCode.TooLarge })
  })
})

describe('refusals', () => {
  const roundTrip = (error: unknown): WireError => {
    const decoded = decodeControlResponse(encodeControl(toRefusal(error, 7))) as RefusedResponse
    assert.equal(decoded.id, 7)
    return errorFromRefusal(decoded)
  }

  it('carry code, text and detail of an error that may cross', () => {
    const error = roundTrip(new WireError(WireErrorCode.KvFull, 'no room', { detail: { freeTokens: 5 } }))
    assert.deepEqual([error.code, error.message, error.detail], [WireErrorCode.KvFull, 'no room', { freeTokens: 5 }])
    assert.ok(roundTrip(new MalformedError('bad')) instanceof MalformedError)
  })

  it('say nothing of an inner failure', () => {
    for (const inner of [new Error('/home/me/secret'), new TimeoutError('x'), new InvalidArgumentError('y'), 'text', undefined]) {
      const error = roundTrip(inner)
      assert.equal(error.code, WireErrorCode.Internal)
      assert.equal(error.message, 'the peer failed; its own log says why')
      assert.equal(wireErrorOf(inner).cause, inner)
    }
  })

  it('are cut to what a message may hold', () => {
    const detail = {
      'bad key': 1,
      long: 'x'.repeat(999),
      nan: NaN,
      ...Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, i]))
    }
    const error = roundTrip(new WireError(WireErrorCode.Busy, `${'x'.repeat(limits.maxMessageChars - 1)}\u{1F600}`, { detail }))
    assert.equal(error.message, 'x'.repeat(limits.maxMessageChars - 1))
    assert.equal(Object.keys(error.detail).length, 32)
    assert.equal((error.detail['long'] as string).length, 256)
  })

  it('with an unknown code count as internal', () => {
    const refused = { type: 'refused', id: 1, code: 'ERR_SKEIN_LATER', message: 'm', detail: {} }
    assert.equal((decodeControlResponse(pack(refused)) as RefusedResponse).code, WireErrorCode.Internal)
  })
})
