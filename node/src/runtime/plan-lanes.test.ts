import assert from 'node:assert/strict'
import fc from 'fast-check'
import { planLanes, planLanesDefaults } from './plan-lanes.ts'
import type { LaneEntry, LaneRun, PlanLanesOptions } from './plan-lanes.ts'

const capacity = 40
const segments = 3
const slotsPerSegment = 6

/** Rows that slots without an entry hold, and entries in distinct slots. */
const turn = fc
  .record({
    held: fc.array(fc.nat(capacity), { minLength: segments * slotsPerSegment, maxLength: segments * slotsPerSegment }),
    slots: fc.uniqueArray(fc.nat(segments * slotsPerSegment - 1), { minLength: 1 }),
    seeds: fc.array(fc.record({ rows: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 })), cut: fc.nat(3), exact: fc.boolean() }), {
      minLength: segments * slotsPerSegment,
      maxLength: segments * slotsPerSegment
    })
  })
  .map(({ held, slots, seeds }) => {
    const entries = slots.map((place, i): LaneEntry => {
      const { rows, cut, exact } = seeds[i] as { rows: number; cut: number; exact: boolean }
      const position = Math.max(0, Math.min((held[place] as number) - cut, capacity - rows))
      return { rows, position, exact, segment: Math.floor(place / slotsPerSegment), slot: place % slotsPerSegment }
    })
    return { entries, heldRows: (segment: number, slot: number) => held[segment * slotsPerSegment + slot] as number }
  })

const options = fc.record({
  lanes: fc.integer({ min: 1, max: 4 }),
  maxRunRows: fc.integer({ min: 2, max: 24 }),
  maxWindowSlots: fc.integer({ min: 1, max: slotsPerSegment }),
  maxIdleRows: fc.constantFrom(0, 20, 1000)
})

function forEachPlan(
  check: (plan: LaneRun[], entries: LaneEntry[], options: PlanLanesOptions, held: (a: number, b: number) => number) => void
): void {
  fc.assert(
    fc.property(turn, options, ({ entries, heldRows }, opts) => check(planLanes(entries, heldRows, opts), entries, opts, heldRows)),
    { numRuns: 500 }
  )
}

describe('planLanes', () => {
  it('takes every row once, in order, within the limits', () => {
    forEachPlan((plan, entries, opts) => {
      const next = entries.map(() => 0)
      for (const run of plan) {
        assert.ok(run.rows >= 1 && run.rows <= opts.maxRunRows)
        assert.equal(run.lanes.length, opts.lanes)
        assert.equal(
          run.pieces.reduce((sum, piece) => sum + piece.rows, 0),
          run.rows
        )
        assert.equal(new Set(run.pieces.map((piece) => piece.entry)).size, run.pieces.length, 'an entry is once in a run')
        for (const piece of run.pieces) {
          assert.equal(piece.from, next[piece.entry])
          next[piece.entry] = piece.from + piece.rows
        }
        const expected = run.pieces.flatMap((piece) =>
          Array.from({ length: piece.rows }, (_, i) => (entries[piece.entry] as LaneEntry).position + piece.from + i)
        )
        assert.deepEqual(run.positions, expected)
      }
      assert.deepEqual(
        next,
        entries.map((entry) => entry.rows)
      )
    })
  })

  it('never makes a shape that attention refuses', () => {
    forEachPlan((plan) => {
      for (const lane of plan.flatMap((run) => run.lanes)) {
        assert.ok(lane.slots >= 1 && lane.rowsPerSlot >= 1)
        assert.ok(lane.slots === 1 || lane.rowsPerSlot === 1)
        assert.equal(lane.rows.length, lane.slots * lane.rowsPerSlot)
        assert.equal(lane.seqlens.length, lane.slots)
        assert.equal(lane.total, Math.max(...lane.seqlens) + 1)
        for (const seqlen of lane.seqlens) {
          assert.ok(seqlen + 1 - lane.rowsPerSlot >= 0, 'no negative past')
          assert.ok(seqlen <= capacity, 'the last row is at most the spare one')
        }
      }
    })
  })

  it('sends each row through the slot of its entry and finds its result again', () => {
    forEachPlan((plan, entries) => {
      for (const run of plan) {
        const results = run.lanes.flatMap((lane) => [...lane.rows])
        run.order.forEach((index, row) => assert.equal(results[index], row))
        assert.equal(run.order.length, run.rows)
        const entryOfRow = run.pieces.flatMap((piece) => new Array<number>(piece.rows).fill(piece.entry))
        for (const lane of run.lanes) {
          lane.rows.forEach((row, i) => {
            if (row === run.rows) return
            const entry = entries[entryOfRow[row] as number] as LaneEntry
            const slot = lane.firstSlot + Math.floor(i / lane.rowsPerSlot)
            assert.deepEqual([lane.segment, slot], [entry.segment, entry.slot])
            const past = (lane.seqlens[slot - lane.firstSlot] as number) + 1 - lane.rowsPerSlot
            assert.equal(past + (i % lane.rowsPerSlot), run.positions[row], 'a row is written at its position')
          })
        }
      }
    })
  })

  it('makes lanes of exact entries even and remainders of chunks no single row, by one dummy row behind the others', () => {
    forEachPlan((plan, entries) => {
      for (const run of plan) {
        const entryOfRow = run.pieces.flatMap((piece) => new Array<number>(piece.rows).fill(piece.entry))
        for (const lane of run.lanes) {
          const real = lane.rows.filter((row) => row !== run.rows)
          for (const row of real) {
            const entry = entries[entryOfRow[row] as number] as LaneEntry
            if (entry.exact) assert.equal(lane.rowsPerSlot % 2, 0)
            assert.equal(lane.rowsPerSlot > 1, entry.exact || entry.rows > 1)
          }
          if (lane.rowsPerSlot > 1) assert.deepEqual(lane.rows.slice(real.length), lane.rowsPerSlot > real.length ? [run.rows] : [])
        }
      }
    })
  })

  it('lets idle slots write only behind what their cache holds after the turn', () => {
    forEachPlan((plan, entries, _, heldRows) => {
      for (const run of plan) {
        for (const lane of run.lanes) {
          if (lane.rowsPerSlot !== 1 || lane.segment === undefined) continue
          lane.rows.forEach((row, i) => {
            if (row !== run.rows) return
            const slot = lane.firstSlot + i
            const entry = entries.find((other) => other.segment === lane.segment && other.slot === slot)
            const after = entry === undefined ? heldRows(lane.segment as number, slot) : entry.position + entry.rows
            assert.equal(lane.seqlens[i], after)
          })
        }
      }
    })
  })

  const opts = { ...planLanesDefaults, lanes: 3 }
  const decode = (segment: number, slot: number): LaneEntry => ({ rows: 1, position: 7, exact: false, segment, slot })

  it('puts neighbours into one lane and leaves gaps to free lanes', () => {
    const [run, ...rest] = planLanes([decode(0, 0), decode(0, 3), decode(0, 1), decode(1, 2)], () => 5, opts)
    assert.deepEqual(rest, [])
    assert.deepEqual(
      run?.lanes.map((lane) => [lane.segment, lane.firstSlot, lane.slots]),
      [
        [0, 0, 2],
        [0, 3, 1],
        [1, 2, 1]
      ]
    )
  })

  it('bridges idle slots when lanes run out', () => {
    const entries = [decode(0, 0), decode(0, 3), decode(1, 2), { ...decode(2, 0), rows: 9 }]
    const [run, ...rest] = planLanes(entries, () => 5, opts)
    assert.deepEqual(rest, [])
    assert.deepEqual(run?.lanes[0]?.rows, [0, 11 + 1, 12, 1])
    assert.deepEqual(run?.lanes[0]?.seqlens, [7, 5, 5, 7])
    assert.equal(planLanes(entries, () => 5000, opts).length, 2, 'not if the idle slots hold too much')
  })
})
