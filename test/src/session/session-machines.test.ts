import assert from 'node:assert/strict'
import type { HeldMessage, Problem } from '@skein/protocol'
import { LinkSender, StepLog } from '@skein/protocol'
import fc from 'fast-check'
import type { Mutation, WorldConfig } from './model-network.ts'
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

/** Replaces one method of a class while `body` runs. */
function withMethod<T extends object, K extends keyof T>(prototype: T, name: K, method: T[K], body: () => void): void {
  const original = Object.getOwnPropertyDescriptor(prototype, name) as PropertyDescriptor
  Object.defineProperty(prototype, name, { ...original, value: method })
  try {
    body()
  } finally {
    Object.defineProperty(prototype, name, original)
  }
}

describe('the test of the session machines sees a planted bug', () => {
  const sees = (mutation?: Mutation): void => {
    const config = anyConfig.map((each) => ({ ...each, mutation }))
    assert.ok(check(400, config, 6).failed, 'no run failed')
  }

  it('a cache that keeps what lies beyond the position', () => sees('staleCache'))

  it('a step that is applied twice', () => sees('appliedTwice'))

  it('a link of an older term that is taken for the present one', () => sees('oldTermAccepted'))

  it('history that is dropped before it was acknowledged', () => {
    const drop = StepLog.prototype.drop
    const early = function (this: StepLog<Uint8Array>, _seq: number, budgetBytes: number): void {
      drop.call(this, this.lastSeq, budgetBytes / 4)
    }
    withMethod(StepLog.prototype, 'drop', early, () => sees())
  })

  it('a cut-back that is not applied to the log', () => {
    const cut = function (this: StepLog<Uint8Array>, position: number): void {
      this.map.cut(position)
    }
    withMethod(StepLog.prototype, 'cut', cut, () => sees())
  })

  it('a sender that does not begin behind what its receiver holds', () => {
    const onHeld = LinkSender.prototype.onHeld
    const blind = function (this: LinkSender<Uint8Array>, message: HeldMessage): Problem | undefined {
      return onHeld.call(this, { ...message, held: { ...message.held, lastSeq: message.held.lastSeq + 1 } })
    }
    withMethod(LinkSender.prototype, 'onHeld', blind, () => sees())
  })
})
