import assert from 'node:assert/strict'
import { StageMachine } from '@skein/node'
import { limits } from '@skein/protocol'
import { Hub } from '../net/virtual-network.ts'
import type { Violation } from '../record/run-record.ts'
import type { Scenario, ScenarioFault } from '../scenario/scenario.ts'
import { defineScenario } from '../world/define-scenario.ts'
import { simulate } from '../world/simulate.ts'
import { asking, exponential, patched } from './mutants.test-helper.ts'

/** The power of two of three clients goes; one of them comes back. */
const scenario = (atMs: number, durationMs: number): Scenario => {
  const power = { kind: 'crash', atMs, how: 'host' } as const
  const faults: ScenarioFault[] = [
    { ...power, target: { client: 0 } },
    { ...power, target: { client: 1 }, restartAfterMs: 5_000 }
  ]
  return defineScenario({
    ...{ name: 'leases', durationMs, faults },
    nodes: [{ count: 6, blocksPerNode: 4 }],
    clients: [
      {
        count: 3,
        workload: {
          ...asking,
          // What it holds between messages is held when it goes, whatever the seed.
          conversation: { turns: exponential(20), thinkMs: exponential(500), stopShare: 0 }
        }
      }
    ]
  })
}

/** A node's sessions have leases that never end. */
function endlessLeases(): () => void {
  const undo = [
    patched(limits, 'maxLeaseMs', () => ({ configurable: true, enumerable: true, writable: true, value: Infinity })),
    patched(StageMachine.prototype, 'handle', ({ value }) => ({
      configurable: true,
      value(this: StageMachine, event: Parameters<StageMachine['handle']>[0], nowMs: number) {
        const isOpen = event.type === 'control' && event.request.type === 'open'
        const planted = isOpen ? { ...event, request: { ...event.request, leaseMs: Infinity } } : event
        return (value as StageMachine['handle']).call(this, planted, nowMs)
      }
    }))
  ]
  return () => undo.forEach((each) => each())
}

/** And they outlive the channel by which they are controlled. */
function deafSessions(): () => void {
  return patched(StageMachine.prototype, 'handle', ({ value }) => ({
    configurable: true,
    value(this: StageMachine, event: Parameters<StageMachine['handle']>[0], nowMs: number) {
      if (event.type === 'controlClosed' && this.snapshot().status === 'open') return []
      return (value as StageMachine['handle']).call(this, event, nowMs)
    }
  }))
}

/** Connections on which nobody answers stay: the lease is all that ends a session. */
function noMonitors(): () => void {
  return patched(Hub.prototype, 'drawKeepAliveUs', () => ({ configurable: true, value: () => 3_600e6 }))
}

async function violated(patches: ReadonlyArray<() => () => void>, seed: number, atMs = 20_000, durationMs = 120_000): Promise<Violation[]> {
  const undo = patches.map((patch) => patch())
  try {
    return [...(await simulate({ scenario: scenario(atMs, durationMs), seed }).run()).violations]
  } finally {
    for (const each of undo.reverse()) each()
  }
}

const seeds = [1, 2, 3]

describe('what is held for a client that is gone', () => {
  for (const [name, patches] of [
    ['as soon as its connection breaks', [endlessLeases]],
    ['at the end of the lease, where the connection does not break', [noMonitors]],
    ['at the end of the lease, where nobody listens to the connection', [deafSessions]]
  ] as const) {
    it(`is freed ${name}`, async () => {
      for (const seed of seeds) assert.deepEqual(await violated(patches, seed), [], `seed ${seed}`)
    }).timeout(60_000)
  }

  for (const [name, patches] of [
    ['a lease never ends and the connection does not break', [noMonitors, endlessLeases]],
    ['a session ignores its lease and its connection', [deafSessions, endlessLeases]]
  ] as const) {
    it(`is seen within one seed, while the run goes on, if ${name}`, async () => {
      for (const seed of seeds) {
        const [found] = await violated(patches, seed)
        assert.equal(found?.oracle, 'leases', `seed ${seed}: ${found?.text}`)
        assert.match(found.text, /^node \d still has a cache for client [01], which has been gone for longer than any lease$/)
        assert.equal(found.atMs, 95_000)
      }
    }).timeout(60_000)

    it(`is seen at the end, if ${name} and the client went just before`, async () => {
      for (const seed of seeds) {
        const [found] = await violated(patches, seed, 29_000, 30_000)
        assert.equal(found?.oracle, 'leaks', `seed ${seed}: ${found?.text}`)
      }
    }).timeout(60_000)
  }
})
