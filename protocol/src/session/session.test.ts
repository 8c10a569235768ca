import assert from 'node:assert/strict'
import fc from 'fast-check'
import { limits } from '../limits.ts'
import type { HeldMessage } from '../messages/link.ts'
import { LinkDialer } from './link-dialer.ts'
import { isProblem, LinkSender } from './link-sender.ts'
import { heldSeqAt, RowMap } from './row-map.ts'
import { StepLog } from './step-log.ts'
import { stepPatienceMs } from './step-patience.ts'

describe('RowMap', () => {
  it('agrees with one seq per row under any cuts and appends', () => {
    const operation = fc.record({ position: fc.nat(40), rows: fc.nat(6) })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), fc.integer({ min: 1, max: 8 }), (operations, maxRuns) => {
        const map = new RowMap()
        const rows: number[] = []
        operations.forEach((each, index) => {
          const position = Math.min(each.position, rows.length)
          map.cut(position)
          rows.length = position
          map.append(each.rows, index + 1)
          for (let row = 0; row < each.rows; row++) rows.push(index + 1)
        })
        assert.equal(map.rows, rows.length)
        rows.forEach((seq, row) => assert.equal(map.seqAt(row), seq))
        assert.equal(map.seqAt(-1), 0)
        assert.throws(() => map.seqAt(rows.length), RangeError)
        for (let seq = 0; seq <= operations.length + 1; seq++) {
          const first = rows.findIndex((other) => other >= seq)
          assert.equal(map.firstRowFrom(seq), first === -1 ? rows.length : first)
        }
        const held = { rows: map.rows, lastSeq: operations.length, tail: map.tail(maxRuns) }
        const firstKnown = held.tail[0]?.[0] ?? 0
        rows.forEach((seq, row) => assert.equal(heldSeqAt(held, row), row < firstKnown ? undefined : seq))
      })
    )
  })
})

const segment = (seq: number, position: number, rows: number, frame = seq): Parameters<StepLog<string>['record']>[0] => ({
  seq,
  position,
  rows,
  want: 'last',
  frame,
  computeUs: 0,
  bytesPerRow: 10,
  data: `s${seq}`
})

const held = (lastSeq: number, rows: number, steps = 8, bytes = 10_000): HeldMessage => ({
  type: 'held',
  term: 1,
  held: { rows, lastSeq, tail: [] },
  steps,
  bytes
})

describe('StepLog', () => {
  it('shortens the segment that a cut-back crosses and drops the later ones', () => {
    const log = new StepLog<string>(true)
    log.record(segment(1, 0, 4))
    log.record(segment(2, 4, 4))
    log.record(segment(3, 8, 1))
    log.record(segment(4, 6, 2))
    assert.deepEqual(
      log.segments.map(({ seq, validRows }) => [seq, validRows]),
      [
        [1, 4],
        [2, 2],
        [4, 2]
      ]
    )
    assert.equal(log.after(6), 2)
    assert.throws(() => log.record(segment(4, 0, 1)), /seq 4 after 4/)
    assert.throws(() => log.record(segment(5, 9, 1)), /row 9 after 8/)
  })

  it('drops the oldest for want of room, and says which seqs are lost by it', () => {
    const log = new StepLog<string>(true)
    for (let seq = 1; seq <= 5; seq++) log.record(segment(seq, 2 * (seq - 1), 2))
    assert.equal(log.bytes, 100)
    log.drop(3, 50)
    assert.equal(log.bytes, 40)
    assert.deepEqual([log.historyFrom, log.lostSeq], [6, 3])
    log.drop(3, 0)
    assert.deepEqual([log.historyFrom, log.bytes], [6, 40], 'what is not acknowledged stays')
    log.cut(4)
    assert.deepEqual([log.historyFrom, log.lostSeq, log.bytes], [4, 2, 0])
  })

  it('forgets what skipped steps wrote, unless a later step has cut it', () => {
    const log = new StepLog<string>(true)
    log.record(segment(1, 0, 4))
    log.record(segment(2, 4, 2))
    log.skip(2, 3)
    assert.equal(log.map.rows, 4)
    log.recordVoid(3)
    log.record(segment(4, 4, 1))
    log.skip(2, 3)
    assert.equal(log.map.rows, 5)
  })
})

describe('LinkSender', () => {
  const options = { replayChunkRows: 5, ackFloorMs: 100, ackFactor: 4 }
  const drain = (sender: LinkSender<string>): Array<[from: number, to: number, position: number, rows: number[]]> => {
    const all: Array<[number, number, number, number[]]> = []
    for (let next = sender.next(0); next !== undefined; next = sender.next(0)) {
      assert.ok(!isProblem(next))
      const { from, to, position, runs } = next.message
      all.push([from, to, position, runs.map((run) => run.rows)])
    }
    return all
  }

  it('sends nothing before held, replays in chunks with void seqs counted in, and sends live steps one by one', () => {
    const log = new StepLog<string>(true)
    const before = new LinkSender(log, options)
    before.onHeld(held(0, 0))
    const sender = new LinkSender(log, options)
    log.record(segment(1, 0, 2))
    log.record(segment(2, 2, 2))
    log.record(segment(3, 4, 2))
    assert.equal(drain(before).length, 3)
    log.record(segment(4, 4, 1))
    assert.equal(drain(before).length, 1)
    assert.equal(sender.next(0), undefined)
    assert.equal(sender.onHeld(held(0, 0)), undefined)
    log.record(segment(5, 5, 1))
    log.recordVoid(6)
    log.record(segment(7, 6, 1))
    assert.deepEqual(drain(sender), [
      [1, 4, 0, [2, 2, 1]],
      [5, 5, 5, [1]],
      [6, 6, 0, []],
      [7, 7, 6, [1]]
    ])
  })

  it('keeps the steps of a prefill apart that began before the link was there, so that stages can work on them at once', () => {
    const log = new StepLog<string>(true)
    const sender = new LinkSender(log, options)
    log.record(segment(1, 0, 2))
    log.record(segment(2, 2, 2))
    sender.onHeld(held(0, 0))
    assert.deepEqual(drain(sender), [
      [1, 1, 0, [2]],
      [2, 2, 2, [2]]
    ])
    sender.onHeld(held(0, 0))
    assert.deepEqual(drain(sender), [[1, 2, 0, [2, 2]]], 'sent once, they are history')
  })

  it('forwards only the end of a frame when the receiver has its beginning', () => {
    const log = new StepLog<string>(true)
    const sender = new LinkSender(log, options)
    sender.onHeld(held(2, 4))
    for (const seq of [1, 2, 3]) log.record(segment(seq, 2 * (seq - 1), 2, 1))
    assert.deepEqual(drain(sender), [[3, 3, 4, [2]]])
  })

  it('stops at the credit in steps and in bytes, and goes on with an ack', () => {
    const log = new StepLog<string>(true)
    const sender = new LinkSender(log, options)
    sender.onHeld(held(0, 0, 2, 30))
    for (const seq of [1, 2, 3, 4]) log.record(segment(seq, seq - 1, 1))
    assert.equal(drain(sender).length, 2)
    assert.equal(sender.onAck({ type: 'ack', seq: 1, steps: 4, bytes: 30 }, 1), undefined)
    assert.equal(drain(sender).length, 1)
    assert.equal(sender.onAck({ type: 'ack', seq: 9, steps: 4, bytes: 99 }, 1)?.code, 'ERR_SKEIN_MALFORMED')
  })

  it('does not take the last row of a shortened step for the one that was wanted', () => {
    const log = new StepLog<string>(true)
    const sender = new LinkSender(log, options)
    log.record(segment(1, 0, 3, 1))
    log.record(segment(2, 2, 1, 1))
    sender.onHeld(held(0, 0))
    const next = sender.next(0)
    assert.ok(next !== undefined && !isProblem(next))
    assert.deepEqual(
      next.message.runs.map((run) => run.want),
      ['none', 'last']
    )
  })

  it('refuses a receiver that needs rows which were dropped, or holds other content', () => {
    const log = new StepLog<string>(true)
    const sender = new LinkSender(log, options)
    for (const seq of [1, 2, 3]) log.record(segment(seq, seq - 1, 1))
    log.drop(2, 0)
    assert.equal(sender.onHeld(held(1, 1))?.code, 'ERR_SKEIN_HISTORY_LOST')
    assert.equal(sender.onHeld({ ...held(2, 2), held: { rows: 2, lastSeq: 2, tail: [[0, 1]] } }), undefined)
    const next = sender.next(0)
    assert.ok(isProblem(next))
    assert.equal(next.code, 'ERR_SKEIN_OUT_OF_ORDER')
  })

  it('learns how long a step takes, and says once per deadline that one is overdue', () => {
    const log = new StepLog<string>(true)
    const sender = new LinkSender(log, options)
    sender.onHeld(held(0, 0))
    log.record(segment(1, 0, 1))
    sender.next(0)
    assert.equal(sender.overdueAtMs, 100 + stepPatienceMs(1, 10))
    sender.onAck({ type: 'ack', seq: 1, steps: 8, bytes: 999 }, limits.ackLaterMs + 50)
    assert.equal(sender.overdueAtMs, undefined)
    log.record(segment(2, 1, 2))
    sender.next(5_000)
    // What may be the time for which the acknowledgement was put off counts once, and not for each row and four times.
    const atMs = 5_000 + limits.ackLaterMs + 4 * 50 * 2 + stepPatienceMs(2, 10)
    assert.equal(sender.overdueAtMs, atMs)
    assert.deepEqual([sender.takeOverdue(atMs - 1), sender.takeOverdue(atMs), sender.takeOverdue(atMs + 1)], [false, true, false])
  })
})

describe('LinkDialer', () => {
  it('dials again a stated number of times, waiting longer each time, and begins anew once it was open', () => {
    const dialer = new LinkDialer({ greetMs: 100, redials: 2, redialMs: 10 })
    dialer.dial(-1, 0)
    assert.equal(dialer.due(99), undefined)
    assert.equal(dialer.due(100), 'timeout')
    dialer.lost(100)
    assert.deepEqual([dialer.state, dialer.wakeAtMs, dialer.channel], ['waiting', 110, undefined])
    assert.equal(dialer.due(110), 'dial')
    dialer.dial(-2, 110)
    dialer.connected()
    dialer.opened()
    assert.equal(dialer.wakeAtMs, undefined)
    dialer.lost(200)
    assert.equal(dialer.wakeAtMs, 210)
    dialer.dial(-3, 210)
    dialer.lost(211)
    assert.equal(dialer.wakeAtMs, 231)
    dialer.dial(-4, 231)
    dialer.lost(232)
    assert.deepEqual([dialer.state, dialer.wakeAtMs], ['down', undefined])
  })
})
