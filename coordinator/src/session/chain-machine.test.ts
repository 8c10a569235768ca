import assert from 'node:assert/strict'
import type {
  ControlRequest,
  Held,
  ModelId,
  Numerics,
  PeerId,
  SessionId,
  StateResponse,
  StepMessage,
  StepRun,
  TensorEncoding
} from '@skein/protocol'
import { limits, rowBytes, WireErrorCode } from '@skein/protocol'
import type { ChainEffect, ChainEvent, ChosenStage } from './chain-events.ts'
import { ChainMachine, type ChainMachineOptions } from './chain-machine.ts'

const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
const nothing: Held = { rows: 0, lastSeq: 0, tail: [] }
const state: StateResponse = {
  type: 'state',
  id: 0,
  load,
  turnMs: 0,
  held: nothing,
  historyFrom: 0,
  acceptedSeq: 0,
  sentSeq: 0,
  acknowledgedSeq: 0
}
const kernels = (name: string): Numerics => ({ weights: 'f32', kernels: name })
const stage = (name: string, start: number, end: number, numerics = kernels('k')): ChosenStage => ({
  peer: name as PeerId,
  span: { start, end },
  numerics
})

class Bench {
  nowMs = 0
  readonly machine: ChainMachine

  constructor(options: Partial<ChainMachineOptions> = {}, encoding: TensorEncoding = 'raw', size = { hiddenSize: 8, kvTokens: 32 }) {
    this.machine = new ChainMachine({
      coordinator: 'me' as PeerId,
      session: '0'.repeat(32) as SessionId,
      model: `m@${'0'.repeat(32)}` as ModelId,
      totalBlocks: 6,
      ...size,
      exact: false,
      encoding,
      options: { window: 2, openMs: 3_000, coverageWaitMs: 4_000, searchAgainMs: 500, ...options }
    })
  }

  feed(event: ChainEvent): ChainEffect[] {
    return this.machine.handle(event, this.nowMs)
  }

  /**
   * Answers requests as good stages do; returns the requests in order, `stage:type`, and the other effects.
   *
   * @param silent - a stage that answers nothing
   */
  settle(effects: ChainEffect[], silent?: number): { asked: string[]; rest: ChainEffect[] } {
    const asked: string[] = []
    const rest: ChainEffect[] = []
    const queue = [...effects]
    for (let effect = queue.shift(); effect !== undefined; effect = queue.shift()) {
      if (effect.type === 'connect') queue.push(...this.feed({ type: 'connected', stage: effect.stage }))
      else if (effect.type === 'control') {
        asked.push(`${effect.stage}:${effect.request.type}${effect.request.type === 'reroute' ? ` ${effect.request.side}` : ''}`)
        if (effect.stage !== silent) queue.push(...this.#answer(effect.stage, effect.request))
      } else rest.push(effect)
    }
    return { asked, rest }
  }

  #answer(number: number, request: ControlRequest): ChainEffect[] {
    if (request.type === 'skip' || request.type === 'probe') return []
    const { id } = request
    if (request.type === 'open') return this.feed({ type: 'control', stage: number, response: { type: 'opened', id, load } })
    if (request.type === 'close') return this.feed({ type: 'control', stage: number, response: { type: 'closed', id } })
    return this.feed({ type: 'control', stage: number, response: { type: 'rerouted', id, held: nothing, historyFrom: 0 } })
  }

  open(): this {
    this.settle(this.feed({ type: 'start', stages: [stage('a', 0, 2), stage('b', 2, 4), stage('c', 4, 6)] }))
    return this
  }
}

const find = <T extends ChainEffect['type']>(effects: ChainEffect[], type: T): Extract<ChainEffect, { type: T }> | undefined =>
  effects.find((effect): effect is Extract<ChainEffect, { type: T }> => effect.type === type)

describe('ChainMachine', () => {
  it('opens the chain from the tail on, each stage once the one behind it is open', () => {
    const bench = new Bench()
    const { asked, rest } = bench.settle(bench.feed({ type: 'start', stages: [stage('a', 0, 2), stage('b', 2, 4), stage('c', 4, 6)] }))
    assert.deepEqual(asked, ['3:open', '2:open', '1:open'])
    assert.deepEqual(
      rest.map((effect) => effect.type),
      ['dial', 'dial', 'opened']
    )
  })

  it('fences, then opens, then reroutes, when a stage in the middle is lost', () => {
    const bench = new Bench().open()
    const lost = bench.feed({ type: 'controlClosed', stage: 2, message: 'reset' })
    assert.ok(find(lost, 'recovering'))
    const search = find(lost, 'findReplacement')
    assert.deepEqual(search?.span, { start: 2, end: 4 })
    assert.deepEqual([...(search?.exclude ?? [])].sort(), ['a', 'b', 'c'])
    const stages = [stage('d', 2, 3), stage('e', 3, 4)]
    const { asked, rest } = bench.settle(bench.feed({ type: 'replacement', request: search?.request ?? 0, stages }))
    assert.deepEqual(asked, ['3:reroute predecessor', '5:open', '4:open', '1:reroute successor'])
    assert.deepEqual(
      find(rest, 'recovered')?.chain.map((member) => member.peer),
      ['a', 'd', 'e', 'c']
    )
    assert.equal(find(rest, 'dial'), undefined, 'the links at both ends stay')
  })

  it('opens no replacement before the fence is answered: until then an old stage may still be heard', () => {
    const bench = new Bench().open()
    const { request = 0 } = find(bench.feed({ type: 'controlClosed', stage: 2, message: 'reset' }), 'findReplacement') ?? {}
    const fencing = bench.feed({ type: 'replacement', request, stages: [stage('d', 2, 4)] })
    const fence = find(fencing, 'control')
    assert.deepEqual([fence?.stage, fence?.request.type], [3, 'reroute'])
    assert.equal(find(bench.feed({ type: 'connected', stage: 4 }), 'control'), undefined)
    const { id } = fence?.request as Extract<ControlRequest, { type: 'reroute' }>
    const opening = bench.feed({ type: 'control', stage: 3, response: { type: 'rerouted', id, held: nothing, historyFrom: 0 } })
    assert.equal(find(opening, 'control')?.request.type, 'open')
  })

  it('tells a replacement of the steps that were skipped and have not come out yet', () => {
    const bench = new Bench().open()
    for (const position of [0, 1]) bench.feed({ type: 'submit', position, rows: 1, want: 'last' })
    bench.feed({ type: 'skip', from: 2 })
    const { request = 0 } = find(bench.feed({ type: 'controlClosed', stage: 2, message: 'reset' }), 'findReplacement') ?? {}
    const { asked } = bench.settle(bench.feed({ type: 'replacement', request, stages: [stage('d', 2, 4)] }))
    assert.ok(asked.includes('4:skip'), asked.join(', '))
  })

  it('replaces a stage whose runtime hangs in a turn, though it answers', () => {
    const bench = new Bench({ maxTurnMs: 60_000 }).open()
    bench.feed({ type: 'submit', position: 0, rows: 1, want: 'last' })
    const lostBy = (turnMs: number): ChainEffect[] => {
      bench.nowMs = bench.machine.wakeAtMs ?? assert.fail('nothing is due')
      const probe = bench.feed({ type: 'tick' }).find((effect) => effect.type === 'control' && effect.stage === 2)
      assert.ok(probe?.type === 'control' && probe.request.type === 'probe')
      return bench.feed({ type: 'control', stage: 2, response: { ...state, id: probe.request.id, turnMs } })
    }
    assert.deepEqual(
      find(lostBy(60_001), 'recovering')?.lost.map(({ peer }) => peer),
      ['b']
    )
  })

  it('takes no results that are not finite: the last stage made them, and is replaced', () => {
    const bench = new Bench({}, 'f32')
    const { rest } = bench.settle(bench.feed({ type: 'start', stages: [stage('a', 0, 3), stage('b', 3, 6)] }))
    const dials = rest.filter((effect) => effect.type === 'dial')
    for (const { channel } of dials) bench.feed({ type: 'dialed', channel })
    const channel = dials.find(({ protocol }) => protocol === 'results')?.channel ?? assert.fail('no dial for results')
    bench.feed({ type: 'submit', position: 0, rows: 1, want: 'all' })
    const message: StepMessage = {
      ...{ type: 'step', from: 1, to: 1, position: 0, after: 0, computeUs: 1 },
      runs: [{ seq: 1, rows: 1, want: 'all' }]
    }
    const body = new Uint8Array(Float32Array.from({ length: 8 }, (_, index) => (index === 5 ? Number.NaN : 1)).buffer)
    const taken = bench.feed({ type: 'link', channel, message, body })
    assert.equal(find(taken, 'result'), undefined)
    assert.deepEqual(
      find(taken, 'recovering')?.lost.map(({ peer }) => peer),
      ['b']
    )
  })

  it('refuses results that nobody asked for, of the wrong size, out of order, or beyond its credits', () => {
    const row = rowBytes('raw', 8)
    const send = (step: Partial<StepMessage>, rows: number, runRows = rows, creditRows = 8): WireErrorCode | 'taken' => {
      const bench = new Bench({ creditBytes: creditRows * row, window: 8 })
      const { rest } = bench.settle(bench.feed({ type: 'start', stages: [stage('a', 0, 6)] }))
      const dials = rest.filter((effect) => effect.type === 'dial')
      for (const { channel } of dials) bench.feed({ type: 'dialed', channel })
      const channel = dials.find(({ protocol }) => protocol === 'results')?.channel ?? assert.fail('no dial for results')
      for (let seq = 1; seq <= 4; seq++) bench.feed({ type: 'submit', position: seq - 1, rows: 1, want: 'all' })
      const runs: StepRun[] = [{ seq: step.to ?? 1, rows: runRows, want: 'all' }]
      const message: StepMessage = { ...{ type: 'step', from: 1, to: 1, position: 0, after: 0, computeUs: 0, runs }, ...step }
      const answer = bench.feed({ type: 'link', channel, message, body: new Uint8Array(rows * row) })
      const refused = answer.find((effect) => effect.type === 'send' && effect.message.type === 'refused')
      if (refused?.type === 'send' && refused.message.type === 'refused') {
        assert.ok(find(answer, 'hangUp'), 'nothing more is heard of it')
        assert.equal(find(answer, 'result'), undefined)
        return refused.message.code
      }
      assert.ok(find(answer, 'result'))
      return 'taken'
    }
    assert.equal(send({}, 1), 'taken')
    assert.equal(send({ from: 1, to: 5 }, 1), WireErrorCode.OutOfOrder, 'four were sent')
    assert.equal(send({ from: 2, to: 2 }, 1), WireErrorCode.OutOfOrder)
    assert.equal(send({}, 2), WireErrorCode.OutOfOrder, 'two rows of one')
    assert.equal(send({ runs: [] }, 0), WireErrorCode.OutOfOrder, 'a result without its row')
    assert.equal(send({}, 1, 2), WireErrorCode.OutOfOrder, 'fewer bytes than rows')
    assert.equal(send({}, 2, 2, 1), WireErrorCode.CreditExceeded)
  })

  it('puts no acknowledgement off that its last stage waits for, since that keeps results until then', () => {
    const bench = new Bench({ window: 8 }, 'f32', { hiddenSize: 1024, kvTokens: 4096 })
    const { rest } = bench.settle(bench.feed({ type: 'start', stages: [stage('a', 0, 6)] }))
    const dials = rest.filter((effect) => effect.type === 'dial')
    for (const { channel } of dials) bench.feed({ type: 'dialed', channel })
    const channel = dials.find(({ protocol }) => protocol === 'results')?.channel ?? assert.fail('no dial for results')
    const rows = limits.resultBytes / 8 / 4096
    const isAcknowledged = (seq: number): boolean => {
      const runs: StepRun[] = [{ seq, rows, want: 'all' }]
      const message: StepMessage = { type: 'step', from: seq, to: seq, position: (seq - 1) * rows, after: seq - 1, computeUs: 0, runs }
      const taken = bench.feed({ type: 'link', channel, message, body: new Uint8Array(rows * 4096) })
      assert.ok(find(taken, 'result'))
      return taken.some((effect) => effect.type === 'send' && effect.message.type === 'ack')
    }
    for (let seq = 1; seq <= 8; seq++) bench.feed({ type: 'submit', position: (seq - 1) * rows, rows, want: 'all' })
    // An eighth of what the stage keeps each: well before that is used up.
    assert.deepEqual([1, 2, 3, 4, 5, 6].map(isAcknowledged), [false, false, true, false, false, true])
  })

  it('reserves history for every row on each stage but the last', () => {
    const bench = new Bench()
    bench.feed({ type: 'start', stages: [stage('a', 0, 3), stage('b', 3, 6)] })
    const reserved: number[] = []
    for (const number of [2, 1]) {
      const request = find(bench.feed({ type: 'connected', stage: number }), 'control')?.request
      assert.ok(request?.type === 'open')
      reserved.push(request.historyBytes)
      bench.feed({ type: 'control', stage: number, response: { type: 'opened', id: request.id, load } })
    }
    assert.deepEqual(reserved, [0, 32 * rowBytes('raw', 8)])
  })

  it('gives a session up that loses stage after stage without a result', () => {
    const bench = new Bench({ maxLosses: 2 }).open()
    let number = 2
    for (const name of ['d', 'e']) {
      const lost = bench.feed({ type: 'controlClosed', stage: number, message: 'reset' })
      const { request = 0 } = find(lost, 'findReplacement') ?? {}
      const { rest } = bench.settle(bench.feed({ type: 'replacement', request, stages: [stage(name, 2, 4)] }))
      number = find(rest, 'recovered')?.chain[1]?.stage ?? assert.fail('the chain is not whole')
    }
    const failed = find(bench.feed({ type: 'controlClosed', stage: number, message: 'reset' }), 'failed')
    assert.equal(failed?.code, 'ERR_SKEIN_RECOVERY_FAILED')
    assert.match(failed?.message ?? '', /3 times without progress/)
  })

  it('tells a stage that was lost to close, and does not wait for its answer when the session is over', () => {
    const bench = new Bench().open()
    const lost = bench.feed({ type: 'control', stage: 2, response: { type: 'closed', id: 1 } })
    const request = find(lost, 'findReplacement')?.request ?? 0
    const mended = bench.settle(bench.feed({ type: 'replacement', request, stages: [stage('d', 2, 4)] }), 2)
    assert.ok(mended.asked.includes('2:close') && find(mended.rest, 'recovered') !== undefined)
    assert.equal(bench.machine.snapshot().dying, 1)
    const end = bench.settle(bench.feed({ type: 'close' }), 2)
    assert.deepEqual(end.asked.toSorted(), ['1:close', '3:close', '4:close'])
    assert.ok(find(end.rest, 'closed'))
  })

  it('rebuilds neighbours that are lost together as one span', () => {
    const bench = new Bench().open()
    bench.feed({ type: 'controlClosed', stage: 2, message: 'reset' })
    const search = find(bench.feed({ type: 'controlClosed', stage: 3, message: 'reset' }), 'findReplacement')
    assert.deepEqual(search?.span, { start: 2, end: 6 })
  })

  it('rebuilds a stage that has lost its history, and may take the same node once that has closed', () => {
    const bench = new Bench().open()
    const accuse = { type: 'accuse', side: 'successor', term: 2, code: WireErrorCode.HistoryLost, message: 'gone' } as const
    const search = find(bench.feed({ type: 'control', stage: 1, response: accuse }), 'findReplacement')
    assert.deepEqual(search?.span, { start: 0, end: 2 })
    assert.ok(!search?.exclude.includes('a' as PeerId))
    const { asked } = bench.settle(bench.feed({ type: 'replacement', request: search?.request ?? 0, stages: [stage('a', 0, 2)] }))
    assert.deepEqual(asked, ['2:reroute predecessor', '1:close', '4:open'])
  })

  it('opens no node again before its old stage there has closed', () => {
    const bench = new Bench().open()
    const accuse = { type: 'accuse', side: 'successor', term: 2, code: WireErrorCode.HistoryLost, message: 'gone' } as const
    const { request = 0 } = find(bench.feed({ type: 'control', stage: 1, response: accuse }), 'findReplacement') ?? {}
    const fence = find(bench.feed({ type: 'replacement', request, stages: [stage('a', 0, 2)] }), 'control')
    const { id } = fence?.request as Extract<ControlRequest, { type: 'reroute' }>
    bench.feed({ type: 'connected', stage: 4 })
    const closing = bench.feed({ type: 'control', stage: 2, response: { type: 'rerouted', id, held: nothing, historyFrom: 0 } })
    const controls = closing.filter((effect) => effect.type === 'control')
    assert.deepEqual(
      controls.map(({ stage: number, request: { type } }) => `${number}:${type}`),
      ['1:close']
    )
    const close = controls[0]?.request as Extract<ControlRequest, { type: 'close' }>
    const opening = bench.feed({ type: 'control', stage: 1, response: { type: 'closed', id: close.id } })
    assert.equal(find(opening, 'control')?.request.type, 'open')
  })

  it('takes no accusation of an older link, and none for proof', () => {
    const bench = new Bench().open()
    const accuse = (term: number): ChainEffect[] =>
      bench.feed({
        type: 'control',
        stage: 1,
        response: { type: 'accuse', side: 'successor', term, code: WireErrorCode.PeerUnreachable, message: 'x' }
      })
    assert.deepEqual(accuse(1), [])
    assert.deepEqual(accuse(2), [])
    assert.equal(bench.machine.wakeAtMs, 0, 'a checkup is due')
    const probes = bench.feed({ type: 'tick' })
    assert.deepEqual(
      probes.map((effect) => effect.type === 'control' && effect.request.type),
      ['probe', 'probe', 'probe']
    )
    bench.nowMs = 5_000
    assert.equal(find(bench.feed({ type: 'tick' }), 'recovering')?.lost.length, 3, 'who does not answer is lost')
  })

  it('replaces one end of a link that fails again after it was made anew, at once', () => {
    const bench = new Bench().open()
    const accuse = (term: number): ChainEffect[] =>
      bench.feed({
        type: 'control',
        stage: 1,
        response: { type: 'accuse', side: 'successor', term, code: WireErrorCode.PeerUnreachable, message: 'x' }
      })
    for (let count = 0; count < 3; count++) assert.equal(find(accuse(2), 'recovering'), undefined)
    const { asked, rest } = bench.settle(accuse(2))
    assert.deepEqual(asked, ['2:reroute predecessor', '1:reroute successor'])
    assert.ok(find(rest, 'recovered'))
    assert.deepEqual(find(accuse(5), 'findReplacement')?.span, { start: 2, end: 4 })
  })

  it('asks for what the lost stages computed with, and opens each stage with its own', () => {
    const bench = new Bench()
    bench.feed({ type: 'start', stages: [stage('a', 0, 2, kernels('x')), stage('b', 2, 4, kernels('y')), stage('c', 4, 6, kernels('y'))] })
    for (const [number, expected] of [
      [3, 'y'],
      [2, 'y'],
      [1, 'x']
    ] as const) {
      const open = find(bench.feed({ type: 'connected', stage: number }), 'control')?.request
      assert.equal(open?.type === 'open' && open.numerics.kernels, expected)
      const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
      bench.feed({ type: 'control', stage: number, response: { type: 'opened', id: open?.type === 'open' ? open.id : 0, load } })
    }
    assert.deepEqual(find(bench.feed({ type: 'controlClosed', stage: 2, message: '' }), 'findReplacement')?.numerics, kernels('y'))
    assert.equal(find(bench.feed({ type: 'controlClosed', stage: 1, message: '' }), 'findReplacement')?.numerics, undefined)
  })

  it('waits a stated time for blocks that nobody serves, then names them', () => {
    const bench = new Bench().open()
    let search = find(bench.feed({ type: 'controlClosed', stage: 2, message: 'reset' }), 'findReplacement')
    const uncovered = [{ start: 3, end: 4 }]
    for (; bench.nowMs < 3_500; bench.nowMs += 500) {
      bench.feed({ type: 'noReplacement', request: search?.request ?? 0, uncovered })
      search = find(bench.feed({ type: 'tick' }), 'findReplacement') ?? search
    }
    bench.nowMs = 4_000
    const effects = bench.feed({ type: 'tick' })
    const failed = find(effects, 'failed')
    assert.equal(failed?.code, 'ERR_SKEIN_NO_COVERAGE')
    assert.deepEqual(failed?.detail, { start: 3, end: 4 })
    assert.match(failed?.message ?? '', /^nobody serves blocks 3:4, waited 4 s; start a node with --blocks 3:4$/)
    const { asked, rest } = bench.settle(effects)
    assert.deepEqual(asked, ['1:close', '3:close'])
    assert.ok(find(rest, 'closed'))
  })

  it('says after that wait that nodes had no room, where they refused', () => {
    const bench = new Bench().open()
    const { request = 0 } = find(bench.feed({ type: 'controlClosed', stage: 2, message: 'reset' }), 'findReplacement') ?? {}
    const fence = find(bench.feed({ type: 'replacement', request, stages: [stage('d', 2, 4)] }), 'control')?.request
    assert.ok(fence?.type === 'reroute')
    bench.feed({ type: 'connected', stage: 4 })
    const rerouted = { type: 'rerouted', id: fence.id, held: nothing, historyFrom: 0 } as const
    const open = find(bench.feed({ type: 'control', stage: 3, response: rerouted }), 'control')?.request
    assert.ok(open?.type === 'open')
    const busy = { type: 'refused', id: open.id, code: WireErrorCode.Busy, message: 'two are enough', detail: {} } as const
    const search = find(bench.feed({ type: 'control', stage: 4, response: busy }), 'findReplacement')
    bench.feed({ type: 'noReplacement', request: search?.request ?? 0, uncovered: [{ start: 2, end: 4 }] })
    bench.nowMs = 4_000
    const failed = find(bench.feed({ type: 'tick' }), 'failed')
    assert.equal(failed?.code, WireErrorCode.Busy)
    assert.match(failed?.message ?? '', /^no node takes blocks 2:4, waited 4 s; d refused: two are enough$/)
  })

  it('asks another node when one refuses, and gives up opening when nobody is left or it takes too long', () => {
    const bench = new Bench()
    const connect = find(bench.feed({ type: 'start', stages: [stage('a', 0, 6)] }), 'connect')
    assert.ok(connect)
    const request = find(bench.feed({ type: 'connected', stage: 1 }), 'control')?.request
    assert.ok(request?.type === 'open')
    const refused = { type: 'refused', id: request.id, code: WireErrorCode.KvFull, message: 'full', detail: {} } as const
    const search = find(bench.feed({ type: 'control', stage: 1, response: refused }), 'findReplacement')
    assert.deepEqual(search?.exclude, ['a'])
    const failed = bench.feed({ type: 'noReplacement', request: search?.request ?? 0, uncovered: [] })
    assert.equal(find(failed, 'failed')?.code, WireErrorCode.KvFull, 'why a node refused says more than that there is no other')
    assert.match(find(failed, 'failed')?.message ?? '', /blocks 0:6; a refused: full/)
    const slow = new Bench()
    slow.feed({ type: 'start', stages: [stage('a', 0, 6)] })
    slow.nowMs = 3_000
    const effects = slow.feed({ type: 'tick' })
    assert.equal(find(effects, 'failed')?.code, 'ERR_SKEIN_TIMEOUT')
    assert.equal(effects.at(-1)?.type, 'closed', 'the dial is given up as well')
  })

  it('blames whom it could not reach, or who does not answer, and nobody who waits for them', () => {
    const bench = new Bench({ openMs: 60_000, connectMs: 1_000, openStageMs: 5_000 })
    bench.feed({ type: 'start', stages: [stage('a', 0, 2), stage('b', 2, 4), stage('c', 4, 6)] })
    for (const number of [1, 3]) bench.feed({ type: 'connected', stage: number })
    bench.nowMs = bench.machine.wakeAtMs!
    assert.equal(bench.nowMs, 1_000)
    const effects = bench.feed({ type: 'tick' })
    const unreached = find(effects, 'findReplacement')
    assert.deepEqual(unreached?.span, { start: 2, end: 4 }, 'of b alone')
    assert.deepEqual(find(effects, 'peersFailed')?.peers, ['b'])
    bench.feed({ type: 'replacement', request: unreached.request, stages: [stage('d', 2, 4)] })
    bench.feed({ type: 'connected', stage: 4 })
    bench.nowMs = bench.machine.wakeAtMs!
    assert.equal(bench.nowMs, 5_000)
    const silent = find(bench.feed({ type: 'tick' }), 'findReplacement')
    assert.deepEqual(silent?.span, { start: 4, end: 6 }, 'c was asked to open when it was connected')
  })

  it('renews leases at half their time from the first stage that opened on, until it closes', () => {
    const bench = new Bench({ leaseMs: 4_000 })
    bench.feed({ type: 'start', stages: [stage('a', 0, 3), stage('b', 3, 6)] })
    /** Feeds all that comes up to a time, of which the stages that are probed answer; says when each was. */
    const probesUntil = (untilMs: number): string[] => {
      const probes: string[] = []
      for (let atMs = bench.machine.wakeAtMs; atMs !== undefined && atMs <= untilMs; atMs = bench.machine.wakeAtMs) {
        bench.nowMs = atMs
        for (const effect of bench.feed({ type: 'tick' })) {
          if (effect.type !== 'control' || effect.request.type !== 'probe') continue
          probes.push(`${effect.stage} at ${atMs}`)
          bench.feed({ type: 'control', stage: effect.stage, response: { ...state, id: effect.request.id } })
        }
      }
      bench.nowMs = untilMs
      return probes
    }
    assert.deepEqual(probesUntil(100), [])
    bench.settle(bench.feed({ type: 'connected', stage: 2 }))
    assert.deepEqual(probesUntil(2_500), ['2 at 2100'], 'the chain still waits for the other stage')
    const { rest } = bench.settle(bench.feed({ type: 'connected', stage: 1 }))
    assert.ok(find(rest, 'opened'))
    assert.deepEqual(probesUntil(7_000), ['1 at 4100', '2 at 4100', '1 at 6100', '2 at 6100'])
    bench.feed({ type: 'close' })
    assert.equal(bench.machine.wakeAtMs, 12_000, 'it waits for answers and for nothing else')
    assert.deepEqual(probesUntil(12_000), [])
    assert.equal(bench.machine.snapshot().status, 'closed')
    assert.equal(bench.machine.wakeAtMs, undefined)
  })

  it('renews no lease while results come, since every step has done so', () => {
    const bench = new Bench({ leaseMs: 4_000 })
    const { rest } = bench.settle(bench.feed({ type: 'start', stages: [stage('a', 0, 6)] }))
    const dials = rest.filter((effect) => effect.type === 'dial')
    for (const { channel } of dials) bench.feed({ type: 'dialed', channel })
    const results = dials.find(({ protocol }) => protocol === 'results')?.channel ?? assert.fail('no dial for results')
    const runs = (seq: number): StepRun[] => [{ seq, rows: 1, want: 'all' }]
    for (let seq = 1; seq <= 6; seq++) {
      bench.feed({ type: 'submit', position: seq - 1, rows: 1, want: 'all' })
      bench.nowMs += 900
      const asked = bench.settle(bench.feed({ type: 'tick' })).asked
      assert.deepEqual(asked, [], `at ${bench.nowMs}`)
      const message: StepMessage = { type: 'step', from: seq, to: seq, position: seq - 1, after: 0, runs: runs(seq), computeUs: 1 }
      const taken = bench.feed({ type: 'link', channel: results, message, body: new Uint8Array(rowBytes('raw', 8)) })
      assert.ok(find(taken, 'result'))
    }
    assert.equal(bench.nowMs, 5_400)
    // The last step was submitted at 4,500, and no stage can have taken it before.
    bench.nowMs = 6_499
    assert.deepEqual(bench.settle(bench.feed({ type: 'tick' })).asked, [])
    bench.nowMs = 6_500
    assert.deepEqual(bench.settle(bench.feed({ type: 'tick' })).asked, ['1:probe'])
  })

  it('holds the caller to the contract of start and submit', () => {
    const bench = new Bench()
    assert.throws(() => bench.feed({ type: 'start', stages: [stage('a', 0, 2), stage('b', 3, 6)] }), /do not cover/)
    assert.throws(() => bench.feed({ type: 'start', stages: [stage('a', 0, 2), stage('a', 2, 6)] }), /different peers/)
    bench.open()
    assert.throws(() => bench.feed({ type: 'submit', position: 1, rows: 1, want: 'last' }), /has 0/)
    assert.throws(() => bench.feed({ type: 'submit', position: 0, rows: 33, want: 'last' }), /32 are reserved/)
    assert.throws(() => bench.feed({ type: 'submit', position: 0, rows: 0, want: 'last' }), /0 rows/)
    bench.feed({ type: 'submit', position: 0, rows: 4, want: 'last' })
    bench.feed({ type: 'submit', position: 4, rows: 4, want: 'last' })
    assert.equal(bench.machine.freeSlots, 0)
    assert.throws(() => bench.feed({ type: 'submit', position: 8, rows: 1, want: 'last' }), /free slot/)
    bench.feed({ type: 'skip', from: 2 })
    assert.equal(bench.machine.snapshot().rows, 4, 'a step after the skip cannot stand on what was skipped')
  })
})
