import assert from 'node:assert/strict'
import type { SpanRuntime } from '@skein/node'
import type { Distribution, Scenario } from '../scenario/scenario.ts'
import { defineScenario, type PartialScenario } from './define-scenario.ts'
import type { SimAnswer, SimConversation, SimMessage } from './sim-conversation.ts'
import { simulate } from './simulate.ts'
import type { World } from './world.ts'

const constant = (value: number): Distribution => ({ kind: 'constant', value })
const exponential = (mean: number): Distribution => ({ kind: 'exponential', mean })

/** Counts the steps that go back in a cache, and the rows that runtimes are given. */
function counting() {
  const seen = { cutBacks: 0, rows: 0 }
  const wrapRuntime = (runtime: SpanRuntime): SpanRuntime => {
    const rowsOf = new Map<string, number>()
    return {
      info: runtime.info,
      freeKvTokens: () => runtime.freeKvTokens(),
      reserve: (...args) => runtime.reserve(...args),
      run: (entries) => {
        for (const { cache, position, rows } of entries) {
          if (position < (rowsOf.get(cache) ?? 0)) seen.cutBacks++
          rowsOf.set(cache, position + rows)
          seen.rows += rows
        }
        return runtime.run(entries)
      },
      release: (cache) => {
        rowsOf.delete(cache)
        return runtime.release(cache)
      },
      stop: () => runtime.stop()
    }
  }
  return { seen, wrapRuntime }
}

async function say(world: World, conversation: SimConversation, message: SimMessage): Promise<SimAnswer> {
  const answer = await world.runUntil(conversation.send(message))
  return answer ?? assert.fail('there was no room')
}

function talking(partial: PartialScenario = {}): Scenario {
  return defineScenario({
    durationMs: 60_000,
    nodes: [{ count: 3 }],
    clients: [
      {
        count: 2,
        workload: {
          ...{ kind: 'closed', startMs: constant(3_000), thinkMs: constant(500) },
          ...{ promptTokens: exponential(40), outputTokens: exponential(40), maxRequests: 1_000 },
          conversation: { turns: constant(4), thinkMs: constant(500), stopShare: 0.3 }
        }
      }
    ],
    ...partial
  })
}

describe('a simulated conversation', () => {
  it('answers each message as one machine does that is given all of it, and sends only what is new', async () => {
    const { seen, wrapRuntime } = counting()
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 1 }] }), wrapRuntime })
    await world.runFor(5_000)
    const conversation = world.client(0).conversation()
    await say(world, conversation, { text: 'a'.repeat(200), outputTokens: 2 })
    const before = seen.rows
    const second = await say(world, conversation, { text: 'hello', outputTokens: 2 })
    assert.deepEqual(second.tokens, second.expected)
    assert.ok(seen.rows - before < 15, `${seen.rows - before} rows were computed for the second message`)
    assert.equal(conversation.messages.length, 4)
    const { generations } = world.record()
    assert.deepEqual(
      generations.map(({ turn, promptTokens }) => [turn, promptTokens]),
      [
        [1, 202],
        [2, 212]
      ]
    )
    // The time of a turn is known though its session was open before.
    assert.ok(generations[1]!.chain.length === 1 && generations[1]!.time.computeMs > 0 && generations[1]!.time.chainMs === 0)
    await world.runUntil(conversation.close())
    assert.deepEqual(world.violations, [])
  })

  it('steps back in the caches where an answer had a thought', async () => {
    const { seen, wrapRuntime } = counting()
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 1 }] }), wrapRuntime })
    await world.runFor(5_000)
    // A node measures its own speed when it starts.
    seen.cutBacks = 0
    const conversation = world.client(0).conversation()
    let thoughts = 0
    for (let turn = 0; turn < 6; turn++) {
      const { text } = await say(world, conversation, { promptTokens: 10, outputTokens: 60 })
      if (turn < 5 && text.includes('>')) thoughts++
    }
    assert.ok(thoughts > 0, 'another seed is needed')
    assert.equal(seen.cutBacks, thoughts)
    assert.deepEqual(world.violations, [])
  })

  it('keeps of an answer that its user stops what had come, and goes on', async () => {
    const world = simulate({ scenario: defineScenario() })
    await world.runFor(5_000)
    const conversation = world.client(0).conversation()
    const stopped = await say(world, conversation, { outputTokens: 50, stopAfter: 3 })
    assert.equal(stopped.outcome, 'completed')
    assert.ok(stopped.tokens.length >= 3 && stopped.tokens.length < 50)
    assert.equal(conversation.messages.at(-1)?.content, stopped.text)
    const early = await say(world, conversation, { promptTokens: 300, stopAfter: 0 })
    assert.deepEqual([early.outcome, early.text], ['completed', ''])
    const whole = await say(world, conversation, { outputTokens: 10 })
    assert.deepEqual(whole.tokens, whole.expected)
    assert.deepEqual(world.violations, [])
  })

  it('ends when its room is full', async () => {
    const world = simulate({ scenario: defineScenario() })
    await world.runFor(5_000)
    const conversation = world.client(0).conversation(100)
    await say(world, conversation, { promptTokens: 60, outputTokens: 20 })
    const last = await say(world, conversation, { promptTokens: 60, outputTokens: 20 })
    assert.ok(last.tokens.length >= 1)
    assert.equal(await world.runUntil(conversation.send()), undefined)
    assert.deepEqual(world.violations, [])
  })

  it('goes on when a node is killed between two messages, and in the middle of an answer', async () => {
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 6, blocksPerNode: 4 }] }) })
    await world.runFor(5_000)
    const conversation = world.client(0).conversation()
    await say(world, conversation, { outputTokens: 30 })
    const kill = (): void => world.node(world.record().generations.at(-1)!.chain[0]!.node).crash()
    kill()
    await world.runFor(2_000)
    const second = await say(world, conversation, { outputTokens: 30 })
    assert.deepEqual(second.tokens, second.expected)
    for (const node of world.nodes) node.start()
    await world.runFor(5_000)
    const asked = conversation.send({ outputTokens: 100 })
    await world.runFor(1_000)
    kill()
    const third = await world.runUntil(asked)
    assert.deepEqual(third?.tokens, third?.expected)
    assert.equal(third?.recoveries, 1)
    assert.deepEqual(world.violations, [])
  })

  it('goes on from where it was when its nodes come back after a turn has failed', async () => {
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 2, blocksPerNode: 4 }] }) })
    await world.runFor(5_000)
    const conversation = world.client(0).conversation()
    const first = await say(world, conversation, { outputTokens: 20 })
    world.inject({ kind: 'crash', atMs: 0, target: { node: 0 } })
    const failed = await say(world, conversation, { outputTokens: 20 })
    assert.equal(failed.outcome, 'failed')
    assert.equal(conversation.messages.length, 2)
    world.node(0).start()
    await world.runFor(5_000)
    const again = await say(world, conversation, { outputTokens: 20 })
    assert.deepEqual([again.outcome, again.tokens], ['completed', again.expected])
    assert.equal(conversation.messages[1]?.content, first.text)
    const [, , generation] = world.record().generations
    assert.ok(generation!.time.chainMs > 0, 'its session was opened anew')
    await world.runUntil(conversation.close())
    assert.deepEqual(world.violations, [])
  })

  it('has the room that nodes have history for, where that is what they lack', async () => {
    const { rowBytes } = defineScenario().model
    const world = simulate({ scenario: defineScenario({ nodes: [{ count: 3, historyBytes: 300 * rowBytes }] }) })
    await world.runFor(5_000)
    const conversation = world.client(0).conversation()
    const answer = await say(world, conversation, { outputTokens: 5 })
    assert.equal(answer.outcome, 'completed')
    assert.ok(conversation.maxContextTokens < 1024 && conversation.maxContextTokens >= 256)
    assert.deepEqual(world.violations, [])
  })

  it('is a workload, closed and open, that leaves nothing behind', async () => {
    const closed = talking()
    const [group] = closed.clients
    const { promptTokens, outputTokens, maxRequests, conversation } = group!.workload
    const lengths = { promptTokens, outputTokens, maxRequests, ...(conversation === undefined ? {} : { conversation }) }
    const open = {
      ...closed,
      clients: [{ ...group!, workload: { kind: 'open', interArrivalMs: exponential(8_000), ...lengths } as const }]
    }
    for (const scenario of [closed, open]) {
      const record = await simulate({ scenario }).run()
      assert.deepEqual(record.violations, [])
      const turns = record.generations.map(({ turn }) => turn)
      assert.deepEqual(
        [...new Set(turns)].toSorted((a = 0, b = 0) => a - b),
        [1, 2, 3, 4]
      )
      assert.ok(record.generations.every(({ outcome }) => outcome === 'completed'))
      const again = await simulate({ scenario }).run()
      assert.equal(again.eventLogHash, record.eventLogHash)
    }
  })
})
