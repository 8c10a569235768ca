import fc from 'fast-check'
import type { WorldConfig } from './model-network.ts'
import { World } from './model-world.ts'

/** What a caller, the network and the volunteers may do; `n` says how much, or to whom. */
export type Command =
  | {
      readonly kind:
        'decode' | 'prefill' | 'forward' | 'rollback' | 'skip' | 'run' | 'kill' | 'killTwo' | 'freeze' | 'wake' | 'revive' | 'refuse'
      readonly n: number
    }
  | { readonly kind: 'breakLink' | 'breakControl' | 'stall' | 'blackhole' | 'hang' | 'poison'; readonly n: number }

const command = (weights: ReadonlyArray<readonly [Command['kind'], number]>): fc.Arbitrary<Command> =>
  fc.oneof(...weights.map(([kind, weight]) => ({ weight, arbitrary: fc.record({ kind: fc.constant(kind), n: fc.nat(99) }) })))

export const anyCommand = command([
  ['decode', 8],
  ['prefill', 5],
  ['forward', 2],
  ['rollback', 4],
  ['skip', 3],
  ['run', 8],
  ['kill', 2],
  ['killTwo', 1],
  ['freeze', 2],
  ['wake', 2],
  ['revive', 1],
  ['refuse', 1],
  ['breakLink', 3],
  ['breakControl', 1],
  ['stall', 2],
  ['blackhole', 1],
  ['hang', 1],
  ['poison', 1]
])

function perform(world: World, { kind, n }: Command): void {
  const waitForSlot = (): void => {
    world.runUntil(() => world.machine.freeSlots > 0 || world.failure !== undefined, 'a slot')
  }
  switch (kind) {
    case 'decode':
      for (let count = 0; count <= n % 4; count++) {
        waitForSlot()
        world.submit(world.rows, 1, 'last')
      }
      return
    case 'prefill':
      for (let count = 0; count <= n % 3; count++) {
        waitForSlot()
        world.submit(world.rows, 1 + ((n + count) % 8), count === n % 3 ? 'last' : 'none')
      }
      return
    case 'forward':
      waitForSlot()
      world.submit(world.rows, 1 + (n % 8), 'all')
      return
    case 'rollback':
      waitForSlot()
      world.submit(Math.floor((world.rows * n) / 100), 1 + (n % 5), n % 2 === 0 ? 'all' : 'last')
      return
    case 'skip':
      return world.skip(1 + (n % 5))
    case 'run':
      return world.run(2 * n)
    case 'kill':
      return world.kill(world.member(n))
    case 'killTwo': {
      const both = [world.member(n), world.member(n + 1)]
      for (const node of both) world.kill(node)
      return
    }
    case 'freeze':
      return world.freeze(world.member(n))
    case 'wake':
      return world.wake()
    case 'revive':
      return world.heal()
    case 'refuse':
      for (const node of world.nodes.values()) node.refuse += n % 2
      return
    case 'breakLink':
      return world.breakSome('link')
    case 'breakControl':
      return world.breakSome('control')
    case 'stall':
      return world.stall(20 * n)
    case 'blackhole':
      return world.stall(1_000_000)
    case 'hang':
      return world.hang(world.member(n))
    case 'poison':
      return world.poison(n)
  }
}

export function play(config: WorldConfig, commands: readonly Command[]): World {
  const world = new World(config)
  world.runUntil(() => world.opened || world.failure !== undefined, 'opening')
  for (const each of commands) {
    if (world.failure !== undefined) break
    perform(world, each)
  }
  world.finish()
  return world
}
