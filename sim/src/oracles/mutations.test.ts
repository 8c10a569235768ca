import assert from 'node:assert/strict'
import type { CacheKey, SpanRuntime, TurnEntry, TurnResult } from '@skein/node'
import { AnnouncementStore, type BlockRange, StepLog } from '@skein/protocol'
import type { Violation } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { defineScenario } from '../world/define-scenario.ts'
import { simulate } from '../world/simulate.ts'
import { asking, exponential, Mutant, patched, StaleRows } from './mutants.test-helper.ts'

/** Nodes die and come back while three clients ask: the world in which planted bugs must show. */
const scenario = defineScenario({
  name: 'mutations',
  durationMs: 60_000,
  settleMs: 180_000,
  nodes: [
    { count: 9, blocksPerNode: 3, churn: { kind: 'renewal', upMs: exponential(30_000), downMs: exponential(5_000), graceful: false } }
  ],
  clients: [
    {
      count: 3,
      workload: asking
    }
  ]
})

/** The same with conversations, which step back in their caches. */
const conversations: Scenario = {
  ...scenario,
  clients: scenario.clients.map((group) => ({
    ...group,
    workload: { ...group.workload, conversation: { turns: exponential(6), thinkMs: exponential(500), stopShare: 0.2 } }
  }))
}

/** A slot of the cache is handed to the next session with one row of the last one still in it. */
class StaleCache extends Mutant {
  readonly #slotOf = new Map<CacheKey, { readonly slot: CacheKey; readonly staleRows: number }>()
  readonly #used: Array<{ readonly slot: CacheKey; readonly tokens: number }> = []
  readonly #tokens = new Map<CacheKey, number>()

  override async reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    const index = this.#used.findIndex((used) => used.tokens > tokens)
    const [used] = index < 0 ? [] : this.#used.splice(index, 1)
    this.#slotOf.set(cache, { slot: used?.slot ?? cache, staleRows: used === undefined ? 0 : 1 })
    this.#tokens.set(cache, used?.tokens ?? tokens)
    if (used === undefined) await super.reserve(cache, tokens, span)
  }

  override run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const moved = entries.map((entry) => {
      const { slot, staleRows } = this.#slotOf.get(entry.cache) ?? { slot: entry.cache, staleRows: 0 }
      return { ...entry, cache: slot, position: entry.position + staleRows }
    })
    return super.run(moved)
  }

  override release(cache: CacheKey): Promise<void> {
    const held = this.#slotOf.get(cache)
    if (held === undefined) return Promise.resolve()
    this.#slotOf.delete(cache)
    this.#used.push({ slot: held.slot, tokens: this.#tokens.get(cache) ?? 0 })
    return Promise.resolve()
  }
}

/** One step in fifty is applied twice: its row is in the cache two times. */
class DoubledStep extends Mutant {
  readonly #doubled = new Map<CacheKey, number>()
  #steps = 0

  override async run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const moved: TurnEntry[] = []
    for (const entry of entries) {
      const position = entry.position + (this.#doubled.get(entry.cache) ?? 0)
      moved.push({ ...entry, position })
      if (entry.rows !== 1 || ++this.#steps % 50 !== 0) continue
      await super.run([{ ...entry, position, input: entry.input.slice() }])
      this.#doubled.set(entry.cache, (this.#doubled.get(entry.cache) ?? 0) + 1)
      moved[moved.length - 1] = { ...entry, position: position + 1 }
    }
    return await super.run(moved)
  }

  override release(cache: CacheKey): Promise<void> {
    this.#doubled.delete(cache)
    return super.release(cache)
  }
}

/** The cache of one session in five is never freed. That a lease never ends is planted in `leases.test.ts`. */
class LeakedCache extends Mutant {
  #sessions = 0

  override release(cache: CacheKey): Promise<void> {
    return ++this.#sessions % 5 === 0 ? Promise.resolve() : super.release(cache)
  }
}

/** A part of a node's span is used from one block too early. */
class ShiftedSpan extends Mutant {
  override reserve(cache: CacheKey, tokens: number, span: BlockRange): Promise<void> {
    const shift = span.start > this.info.span.start ? 1 : 0
    return super.reserve(cache, tokens, { start: span.start - shift, end: span.end - shift })
  }
}

/** Two rows of a chunk change places on their way out. */
class SwappedRows extends Mutant {
  #chunks = 0

  override async run(entries: readonly TurnEntry[]): Promise<TurnResult> {
    const result = await super.run(entries)
    for (const [index, output] of result.outputs.entries()) {
      if (!output.ok || (entries[index]?.rows ?? 0) < 2 || ++this.#chunks % 10 !== 0) continue
      const first = output.output.slice(0, 32)
      output.output.copyWithin(0, 32, 64)
      output.output.set(first, 32)
    }
    return result
  }
}

interface Mutation {
  readonly name: string
  readonly oracles: readonly string[]
  /** Within so many seeds it must be caught. */
  readonly seeds: number
  readonly wrap?: (runtime: SpanRuntime) => SpanRuntime
  /** Plants it in a class of the production code; returns what takes it out again. */
  readonly patch?: () => () => void
  readonly scenario?: Scenario
}

const mutations: readonly Mutation[] = [
  { name: 'a stale cache kept', oracles: ['answer'], seeds: 1, wrap: (runtime) => new StaleCache(runtime) },
  { name: 'a step applied twice', oracles: ['answer'], seeds: 1, wrap: (runtime) => new DoubledStep(runtime) },
  { name: 'a cache never freed', oracles: ['leaks'], seeds: 1, wrap: (runtime) => new LeakedCache(runtime) },
  { name: 'a span used from a block too early', oracles: ['answer'], seeds: 2, wrap: (runtime) => new ShiftedSpan(runtime) },
  { name: 'rows that change places', oracles: ['answer'], seeds: 1, wrap: (runtime) => new SwappedRows(runtime) },
  {
    name: 'a cut-back that keeps stale rows',
    oracles: ['answer'],
    seeds: 1,
    wrap: (runtime) => new StaleRows(runtime),
    scenario: conversations
  },
  {
    name: "a node's history that is not cut back",
    oracles: ['answer', 'failure', 'settle', 'silence', 'recoveries'],
    seeds: 2,
    scenario: conversations,
    // The map of the rows is cut, and what was sent stays: a stage that is replaced gets both, the old rows first.
    patch: () =>
      patched(StepLog.prototype, 'cut', () => ({
        configurable: true,
        value(this: StepLog<unknown>, position: number) {
          this.map.cut(position)
        }
      }))
  },
  {
    name: 'a history trimmed too early, and not told of',
    // No wrong token comes of it, since a receiver refuses what does not follow: recoveries bring nothing back.
    oracles: ['recoveries'],
    seeds: 1,
    // What was sent is dropped at once, whatever the budget; and the log claims to have it.
    patch: () => {
      const undo = [
        patched(StepLog.prototype, 'drop', ({ value }) => ({
          configurable: true,
          value(this: StepLog<unknown>, seq: number, budgetBytes: number) {
            ;(value as (seq: number, budgetBytes: number) => void).call(this, seq, this.pruned ? 0 : budgetBytes)
          }
        })),
        patched(StepLog.prototype, 'historyFrom', () => ({ configurable: true, get: () => 0 })),
        patched(StepLog.prototype, 'lostSeq', () => ({ configurable: true, get: () => 0 }))
      ]
      return () => undo.forEach((each) => each())
    }
  },
  {
    name: 'an expired directory entry used',
    oracles: ['directory'],
    seeds: 1,
    scenario: {
      ...scenario,
      durationMs: 240_000,
      faults: [{ kind: 'crash', atMs: 20_000, target: { node: 4 } }],
      nodes: scenario.nodes.map(({ churn: _none, ...group }) => group)
    },
    // The store lives in a moment that never passes, as far as lists go.
    patch: () => {
      const undo = [
        patched(AnnouncementStore.prototype, 'list', ({ value }) => ({
          configurable: true,
          value(this: AnnouncementStore, model: unknown, _nowMs: number, options: unknown) {
            return (value as (...args: unknown[]) => unknown).call(this, model, 0, options)
          }
        })),
        patched(AnnouncementStore.prototype, 'expire', () => ({ configurable: true, value: () => [] }))
      ]
      return () => undo.forEach((each) => each())
    }
  }
]

/** Planted where nothing steps back, they must go unnoticed: it is conversations that find them. */
const ofCutBacks = mutations.filter(({ scenario: of }) => of === conversations)

describe('the oracles', () => {
  it('find nothing wrong with what is right', async () => {
    for (const right of [scenario, conversations])
      for (const seed of [1, 2]) assert.deepEqual((await simulate({ scenario: right, seed }).run()).violations, [], `seed ${seed}`)
  }).timeout(60_000)

  for (const { name, wrap, patch } of ofCutBacks) {
    it(`cannot see ${name} while each request stands alone`, async () => {
      const undo = patch?.()
      try {
        const world = simulate({
          scenario,
          seed: 1,
          ...(wrap === undefined ? {} : { wrapRuntime: (runtime: SpanRuntime) => wrap(runtime) })
        })
        assert.deepEqual((await world.run()).violations, [])
      } finally {
        undo?.()
      }
    }).timeout(60_000)
  }

  for (const mutation of mutations) {
    it(`catch ${mutation.name} within ${mutation.seeds} ${mutation.seeds === 1 ? 'seed' : 'seeds'}`, async () => {
      const undo = mutation.patch?.()
      const { wrap } = mutation
      let found: Violation | undefined
      try {
        for (let seed = 1; seed <= mutation.seeds && found === undefined; seed++) {
          const world = simulate({
            scenario: mutation.scenario ?? scenario,
            seed,
            ...(wrap === undefined ? {} : { wrapRuntime: (runtime: SpanRuntime) => wrap(runtime) })
          })
          found = (await world.run()).violations[0]
        }
      } finally {
        undo?.()
      }
      assert.ok(found !== undefined, 'no oracle noticed')
      assert.ok(mutation.oracles.includes(found.oracle), `${found.oracle}: ${found.text}`)
    }).timeout(60_000)
  }
})
