import assert from 'node:assert/strict'
import type { ModelId, OpenRequest, PeerId, SessionId, StepMessage } from '@skein/protocol'
import { decodeLink, encodeLink, limits, WireErrorCode } from '@skein/protocol'
import type { DialEffect, StageEffect, StageEvent } from './stage-events.ts'
import { StageMachine } from './stage-machine.ts'

const coordinator = 'coordinator' as PeerId
const before = 'before' as PeerId
const behind = 'behind' as PeerId
const session = '0'.repeat(32) as SessionId
const bytesPerRow = 32

const open: OpenRequest = {
  type: 'open',
  id: 1,
  session,
  model: `m@${'0'.repeat(32)}` as ModelId,
  span: { start: 1, end: 2 },
  numerics: { weights: 'f32', kernels: 'k' },
  exact: false,
  kvTokens: 16,
  historyBytes: 1000,
  encoding: 'raw',
  predecessor: { term: 3, to: { kind: 'stage', peer: before } },
  successor: { term: 4, to: { kind: 'stage', peer: behind } },
  leaseMs: 5_000
}

class Bench {
  nowMs = 0
  readonly machine: StageMachine
  /** The last dial of the successor. */
  dialing: DialEffect | undefined

  constructor(creditSteps = 2) {
    const options = {
      creditSteps,
      creditBytes: 8 * bytesPerRow,
      resultBytes: 8 * bytesPerRow,
      maxStepRows: 4,
      outputSlots: 2 * creditSteps - 2
    }
    this.machine = new StageMachine({ coordinator, hiddenSize: 8, options })
  }

  feed(event: StageEvent): StageEffect[] {
    const effects = this.machine.handle(event, this.nowMs)
    this.dialing = effects.findLast((effect) => effect.type === 'dial') ?? this.dialing
    return effects
  }

  opened(request = open): this {
    this.feed({ type: 'control', request })
    this.feed({ type: 'reserved' })
    return this
  }

  hello(channel: number, term = 3, peer = before, side: 'predecessor' | 'successor' = 'predecessor'): StageEffect[] {
    return this.feed({ type: 'hello', channel, side, peer, message: { type: 'hello', coordinator, session, term } })
  }

  step(channel: number, message: Partial<StepMessage>, bodyRows = 1): StageEffect[] {
    const runs = [{ seq: message.from ?? 1, rows: bodyRows, want: 'all' as const }]
    const full: StepMessage = { type: 'step', from: 1, to: message.from ?? 1, position: 0, after: 0, runs, computeUs: 0, ...message }
    return this.feed({ type: 'link', channel, message: full, body: new Uint8Array(bodyRows * bytesPerRow) })
  }
}

const types = (effects: StageEffect[]): string[] =>
  effects.map((effect) => {
    if (effect.type === 'respond') return effect.response.type
    return effect.type === 'send' ? `send ${effect.message.type}` : effect.type
  })

const refusal = (effects: StageEffect[]): WireErrorCode | undefined => {
  for (const effect of effects) {
    if (effect.type === 'send' && effect.message.type === 'refused') return effect.message.code
    if (effect.type === 'respond' && effect.response.type === 'refused') return effect.response.code
  }
  return undefined
}

describe('StageMachine', () => {
  it('reserves before it answers, and dials its successor then', () => {
    const bench = new Bench()
    assert.deepEqual(types(bench.feed({ type: 'control', request: open })), ['reserve'])
    assert.equal(refusal(bench.hello(1)), WireErrorCode.UnknownSession)
    assert.deepEqual(types(bench.feed({ type: 'reserved' })), ['opened', 'dial'])
    assert.deepEqual(types(bench.hello(2)), ['send held'])
  })

  it('gives back what was reserved when the session ends while it reserves', () => {
    const bench = new Bench()
    bench.feed({ type: 'control', request: open })
    assert.deepEqual(types(bench.feed({ type: 'control', request: { type: 'close', id: 2 } })), ['closed'])
    assert.deepEqual(types(bench.feed({ type: 'reserved' })), ['release', 'ended'])
    assert.deepEqual(bench.feed({ type: 'tick' }), [])
  })

  it('refuses an open for which there is no room', () => {
    const bench = new Bench()
    bench.feed({ type: 'control', request: open })
    const effects = bench.feed({ type: 'reserveFailed', code: WireErrorCode.KvFull, message: 'full' })
    assert.equal(refusal(effects), WireErrorCode.KvFull)
    assert.deepEqual(types(effects), ['refused', 'ended'])
  })

  it('answers only the named predecessor at the present term', () => {
    const bench = new Bench().opened()
    assert.equal(refusal(bench.hello(1, 2)), WireErrorCode.StaleTerm)
    assert.equal(refusal(bench.hello(2, 4)), WireErrorCode.StaleTerm)
    assert.equal(refusal(bench.hello(3, 3, behind)), WireErrorCode.StaleTerm)
    assert.equal(refusal(bench.hello(4, 4, coordinator, 'successor')), WireErrorCode.StaleTerm)
    assert.equal(refusal(bench.hello(5)), undefined)
  })

  it('leaves the old channel for a new one of the same term, and for the fence', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    assert.deepEqual(bench.hello(2)[0], { type: 'hangUp', channel: 1 })
    const link = { term: 9, to: { kind: 'stage', peer: behind } } as const
    const fenced = bench.feed({ type: 'control', request: { type: 'reroute', id: 5, side: 'predecessor', link } })
    assert.deepEqual(types(fenced), ['hangUp', 'rerouted'])
    assert.deepEqual(bench.step(2, {}), [], 'an old channel is dead')
    const stale = bench.feed({ type: 'control', request: { type: 'reroute', id: 6, side: 'predecessor', link: { ...link, term: 8 } } })
    assert.equal(refusal(stale), WireErrorCode.StaleTerm)
  })

  const bad: ReadonlyArray<readonly [string, Partial<StepMessage>, number, WireErrorCode]> = [
    ['a seq from the future', { from: 2 }, 1, WireErrorCode.OutOfOrder],
    ['a position beyond the cache', { position: 1 }, 1, WireErrorCode.OutOfOrder],
    ['another row before it', { after: 7 }, 1, WireErrorCode.OutOfOrder],
    ['rows beyond the reservation', { position: 14 }, 4, WireErrorCode.TooLong],
    ['too many rows', {}, 5, WireErrorCode.TooLarge],
    ['a body of another size', { runs: [{ seq: 1, rows: 2, want: 'all' }] }, 1, WireErrorCode.Malformed],
    ['runs out of order', { to: 2, runs: [2, 1].map((seq) => ({ seq, rows: 1, want: 'all' })) }, 2, WireErrorCode.Malformed],
    ['a seq that goes backwards', { to: 0 }, 1, WireErrorCode.Malformed],
    ['a position that is no number', { position: Number.NaN }, 1, WireErrorCode.Malformed]
  ]
  for (const [what, message, rows, code] of bad) {
    it(`refuses a step with ${what}: the link, not the session`, () => {
      const bench = new Bench().opened()
      bench.hello(1)
      const effects = bench.step(1, message, rows)
      assert.equal(refusal(effects), code)
      assert.deepEqual(types(effects), ['send refused', 'hangUp', 'accuse'])
      assert.deepEqual(types(bench.hello(2)), ['send held'])
      assert.deepEqual(types(bench.step(2, {})), ['compute'])
    })
  }

  it('accuses a neighbour whose link broke, and none that has ended it in peace, as all do when the session closes', () => {
    const bench = new Bench().opened()
    const held = { type: 'held', term: 4, held: { rows: 0, lastSeq: 0, tail: [] }, steps: 2, bytes: 999 } as const
    const close = (ended: boolean): string[] => {
      bench.hello(1)
      const { channel } = bench.dialing ?? assert.fail('the successor is dialled')
      bench.feed({ type: 'dialed', channel })
      bench.feed({ type: 'link', channel, message: held })
      const effects = [1, channel].flatMap((closed) => bench.feed({ type: 'linkClosed', channel: closed, message: 'gone', ended }))
      bench.nowMs += 200
      bench.feed({ type: 'tick' })
      return types(effects)
    }
    assert.deepEqual(close(false), ['accuse', 'accuse'])
    assert.deepEqual(close(true), [])
    const { channel } = bench.dialing ?? assert.fail('the successor is dialled again')
    bench.feed({ type: 'dialed', channel })
    const refused = { type: 'refused', code: WireErrorCode.UnknownSession, message: 'it has gone', detail: {} } as const
    assert.deepEqual(types(bench.feed({ type: 'link', channel, message: refused })), ['hangUp', 'accuse'], 'now it is known')
  })

  it('counts a step that it has taken already, and refuses more than its credits', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    bench.step(1, {})
    assert.deepEqual(bench.step(1, {}), [])
    assert.equal(bench.machine.snapshot().duplicates, 1)
    assert.equal(refusal(bench.step(1, { from: 2, position: 1, after: 1 })), WireErrorCode.CreditExceeded)
  })

  it('asks anew for what was not finite, and blames the link that it came from', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    bench.step(1, {})
    bench.step(1, { from: 2, position: 1, after: 1 })
    const effects = bench.feed({ type: 'computeFailed', job: 1, code: WireErrorCode.NotFinite, message: 'NaN' })
    assert.equal(refusal(effects), WireErrorCode.NotFinite)
    const accusation = effects.find((effect) => effect.type === 'respond')?.response
    assert.ok(accusation?.type === 'accuse' && accusation.side === 'predecessor' && accusation.term === 3)
    const held = bench.hello(2)[0]
    assert.ok(held?.type === 'send' && held.message.type === 'held' && held.message.held.lastSeq === 0)
  })

  it('stops computing while its successor reads nothing, and grants nothing then', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    for (const seq of [1, 2]) {
      bench.step(1, { from: seq, position: seq - 1, after: seq - 1 })
      bench.feed({ type: 'computed', job: seq, output: new Uint8Array(bytesPerRow), computeUs: 1 })
    }
    assert.deepEqual(bench.step(1, { from: 3, position: 2, after: 2 }), [], 'both output slots are taken')
    bench.feed({ type: 'dialed', channel: -1 })
    const held = { rows: 0, lastSeq: 0, tail: [] }
    const sent = bench.feed({ type: 'link', channel: -1, message: { type: 'held', term: 4, held, steps: 8, bytes: 999 } })
    assert.deepEqual(types(sent), ['send step', 'send step'], 'both were computed before held, and neither was ever sent')
    const acked = bench.feed({ type: 'link', channel: -1, message: { type: 'ack', seq: 2, steps: 8, bytes: 999 } })
    assert.deepEqual(types(acked), ['compute'])
  })

  it('keeps no more bytes of results than are allowed for a coordinator that does not take them, and of the rows only those', () => {
    const bench = new Bench(6).opened({ ...open, historyBytes: 0, successor: { term: 4, to: { kind: 'coordinator' } } })
    bench.hello(1)
    const compute = (seq: number, want: 'all' | 'last' | 'none'): string[] => {
      const runs = [{ seq, rows: 4, want }]
      const asked = types(bench.step(1, { from: seq, position: 0, after: 0, runs }, 4))
      if (asked.includes('compute')) bench.feed({ type: 'computed', job: seq, output: new Uint8Array(4 * bytesPerRow), computeUs: 1 })
      return asked
    }
    assert.deepEqual(compute(1, 'all'), ['compute'])
    assert.deepEqual(compute(2, 'none'), ['compute'])
    assert.deepEqual(compute(3, 'last'), ['compute'])
    assert.equal(bench.machine.snapshot().logBytes, 5 * bytesPerRow)
    assert.deepEqual(compute(4, 'all'), [], 'it would be the ninth row, and eight may wait')
    bench.hello(2, 4, coordinator, 'successor')
    const held = { rows: 0, lastSeq: 0, tail: [] }
    const sent = bench.feed({ type: 'link', channel: 2, message: { type: 'held', term: 4, held, steps: 8, bytes: 999 } })
    const parts = sent.flatMap((effect) => (effect.type === 'send' ? effect.parts : []))
    assert.deepEqual(
      parts.map(({ byteLength, buffer }) => [byteLength, buffer.byteLength]),
      [4, 1].map((rows) => [rows * bytesPerRow, rows * bytesPerRow])
    )
    assert.deepEqual(types(bench.feed({ type: 'link', channel: 2, message: { type: 'ack', seq: 3, steps: 8, bytes: 999 } })), ['compute'])
  })

  it('acknowledges several steps at once while there is ample credit, and none later than it may', () => {
    const bench = new Bench(6).opened()
    bench.hello(1)
    const acks: number[] = []
    const note = (effects: StageEffect[]): void => {
      for (const effect of effects) if (effect.type === 'send' && effect.message.type === 'ack') acks.push(effect.message.seq)
    }
    const compute = (seq: number): void => {
      note(bench.step(1, { from: seq, position: seq - 1, after: seq - 1 }))
      note(bench.feed({ type: 'computed', job: seq, output: new Uint8Array(bytesPerRow), computeUs: 1 }))
    }
    for (let seq = 1; seq <= 7; seq++) compute(seq)
    assert.deepEqual(acks, [3, 6], 'three of six credits are used each time')
    assert.equal(bench.machine.wakeAtMs, limits.ackLaterMs)
    bench.nowMs = limits.ackLaterMs
    note(bench.feed({ type: 'tick' }))
    assert.deepEqual(acks, [3, 6, 7])
    assert.notEqual(bench.machine.wakeAtMs, limits.ackLaterMs)
  })

  it('acknowledges a replay of several runs at once, since its sender has as many outputs under way', () => {
    const bench = new Bench(6).opened()
    bench.hello(1)
    const runs = [1, 2].map((seq) => ({ seq, rows: 1, want: 'none' as const }))
    bench.step(1, { from: 1, to: 2, runs }, 2)
    const done = bench.feed({ type: 'computed', job: 1, output: new Uint8Array(2 * bytesPerRow), computeUs: 1 })
    assert.deepEqual(types(done), ['send ack'])
  })

  it('ends when the lease runs out, when the control channel breaks, and at an unexpected failure', () => {
    const late = new Bench().opened()
    late.nowMs = 4_999
    late.feed({ type: 'control', request: { type: 'probe', id: 2 } })
    late.nowMs = 9_998
    assert.deepEqual(late.hello(1).length, 1)
    late.nowMs = 9_999
    const expired = late.step(1, {})
    assert.equal(refusal(expired), WireErrorCode.LeaseExpired)
    assert.deepEqual(types(expired), ['refused', 'hangUp', 'hangUp', 'release', 'ended'])
    assert.deepEqual(types(new Bench().opened().feed({ type: 'controlClosed' })), ['hangUp', 'release', 'ended'])
    const broken = new Bench().opened()
    broken.hello(1)
    broken.step(1, {})
    assert.equal(
      refusal(broken.feed({ type: 'computeFailed', job: 1, code: WireErrorCode.Internal, message: 'x' })),
      WireErrorCode.Internal
    )
    assert.equal(broken.machine.snapshot().status, 'ended')
  })

  it('takes each new step for a sign that the coordinator is there, and no repeated one', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    bench.nowMs = 4_000
    bench.step(1, {})
    bench.nowMs = 8_000
    bench.step(1, {})
    assert.equal(bench.machine.snapshot().duplicates, 1)
    bench.nowMs = 8_999
    assert.equal(refusal(bench.feed({ type: 'tick' })), undefined)
    bench.nowMs = 9_000
    assert.equal(refusal(bench.feed({ type: 'tick' })), WireErrorCode.LeaseExpired)
  })

  it('keeps the lease within its limits', () => {
    const bench = new Bench().opened({ ...open, leaseMs: Number.MAX_SAFE_INTEGER })
    bench.nowMs = limits.maxLeaseMs
    assert.equal(refusal(bench.feed({ type: 'tick' })), WireErrorCode.LeaseExpired)
  })

  it('turns skipped steps into tombstones, and forgets what it has computed of them', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    bench.step(1, {})
    bench.feed({ type: 'computed', job: 1, output: new Uint8Array(bytesPerRow), computeUs: 1 })
    bench.step(1, { from: 2, position: 1, after: 1 })
    bench.step(1, { from: 3, position: 2, after: 2 })
    bench.feed({ type: 'control', request: { type: 'skip', from: 2, to: 4 } })
    const done = bench.feed({ type: 'computed', job: 2, output: new Uint8Array(bytesPerRow), computeUs: 1 })
    assert.deepEqual(types(done), ['send ack'], 'what was under way does not count, and seq 3 is not computed')
    assert.deepEqual([bench.machine.snapshot().computedSeq, bench.machine.snapshot().rows], [3, 1])
    bench.step(1, { from: 4, position: 3, after: 3 })
    assert.equal(bench.machine.snapshot().computedSeq, 4, 'it comes later, and need not fit')
    assert.deepEqual(types(bench.step(1, { from: 5, position: 1, after: 1 })), ['compute'])
  })

  it('says at once what is left when computed steps are skipped, as a rebuilt neighbour will be told', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    for (const seq of [1, 2]) {
      bench.step(1, { from: seq, position: seq - 1, after: seq - 1 })
      bench.feed({ type: 'computed', job: seq, output: new Uint8Array(bytesPerRow), computeUs: 1 })
    }
    bench.feed({ type: 'control', request: { type: 'skip', from: 2, to: 2 } })
    const { rows, logSegments, computedSeq } = bench.machine.snapshot()
    assert.deepEqual({ rows, logSegments, computedSeq }, { rows: 1, logSegments: 1, computedSeq: 2 })
  })

  it('ends a session with more skips under way than it remembers, since to forget one would leave other rows here than elsewhere', () => {
    const bench = new Bench().opened()
    const skip = (to: number): StageEffect[] => bench.feed({ type: 'control', request: { type: 'skip', from: 1, to } })
    for (let to = 1; to <= 64; to++) assert.deepEqual(skip(to), [])
    const refused = skip(65)
    assert.equal(refusal(refused), WireErrorCode.Malformed)
    assert.ok(types(refused).includes('release'))
  })

  it('sends nothing that its successor must refuse, whatever its predecessor claims to have computed', () => {
    const bench = new Bench().opened()
    bench.hello(1)
    bench.feed({ type: 'dialed', channel: -1 })
    const held = { rows: 0, lastSeq: 0, tail: [] }
    bench.feed({ type: 'link', channel: -1, message: { type: 'held', term: 4, held, steps: 8, bytes: 999 } })
    bench.step(1, { computeUs: Number.MAX_SAFE_INTEGER })
    const [sent] = bench.feed({ type: 'computed', job: 1, output: new Uint8Array(bytesPerRow), computeUs: 5 })
    assert.ok(sent?.type === 'send' && sent.message.type === 'step')
    assert.deepEqual(decodeLink(encodeLink(sent.message)), sent.message)
  })
})
