import assert from 'node:assert/strict'
import { liveEventLog, type RunRecord } from '../record/run-record.ts'
import { syntheticRecord } from '../report/synthetic-record.test-helper.ts'
import { defineScenario } from '../world/define-scenario.ts'
import { summaryLines } from './summary.ts'

const violation = { oracle: 'answer', atMs: 1, text: 'wrong', lastEvents: [], replay: 'skein-sim again' }
const simulated = syntheticRecord({ seconds: 60 })
const live: RunRecord = { ...simulated, eventLogHash: liveEventLog, notJudged: ['dreams'] }

function summary(record: RunRecord): string {
  return summaryLines(record, defineScenario({}), [], (_, text) => text, undefined).join('\n')
}

describe('the summary', () => {
  it('says with which errors generations failed', () => {
    const failing = (index: number) => ({ outcome: 'failed', errorCode: index === 0 ? 'ERR_ODD' : 'ERR_OFTEN' }) as const
    const good = simulated.generations.map((one) => ({ ...one, outcome: 'completed' as const }))
    const generations = good.map((one, index) => (index < 4 ? { ...one, ...failing(index) } : one))
    assert.match(summary({ ...simulated, generations }), /\n3 failed with ERR_OFTEN\n1 failed with ERR_ODD\n/)
    assert.doesNotMatch(summary({ ...simulated, generations: good }), /failed with/)
  })

  it('says how many answers a liar has spoilt, though they are completed', () => {
    const generations = simulated.generations.map((one, index) => (index < 2 ? { ...one, isWrong: true as const } : one))
    assert.match(summary({ ...simulated, generations }), /\n2 had tokens that one undisturbed machine does not give\n/)
    assert.doesNotMatch(summary(simulated), /undisturbed/)
  })

  it('of a simulated run tells its virtual time, and what replays it', () => {
    const text = summary({ ...simulated, violations: [violation] })
    assert.match(text, /16 nodes, 1 min of virtual time in .*, [\d,]+ events, [\d,.]+ times real time\n/)
    assert.match(text, /replay it: skein-sim again\nevent log \w+$/)
    assert.doesNotMatch(text, /real processes|cannot tell/)
  })

  it('of a live run tells of real processes, and of nothing that only a simulator knows', () => {
    const text = summary({ ...live, violations: [violation] })
    assert.match(text, /16 nodes, real processes for 1 min \(.* with their start and the judging\), [\d,]+ events\n/)
    assert.match(text, /delay is also transfer, queue and the ends: a live run cannot tell them apart\n/)
    assert.match(text, /run it again: skein-sim again\nnot judged: dreams$/)
    assert.doesNotMatch(text, /virtual time|times real time|event log|replay/)
  })
})
