import assert from 'node:assert/strict'
import { seededRandom } from '@skein/protocol'
import type { Churn, DiurnalChurn } from '../scenario/scenario.ts'
import { churnSchedule, type ChurnSchedule, diurnalShare } from './churn.ts'
import { figures, type Figures } from '../report/figures.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const hourMs = 3_600_000
const diurnal: DiurnalChurn = {
  ...{ kind: 'diurnal', leastShare: 0.2, mostShare: 0.9, peakHour: 20, upMs: 2 * hourMs, dayMs: 24 * hourMs, graceful: false }
}

/** Whether a node is there at each of these times, which ascend. */
function presence(schedule: ChurnSchedule, times: readonly number[]): boolean[] {
  let isUp = schedule.firstMs === 0
  let changeMs = isUp ? schedule.stay(0) : schedule.firstMs
  return times.map((time) => {
    while (changeMs <= time) {
      isUp = !isUp
      changeMs += isUp ? schedule.stay(changeMs) : schedule.away(changeMs)
    }
    return isUp
  })
}

describe('churn that follows the day', () => {
  const count = 4_000
  const hours = Array.from({ length: 17 }, (_, index) => 3 * index)

  /** The share of many nodes that is there at each of the hours. */
  function shares(churn: DiurnalChurn, longitude: number, startHour: number): number[] {
    const there = hours.map(() => 0)
    for (let index = 0; index < count; index++) {
      const schedule = churnSchedule(churn, { index, longitude, startHour }, seededRandom(index))
      presence(
        schedule,
        hours.map((hour) => hour * hourMs)
      ).forEach((isUp, at) => (there[at]! += isUp ? 1 / count : 0))
    }
    return there
  }

  it('has the share of its cosine there at every hour of two days, where its nodes are', () => {
    for (const [longitude, startHour] of [
      [0, 0],
      [135, 6],
      [-75, 0]
    ] as const) {
      const found = shares(diurnal, longitude, startHour)
      hours.forEach((hour, at) => {
        const local = startHour + longitude / 15 + hour
        const expected = 0.2 + (0.7 * (1 + Math.cos((2 * Math.PI * (local - 20)) / 24))) / 2
        assert.ok(Math.abs(diurnalShare(diurnal, local / 24) - expected) < 1e-12)
        // Five standard deviations of a share of so many nodes.
        const bound = 5 * Math.sqrt((expected * (1 - expected)) / count)
        assert.ok(Math.abs(found[at]! - expected) < bound, `at ${local} o'clock: ${found[at]}, expected ${expected}`)
      })
    }
  })

  it('keeps the share also where it falls faster than stays end, and where there is no day', () => {
    const long = shares({ ...diurnal, upMs: 1_000 * hourMs }, 0, 0)
    const flat = shares({ ...diurnal, leastShare: 0.5, mostShare: 0.5 }, 0, 0)
    hours.forEach((hour, at) => {
      assert.ok(Math.abs(long[at]! - diurnalShare(diurnal, hour / 24)) < 0.04, `${hour} h: ${long[at]}`)
      assert.ok(Math.abs(flat[at]! - 0.5) < 0.04)
    })
  })
})

describe('churn of a trace', () => {
  const churn: Churn = {
    kind: 'trace',
    sessions: [
      [
        [0, 10_000],
        [20_000, 30_000]
      ],
      [[5_000, 1e12]],
      []
    ],
    graceful: false
  }

  it('comes and goes as the trace says', () => {
    const times = [0, 6_000, 10_000, 19_999, 20_000, 29_999, 30_000, 1e9]
    const of = (index: number): string => {
      const schedule = churnSchedule(churn, { index, longitude: 0, startHour: 0 }, seededRandom(1))
      return presence(schedule, times).map(Number).join('')
    }
    assert.deepEqual([of(0), of(1), of(2)], ['11001100', '01111111', '00000000'])
  })

  it('is what nodes of a world do, whose record says so; everything comes back in the end', async () => {
    const scenario = defineScenario({ durationMs: 40_000, settleMs: 1_000, nodes: [{ count: 1 }, { count: 3, blocksPerNode: 8, churn }] })
    const record = await simulate({ scenario }).run()
    assert.deepEqual(record.violations, [])
    const end = record.virtualMs
    assert.deepEqual(
      record.nodes.slice(1).map(({ up }) => up),
      [
        [
          [0, 10_000],
          [20_000, 30_000],
          [40_000, end]
        ],
        [[5_000, end]],
        [[40_000, end]]
      ]
    )
  })

  it('is what the averages tell: neither that nodes start one by one, nor that all come back in the end', async () => {
    const of = async (nodes: PartialScenario['nodes']): Promise<Figures> =>
      figures(await simulate({ scenario: defineScenario({ durationMs: 98_000, nodes: nodes! }) }).run())
    const quarter = { span: { start: 6, end: 8 } } as const
    // From 2 s to 98 s, the last node is there from 50 s on.
    const late: Churn = { kind: 'trace', sessions: [[[50_000, 1e12]]], graceful: false }
    const found = await of([
      { count: 3, span: { start: 0, end: 6 } },
      { ...quarter, churn: late }
    ])
    assert.ok(Math.abs(found.coveredShare! - 0.5) < 0.02, `${found.coveredShare}`)
    assert.ok(Math.abs(found.nodesUpMean! - 3.5) < 0.03, `${found.nodesUpMean}`)
    const always = await of([{ count: 8, blocksPerNode: 1 }])
    assert.deepEqual([always.leastCoverage, always.coveredShare, always.nodesUpMean], [1, 1, 8])
  })

  it('survives faults: who is killed comes back with the next session', async () => {
    const scenario = defineScenario({
      durationMs: 40_000,
      settleMs: 1_000,
      nodes: [{ count: 1 }, { count: 3, blocksPerNode: 8, churn }],
      faults: [{ kind: 'crash', atMs: 7_000, target: { node: 1 } }]
    })
    const record = await simulate({ scenario }).run()
    assert.deepEqual(record.violations, [])
    assert.deepEqual(record.nodes[1]?.up.slice(0, 2), [
      [0, 7_000],
      [20_000, 30_000]
    ])
  })
})
