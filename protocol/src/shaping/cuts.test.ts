import assert from 'node:assert/strict'
import { peerA, peerB } from '../testing/memory-compliance.node.ts'
import { ConnectionCuts, connectionTimes, isCut, retransmissionAt } from './cuts.ts'
import type { Cut } from './link-profile.ts'

const { keepAliveIntervalMs, keepAliveTimeoutMs } = connectionTimes
const oneWayMs = 10

/** One connection between two peers, as each of its sides feels it. */
function sides(toB: readonly Cut[], toA = toB, sinceMs = 0): { readonly a: ConnectionCuts; readonly b: ConnectionCuts } {
  return {
    a: new ConnectionCuts({ there: toB, back: toA }, sinceMs, oneWayMs, peerA, peerB),
    b: new ConnectionCuts({ there: toA, back: toB }, sinceMs, oneWayMs, peerB, peerA)
  }
}

describe('a cut', () => {
  it('is noticed to be over at the first retransmission that comes through', () => {
    assert.deepEqual(
      [0, 200, 201, 700, 1500].map((ms) => retransmissionAt(0, ms)),
      [200, 200, 600, 1400, 3000]
    )
    assert.equal(retransmissionAt(5_000_000, 5_700_000, 1000), 6_400_000)
    // The waits stop to double at two minutes: 200 ms * (2^10 - 1) is the last that grows to less.
    assert.equal(retransmissionAt(0, 205_000), 324_600)
    const { a } = sides([[1000, 1500]])
    assert.deepEqual(
      [999, 1000, 1500, 1599, 1600].map((ms) => a.leavesAt(ms)),
      [999, 1600, 1600, 1600, 1600]
    )
    assert.deepEqual(
      [999, 1000, 1499, 1500].map((ms) => isCut({ there: [], back: [[1000, 1500]] }, ms)),
      [false, true, true, false]
    )
  })

  it('goes on as one with the next when no retransmission comes through between them', () => {
    const { a } = sides([
      [1000, 1500],
      [1550, 1700],
      [2600, 2700]
    ])
    assert.deepEqual([a.leavesAt(1540), a.leavesAt(1800), a.leavesAt(2600)], [2400, 2400, 2800])
  })

  it('is none of a connection that came to be later', () => {
    const { a } = sides([[1000, 60_000]], undefined, 60_010)
    assert.deepEqual([a.leavesAt(60_020), a.peerSendsAt(60_020), a.break.atMs], [60_020, 60_020, Infinity])
    assert.ok(sides([[1000, 60_000]]).a.leavesAt(60_020) > 100_000)
  })

  it('of less than the shortest patience breaks nothing', () => {
    // After 5 s the retransmission of 3 s has failed, and the next is after 6.2 s.
    assert.deepEqual(sides([[0, 2900]]).a.break, { atMs: Infinity, theirsMs: Infinity })
  })

  it('that lasts breaks a connection at both sides, each by its own monitor', () => {
    const { a, b } = sides([[1000, 60_000]])
    const [atA, atB] = [a.break, b.break]
    for (const { atMs } of [atA, atB]) {
      assert.ok(atMs >= 1000 + keepAliveTimeoutMs && atMs < 1000 + keepAliveTimeoutMs + keepAliveIntervalMs, `${atMs}`)
    }
    assert.notEqual(atA.atMs, atB.atMs)
    assert.deepEqual([atA.theirsMs, atB.theirsMs], [atB.atMs, atA.atMs])
  })

  it('tells the side that waits longer by its own retransmission, which is answered by a reset', () => {
    const long = sides([[0, 60_000]])
    const [soonest, latest] = [long.a.break.atMs, long.b.break.atMs].toSorted((x, y) => x - y) as [number, number]
    assert.ok(soonest < 12_600 && latest > soonest)
    // It ends when one has given up and the other not; the retransmissions are after 6.2 and 12.6 s.
    const toMs = soonest + 1
    const resumeMs = retransmissionAt(0, toMs)
    const { a, b } = sides([[0, toMs]])
    const found = [a.break.atMs, b.break.atMs].toSorted((x, y) => x - y)
    assert.deepEqual(found, [soonest, Math.min(latest, resumeMs + 2 * oneWayMs)])
  })

  it('one way breaks the connection as well: the side that is heard tells the other one', () => {
    const { a, b } = sides([[0, 60_000]], [])
    assert.equal(a.leavesAt(10), retransmissionAt(0, 60_000))
    assert.deepEqual([a.peerSendsAt(10), b.leavesAt(10), b.peerSendsAt(10)], [10, 10, retransmissionAt(0, 60_000)])
    const [atA, atB] = [a.break, b.break]
    if (atB.atMs < atA.atMs) assert.equal(atA.atMs, Math.min(atB.atMs + oneWayMs, atB.theirsMs))
    else assert.ok(atA.atMs < atB.atMs)
    // The other way round, it is the other one that is told.
    const [first, second] = [atA, sides([], [[0, 60_000]]).b.break]
    const told = [first, second].filter(({ atMs, theirsMs }) => atMs === theirsMs + oneWayMs)
    assert.equal(told.length, 1)
  })
})
