import assert from 'node:assert/strict'
import { StepLog } from '@skein/protocol'
import fc from 'fast-check'
import type { Mutation, WorldConfig } from './model-world.ts'
import type { Command } from './session-commands.ts'
import { anyCommand, play } from './session-commands.ts'

const anyConfig = fc.record({
  seed: fc.integer(),
  historyRows: fc.constantFrom(4, 12, 30, 400),
  stages: fc.integer({ min: 1, max: 4 }),
  spares: fc.integer({ min: 1, max: 4 }),
  star: fc.constant(false)
})

function check(runs: number, config: fc.Arbitrary<WorldConfig>, seed?: number): fc.RunDetails<[WorldConfig, Command[]]> {
  const commands = fc.array(anyCommand, { minLength: 5, maxLength: 40 })
  const property = fc.property(config, commands, (world, list) => {
    play(world, list)
  })
  return fc.check(property, { numRuns: runs, seed, endOnFailure: true })
}

function assertHolds(details: fc.RunDetails<[WorldConfig, Command[]]>): void {
  if (!details.failed) return
  const error = details.errorInstance instanceof Error ? details.errorInstance.stack : String(details.errorInstance)
  assert.fail(`${JSON.stringify(details.counterexample)} (seed ${details.seed})\n${error ?? ''}`)
}

describe('both sides of a session, under every bad interleaving', () => {
  it('keep every result right, once and in order, over a ring', () => {
    assertHolds(check(Number(process.env.SKEIN_RUNS ?? 300), anyConfig, Number(process.env.SKEIN_SEED ?? 4)))
  })

  it('keep every result right, once and in order, over a star', () => {
    assertHolds(
      check(
        Number(process.env.SKEIN_RUNS ?? 100),
        anyConfig.map((config) => ({ ...config, star: true })),
        Number(process.env.SKEIN_SEED ?? 5)
      )
    )
  })
})

void ({} as Mutation)
void StepLog
