import { World, type WorldInit } from './world.ts'

/**
 * Makes a simulated world. Nothing happens until it is run.
 *
 * ```ts
 * const world = simulate({ scenario: defineScenario({ nodes: [{ count: 6, blocksPerNode: 4 }] }), seed: 7 })
 * await world.runFor(10_000)
 * const asked = world.client(0).generate({ promptTokens: 40, outputTokens: 20 })
 * world.node(2).crash()
 * const answer = await world.runUntil(asked)
 * assert.deepEqual(answer.tokens, answer.expected)
 * assert.deepEqual(world.violations, [])
 * ```
 *
 * @throws ScenarioError with every problem of a scenario that cannot be run, before anything of it is made; InvalidArgumentError
 * for a real model of another shape
 */
export function simulate(init: WorldInit): World {
  return new World(init)
}
