import assert from 'node:assert/strict'
import { isSkeinError } from '@skein/protocol'
import fc from 'fast-check'
import { KvStore } from './kv-store.ts'
import type { KvStoreInit } from './kv-store.ts'
import { heapMemory, pageMemory } from './ort/memory.ts'

const span = { start: 3, end: 5 }
const init: KvStoreInit = { span, kvHeads: 2, headDim: 16, contextTokens: 40, kvTokens: 64, smallestClassTokens: 8, slotsPerSegment: 3 }
const rowFloats = 2 * 2 * 2 * 16

function code(error: unknown): string {
  return isSkeinError(error) ? error.code : String(error)
}

/** Rows `[start, start + count)` that differ in every float and by `seed`, in the form of `import`. */
function rowsOf(seed: number, start: number, count: number, blocks = 2): Uint8Array {
  const out = new Float32Array(blocks * 2 * 2 * count * 16)
  for (let part = 0; part < blocks * 2 * 2; part++) {
    for (let row = 0; row < count; row++) {
      for (let i = 0; i < 16; i++) out[(part * count + row) * 16 + i] = seed * 1e5 + (start + row) * 1e3 + part * 16 + i
    }
  }
  return new Uint8Array(out.buffer)
}

describe('KvStore', () => {
  it('counts reservations and says how many rows are free when there are too few', () => {
    const store = new KvStore(init)
    store.reserve('a', 40, span)
    assert.equal(store.freeTokens, 24)
    assert.throws(
      () => store.reserve('b', 25, span),
      (error) => isSkeinError(error) && error.code === 'ERR_SKEIN_KV_FULL' && error.detail.freeTokens === 24
    )
    assert.throws(() => store.reserve('b', 41, span), { code: 'ERR_SKEIN_TOO_LONG' })
    assert.throws(() => store.reserve('a', 1, span), { code: 'ERR_SKEIN_SESSION_EXISTS' })
    assert.throws(() => store.reserve('b', 1, { start: 2, end: 4 }), { code: 'ERR_SKEIN_WRONG_SPAN' })
    assert.throws(() => store.rows('b'), { code: 'ERR_SKEIN_UNKNOWN_SESSION' })
    store.release('a')
    assert.equal(store.freeTokens, 64)
    store.close()
  })

  it('lets neighbouring slots of a class be one window, with a spare row in each', () => {
    const store = new KvStore(init)
    store.reserve('a', 5, span)
    store.reserve('b', 8, span)
    store.import('a', 0, rowsOf(1, 0, 2))
    store.import('b', 0, rowsOf(2, 0, 1))
    const { segment, slot } = store.place('a')
    assert.deepEqual(store.place('b'), { segment, slot: slot + 1 })
    const window = store.window(segment, 4, 'value', slot, 2)
    assert.deepEqual(window.shape, [2, 2, 9, 16])
    const floats = new Float32Array(window.memory.bytes(window.byteOffset, 2 * 2 * 9 * 16 * 4).slice().buffer)
    // Block 4, value, head 1 is part 7 of a row.
    assert.equal(floats[9 * 16 + 16], 1e5 + 7 * 16 + 1e3)
    assert.equal(floats[2 * 9 * 16], 2e5 + 6 * 16)
    assert.throws(() => store.window(segment, 5, 'key', 0, 1), RangeError)
    assert.throws(() => store.window(segment, 4, 'key', 2, 2), RangeError)
    store.close()
  })

  it('copies a prefix for a part of the blocks', () => {
    const store = new KvStore(init)
    store.reserve('whole', 8, span)
    store.reserve('part', 8, { start: 4, end: 5 })
    store.import('whole', 0, rowsOf(1, 0, 3))
    store.copyPrefix('whole', 'part', 2)
    const whole = store.export('whole', 0, 2)
    assert.deepEqual(store.export('part', 0, 2), whole.subarray(whole.length / 2))
    assert.throws(() => store.copyPrefix('part', 'whole', 1), { code: 'ERR_SKEIN_WRONG_SPAN' })
    assert.throws(() => store.copyPrefix('whole', 'part', 4), { code: 'ERR_SKEIN_TOO_LONG' })
    store.close()
  })

  it('takes no more segments than caches need, and tells when one goes', () => {
    const freed: number[] = []
    const store = new KvStore({ ...init, onSegmentFreed: (segment) => freed.push(segment.id) })
    for (const key of ['a', 'b', 'c', 'd']) store.reserve(key, 8, span)
    assert.notEqual(store.place('d').segment.id, store.place('a').segment.id)
    store.release('d')
    assert.deepEqual(freed, [1])
    store.release('b')
    store.reserve('e', 3, span)
    assert.equal(store.place('e').slot, 1)
    assert.deepEqual(store.export('e', 0, 0), new Uint8Array(0))
    store.close()
    assert.deepEqual(freed, [1, 0])
  })

  for (const [name, allocate] of Object.entries({ heapMemory, pageMemory })) {
    it(`does what a list of rows per cache does, on ${name}`, () => {
      const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
      const count = fc.integer({ min: 0, max: 45 })
      const operation = fc.oneof(
        fc.record({ kind: fc.constant('reserve' as const), key, count }),
        fc.record({ kind: fc.constant('grow' as const), key, count }),
        fc.record({ kind: fc.constant('release' as const), key }),
        fc.record({ kind: fc.constant('cut' as const), key, count }),
        fc.record({ kind: fc.constant('import' as const), key, start: fc.nat(12), count: fc.nat(6) }),
        fc.record({ kind: fc.constant('copy' as const), key, to: key, count: fc.nat(12) })
      )
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
          const store = new KvStore({ ...init, allocate })
          const model = new Map<string, { tokens: number; rows: [seed: number, row: number][] }>()
          operations.forEach((op, seed) => {
            const cache = model.get(op.key)
            const used = [...model.values()].reduce((sum, { tokens }) => sum + tokens, 0)
            switch (op.kind) {
              case 'reserve': {
                const ok = cache === undefined && op.count >= 1 && op.count <= 40 && used + op.count <= 64
                check(ok, () => store.reserve(op.key, op.count, span))
                if (ok) model.set(op.key, { tokens: op.count, rows: [] })
                break
              }
              case 'grow': {
                const ok = cache !== undefined && (op.count <= cache.tokens || (op.count <= 40 && used + op.count - cache.tokens <= 64))
                check(ok, () => store.grow(op.key, op.count))
                if (ok) cache.tokens = Math.max(cache.tokens, op.count)
                break
              }
              case 'release':
                store.release(op.key)
                model.delete(op.key)
                break
              case 'cut': {
                const ok = cache !== undefined && op.count <= cache.rows.length
                check(ok, () => store.cut(op.key, op.count))
                if (ok) cache.rows.length = op.count
                break
              }
              case 'import': {
                const ok = cache !== undefined && op.start <= cache.rows.length && op.start + op.count <= cache.tokens
                check(ok, () => store.import(op.key, op.start, rowsOf(seed, op.start, op.count)))
                if (ok) {
                  cache.rows.length = op.start
                  for (let i = 0; i < op.count; i++) cache.rows.push([seed, op.start + i])
                }
                break
              }
              case 'copy': {
                const to = model.get(op.to)
                const ok = cache !== undefined && to !== undefined && op.count <= cache.rows.length && op.count <= to.tokens
                check(ok, () => store.copyPrefix(op.key, op.to, op.count))
                if (ok) to.rows = cache.rows.slice(0, op.count)
                break
              }
            }
            compare(store, model)
          })
          store.close()
        }),
        { numRuns: 150 }
      )
    })
  }
})

function check(ok: boolean, act: () => void): void {
  if (ok) act()
  else assert.throws(act, (error) => code(error).startsWith('ERR_SKEIN_'))
}

function compare(store: KvStore, model: ReadonlyMap<string, { tokens: number; rows: [number, number][] }>): void {
  const places = new Set<string>()
  let used = 0
  for (const [key, { tokens, rows }] of model) {
    used += tokens
    assert.equal(store.rows(key), rows.length)
    assert.equal(store.reservedTokens(key), tokens)
    const { segment, slot } = store.place(key)
    assert.equal(store.rowsInSlot(segment.id, slot), rows.length)
    assert.ok(segment.capacityRows > tokens, 'a slot has a spare row')
    assert.ok(!places.has(`${segment.id}.${slot}`), 'no two caches in one slot')
    places.add(`${segment.id}.${slot}`)
    rows.forEach(([seed, row], i) => assert.deepEqual(store.export(key, i, i + 1), rowsOf(seed, row, 1)))
    assert.equal(store.export(key, 0, rows.length).byteLength, rows.length * rowFloats * 4)
  }
  assert.equal(store.freeTokens, 64 - used)
  assert.equal(store.size, model.size)
}
