import assert from 'node:assert/strict'
import { MessageChannel } from 'node:worker_threads'
import fc from 'fast-check'
import type { TurnEntry, TurnResult } from '../span-runtime.ts'
import { headCodecs } from './head-mail.ts'
import { MailLine, makeMailMemory } from './mailbox.ts'
import type { PaperCodec } from './mailbox.ts'
import type { HeadRequest, Reply, SpanAnswer, SpanRequest } from './messages.ts'
import { spanCodecs } from './span-mail.ts'

/** Both ends of a line on one thread, which counts what went as a message. */
class Line<T> {
  messages = 0
  readonly #channel = new MessageChannel()
  readonly #sender: MailLine<T>
  readonly #receiver: MailLine<T>

  constructor(codec: PaperCodec<T>) {
    const memory = makeMailMemory()
    const counting: PaperCodec<T> = {
      read: (paper) => codec.read(paper),
      write: (letter, paper) => {
        const written = codec.write(letter, paper)
        if (!written) this.messages++
        return written
      }
    }
    this.#sender = new MailLine(memory, this.#channel.port1, counting)
    this.#receiver = new MailLine(memory, this.#channel.port2, codec)
  }

  /** What arrives of a letter. */
  pass(letter: T): T {
    this.#sender.send(letter)
    return this.#receiver.receive()
  }

  async passAsync(letter: T): Promise<T> {
    const received = this.#receiver.receiveAsync()
    this.#sender.send(letter)
    return received
  }

  close(): void {
    this.#channel.port1.close()
  }
}

/** Records as literals make them: letters are compared with their prototypes. */
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> => fc.record(fields, { noNullPrototype: true })

const naturals = fc.nat(2 ** 31)
const bytes = fc.uint8Array({ maxLength: 5000 })
const entries: fc.Arbitrary<TurnEntry[]> = fc.array(
  record({
    cache: fc.oneof(fc.string({ maxLength: 120 }), fc.string({ unit: 'grapheme', maxLength: 20 })),
    position: naturals,
    rows: naturals,
    span: record({ start: naturals, end: naturals }),
    exact: fc.boolean(),
    encoding: fc.constantFrom('f32', 'f16', 'bf16', 'raw'),
    input: bytes
  }),
  { maxLength: 80 }
)
const requests: fc.Arbitrary<SpanRequest> = fc.oneof(
  { weight: 4, arbitrary: record({ kind: fc.constant('run' as const), turn: naturals, cancelled: fc.boolean(), entries }) },
  record({ kind: fc.constant('release' as const), cache: fc.string() }),
  fc.constant({ kind: 'stop' as const })
)
const results: fc.Arbitrary<TurnResult> = record({
  computeUs: naturals,
  outputs: fc.array(
    fc.oneof(
      { weight: 20, arbitrary: record({ ok: fc.constant(true as const), output: bytes }) },
      record({ ok: fc.constant(false as const), code: fc.string(), message: fc.string() })
    ),
    { maxLength: 80 }
  )
})
const replies: fc.Arbitrary<Reply<SpanAnswer>> = fc.oneof(
  { weight: 4, arbitrary: record({ ok: fc.constant(true as const), value: record({ freeKvTokens: naturals, result: results }) }) },
  record({ ok: fc.constant(true as const), value: record({ freeKvTokens: naturals }) }),
  record({ ok: fc.constant(false as const), error: record({ code: fc.string(), message: fc.string(), detail: fc.constant({}) }) })
)

/** Letters one after the other on the same paper, which holds what the ones before have left. */
function assertPasses<T>(codec: PaperCodec<T>, letters: fc.Arbitrary<T>): void {
  const line = new Line(codec)
  try {
    fc.assert(fc.property(letters, (letter) => assert.deepEqual(line.pass(letter), letter)))
  } finally {
    line.close()
  }
}

describe('mail between threads', () => {
  it('brings every request to a span as it was sent', () => assertPasses(spanCodecs.request, requests))
  it('brings every answer of a span as it was sent', () => assertPasses(spanCodecs.reply, replies))

  it('brings rows and logits of the head as they were sent, the bits of a NaN included', () => {
    const floats = fc.float32Array({ maxLength: 3000 })
    assertPasses<HeadRequest>(
      headCodecs.request,
      fc.oneof(
        floats.map((hidden) => ({ kind: 'run' as const, hidden })),
        fc.constant({ kind: 'stop' as const })
      )
    )
    assertPasses<Reply<Float32Array | undefined>>(
      headCodecs.reply,
      floats.map((value) => ({ ok: true as const, value }))
    )
    const line = new Line(headCodecs.reply)
    const signalling = new Float32Array(Uint32Array.of(0x7fa00001, 0xffc00002).buffer)
    const arrived = line.pass({ ok: true, value: signalling })
    assert.ok(arrived.ok && arrived.value !== undefined)
    assert.deepEqual(new Uint32Array(arrived.value.buffer), new Uint32Array(signalling.buffer))
    line.close()
  })

  it('writes decode steps, and sends what does not fit as messages in their order', async () => {
    const line = new Line(spanCodecs.request)
    const step = (count: number, size: number): SpanRequest => ({
      ...{ kind: 'run', turn: 7, cancelled: false },
      entries: Array.from({ length: count }, (_, index) => ({
        cache: `12D3KooWpeer/session-${index}`,
        ...{ position: 40, rows: 1, span: { start: 2, end: 9 }, exact: false, encoding: 'f16' as const },
        input: new Uint8Array(size).fill(index)
      }))
    })
    const [decode, wide, many] = [step(16, 8192), step(1, 300_000), step(70, 16)]
    assert.deepEqual(await line.passAsync(decode), decode)
    assert.equal(line.messages, 0)
    assert.deepEqual(await line.passAsync(wide), wide)
    assert.deepEqual(line.pass(many), many)
    assert.equal(line.messages, 2)
    assert.deepEqual(line.pass(decode), decode)
    assert.equal(line.messages, 2)
    line.close()
  })

  it('gives out answers on memory of their own', () => {
    const line = new Line(spanCodecs.reply)
    const answer = (value: number): Reply<SpanAnswer> => ({
      ...{ ok: true },
      value: { freeKvTokens: 1, result: { computeUs: 2, outputs: [{ ok: true, output: new Uint8Array(64).fill(value) }] } }
    })
    const first = line.pass(answer(1))
    line.pass(answer(2))
    assert.deepEqual(first, answer(1))
    line.close()
  })
})
