import assert from 'node:assert/strict'
import { ScenarioError } from '../scenario/problems.ts'
import type { FaultTarget, ScenarioFault } from '../scenario/scenario.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import { simulate } from './simulate.ts'

const crash = (target: FaultTarget, atMs = 1_000): ScenarioFault => ({ kind: 'crash', atMs, target })

describe('simulate', () => {
  const cases: ReadonlyArray<readonly [what: string, partial: PartialScenario, problem: RegExp]> = [
    [
      'blocks that nobody hosts',
      { nodes: [{ count: 1, blocksPerNode: 1 }] },
      /^test: nodes: the model has 8 blocks, and .* 8 blocks are left for nodes that can host 1/
    ],
    ['a negative count', { nodes: [{}, { count: -3 }] }, /^test: nodes\[1\]\.count: expected a whole number from 0 to 100000, not -3$/],
    ['half a node', { nodes: [{ count: 2.5 }] }, /nodes\[0\]\.count: expected a whole number from 0 to 100000, not 2\.5/],
    ['a duration that is no number', { durationMs: NaN }, /^test: durationMs: expected a finite number of at least 0, not NaN$/],
    ['time without end', { settleMs: Infinity }, /settleMs: expected a finite number of at least 0, not Infinity/],
    [
      'a share above 1',
      { faults: [{ kind: 'corrupt', atMs: 0, forMs: 1, target: { node: 0 }, share: 1.5 }] },
      /faults\[0\]\.share: expected a finite number from 0 to 1, not 1\.5/
    ],
    ['what YAML may not say either', { nodes: [{ count: 3, maxSessions: 1e9 }] }, /maxSessions: expected a whole number from 1 to 100000/],
    [
      'bandwidth that is no number',
      { clients: [{ upMbps: { kind: 'uniform', min: 1, max: NaN } }] },
      /clients\[0\]\.upMbps\.max: expected a finite number/
    ],
    ['no time at all', { durationMs: 0 }, /duration: expected more than 0/],
    ['nobody who asks', { clients: [] }, /clients: there are none/],
    [
      'a span that the model has not',
      { nodes: [{}, { span: { start: 5, end: 99 } }] },
      /nodes\[1\]\.span: .* at most the model's 8 blocks/
    ],
    [
      'an unknown region',
      { nodes: [{ count: 3, regions: ['mars'] }] },
      /nodes\[0\]\.regions\[0\]: 'mars' is not one of the scenario's regions: here/
    ],
    ['no region', { nodes: [{ count: 3, regions: [] }] }, /nodes\[0\]\.regions: expected at least one region/],
    ['a fault of a node that is not there', { faults: [crash({ node: 99 })] }, /faults\[0\]\.target\.node: there are 3 nodes/],
    ['a fault of an unknown group', { faults: [crash({ group: 'nope' })] }, /faults\[0\]\.target\.group: no group is called 'nope'/],
    ['a fault of nobody', { faults: [crash({ random: 0 })] }, /faults\[0\]\.target\.random: expected at least 1/],
    ['a fault after the end', { faults: [crash({ node: 0 }, 60_000)] }, /faults\[0\]\.at: expected a time before/],
    ['a lie that is not allowed', { faults: [{ kind: 'lie', atMs: 0, target: { node: 0 }, share: 1 }] }, /allowLies: true/],
    ['a figure that does not exist', { expect: [{ figure: 'completdShare', atLeast: 1 }] }, /did you mean completedShare/]
  ]
  for (const [what, partial, problem] of cases) {
    it(`refuses ${what} before anything runs`, () => {
      assert.throws(
        () => simulate({ scenario: defineScenario(partial) }),
        (error) => {
          assert.ok(error instanceof ScenarioError, String(error))
          assert.match(error.message, problem)
          return true
        }
      )
    })
  }

  it('refuses a seed that is none', () => {
    for (const seed of [-1, 1.5, NaN, 2 ** 32]) {
      assert.throws(() => simulate({ scenario: defineScenario(), seed }), /^ScenarioError: test: seed: expected a whole number/)
    }
  })

  it('runs a world to its end once', async () => {
    const world = simulate({ scenario: defineScenario({ durationMs: 1_000, settleMs: 1_000 }) })
    await world.runFor(500)
    await world.run()
    await assert.rejects(world.run(), /this world has run to its end/)
  })

  it('tells all that is wrong at once', () => {
    const faults = [crash({ node: 99 }), crash({ group: 'nope' })]
    assert.throws(() => simulate({ scenario: defineScenario({ nodes: [{ count: 3, regions: ['mars'] }], faults }) }), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message: /regions\[0\].*\n.*faults\[0\].*\n.*faults\[1\]/
    })
  })
})
