import assert from 'node:assert/strict'
import { defineScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

describe('a simulated world', () => {
  it('answers as one undisturbed machine does', async () => {
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 4 }] }) })
    await world.runFor(5_000)
    const answer = await world.runUntil(world.client(0).generate({ promptTokens: 40, outputTokens: 20 }))
    assert.equal(answer.outcome, 'completed')
    assert.deepEqual(answer.tokens, answer.expected)
    assert.equal(answer.text.length, 20)
    assert.deepEqual(world.violations, [])
  })
})
