import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { NodeState, SignedAnnouncement } from '../announcement/announcement.ts'
import { parseModelId, parsePeerId } from '../ids.ts'
import type { PeerId } from '../ids.ts'
import { peerIdFromPublicKey } from '../peer-id.ts'
import { AnnouncementStore } from './announcement-store.ts'
import type { DirectoryEvent } from './announcement-store.ts'
import { bucketCountFor, digestFromBytes, digestKey, digestOf, digestToBytes } from './digest.ts'
import type { Digest, DigestKey } from './digest.ts'

const model = parseModelId(`tiny@${'0'.repeat(32)}`)
const otherModel = parseModelId(`tiny@${'1'.repeat(32)}`)

function peerOf(n: number): PeerId {
  const key = new Uint8Array(32)
  new DataView(key.buffer).setUint32(0, n)
  return peerIdFromPublicKey(key)
}

/** The store does not look at signatures, so the bytes need only be different. */
function signed(
  peer: PeerId,
  sequence: number,
  facts: { start?: number; state?: NodeState; lifeMs?: number; model?: typeof model } = {}
): SignedAnnouncement {
  const { start = 0, state = 'serving', lifeMs = 1000 } = facts
  return {
    announcement: {
      peer,
      model: facts.model ?? model,
      blocks: 8,
      hiddenSize: 64,
      span: { start, end: start + 2 },
      entryPoints: [start, start + 2],
      numerics: { weights: 'f32', kernels: 'k' },
      state,
      addresses: [],
      stepMs: 1,
      rowsPerSecond: 1,
      kvTokens: 1,
      historyBytes: 1,
      sequence,
      lifeMs
    },
    encoded: Uint8Array.of(sequence)
  }
}

describe('AnnouncementStore', () => {
  const [a, b, c] = [peerOf(0), peerOf(1), peerOf(2)]

  it('keeps the later sequence, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([1, 2, 3, 4, 5, 6], { minLength: 1 }), (sequences) => {
        const store = new AnnouncementStore()
        let highest = 0
        for (const sequence of sequences) {
          const expected = highest === 0 ? 'added' : sequence > highest ? 'changed' : 'held'
          assert.equal(store.put(signed(a, sequence), b, 0, 0), expected)
          highest = Math.max(highest, sequence)
          assert.equal(store.get(model, a, 0)?.announcement.sequence, highest)
        }
        assert.equal(store.size, 1)
      })
    )
  })

  it('counts a life from arrival, less the age that it came with', () => {
    const store = new AnnouncementStore()
    const events: DirectoryEvent[] = []
    store.subscribe((event) => events.push(event))
    assert.equal(store.put(signed(a, 1), b, 400, 10_000), 'added')
    assert.equal(store.put(signed(b, 1), b, 1000, 10_000), 'expired')
    assert.equal(store.list(model, 10_599).length, 1)
    assert.equal(store.list(model, 10_600).length, 0)
    assert.equal(store.get(model, a, 10_600), undefined)
    assert.deepEqual(store.expire(10_599), [])
    assert.equal(store.expire(10_600).length, 1)
    assert.equal(store.size, 0)
    assert.deepEqual(
      events.map((event) => event.type),
      ['added', 'removed']
    )
  })

  it('does not let an expired announcement come back by way of others, only a later one or the peer itself', () => {
    const store = new AnnouncementStore({ rememberMs: 5000 })
    store.put(signed(a, 7), b, 0, 0)
    store.expire(1000)
    assert.equal(store.wants(model, a, 7, 1000, { firstHand: false, ageMs: 1000 }), false)
    assert.equal(store.put(signed(a, 7), c, 999, 1000), 'held', 'nobody has heard of it since')
    assert.equal(store.put(signed(a, 6), c, 0, 1000), 'held')
    assert.equal(store.put(signed(a, 7), a, 0, 1000), 'added')
    store.expire(2000)
    assert.equal(store.put(signed(a, 8), c, 900, 2000), 'added')
    store.expire(3000)
    assert.equal(store.put(signed(a, 8), c, 0, 3000), 'added', 'others have heard of it since')
    store.expire(4000)
    assert.equal(store.put(signed(a, 7), c, 0, 9001), 'added', 'it is forgotten after a while')
  })

  it('believes the peer itself about the age of its announcement', () => {
    const store = new AnnouncementStore()
    store.put(signed(a, 1), b, 900, 0)
    assert.equal(store.put(signed(a, 1), c, 0, 50), 'held')
    assert.equal(store.get(model, a, 100), undefined)
    assert.equal(store.put(signed(a, 1), a, 0, 50), 'held')
    assert.equal(store.get(model, a, 1049)?.source, a)
  })

  it('lets a record live on while its peer is heard of, by the latest sign of life', () => {
    const store = new AnnouncementStore()
    store.put(signed(a, 3), b, 0, 0)
    assert.equal(store.hear(model, a, 3, 100, 700), true)
    assert.equal(store.hear(model, a, 3, 500, 700), true, 'an older sign changes nothing')
    assert.equal(store.ageMs(store.get(model, a, 1599)!, 1599), 999)
    assert.equal(store.get(model, a, 1600), undefined)
    assert.equal(store.hear(model, a, 2, 0, 1000), false, 'another announcement is meant')
    assert.equal(store.hear(model, b, 1, 0, 1000), false)
    assert.equal(store.hear(model, a, 3, 0, 1600), false, 'it is over')
    assert.deepEqual(store.expire(1599), [])
    assert.equal(store.expire(1600).length, 1)
  })

  it('is not moved by the little that a record seems to grow younger on its way', () => {
    const store = new AnnouncementStore()
    store.put(signed(a, 3), b, 0, 0)
    for (let nowMs = 100; nowMs < 1000; nowMs += 100) store.hear(model, a, 3, nowMs - 5, nowMs)
    assert.equal(store.ageMs(store.get(model, a, 999)!, 999), 999)
  })

  it('does not believe in a life for ever without a new signature', () => {
    const store = new AnnouncementStore({ unsignedMs: 5000, self: c })
    store.put(signed(a, 1), b, 0, 0)
    store.put(signed(c, 1), c, 0, 0)
    for (let nowMs = 500; nowMs < 5000; nowMs += 500) assert.equal(store.hear(model, a, 1, 0, nowMs), true)
    assert.equal(store.get(model, a, 5000), undefined)
    assert.equal(store.put(signed(a, 2), b, 0, 5000), 'changed')
    assert.ok(store.get(model, c, 1e9) !== undefined, 'this peer itself needs no sign')
    assert.equal(store.ageMs(store.get(model, c, 1e9)!, 1e9), 0)
  })

  it('takes up again one that has ended, swept or not, when its peer has been heard of since', () => {
    for (const sweep of [true, false]) {
      const store = new AnnouncementStore({ rememberMs: 60_000, unsignedMs: 5000 })
      store.put(signed(a, 1), b, 0, 0)
      if (sweep) store.expire(2000)
      assert.equal(store.wants(model, a, 1, 2000, { firstHand: false, ageMs: 2000 }), false)
      assert.equal(store.wants(model, a, 1, 2000, { firstHand: true, ageMs: 0 }), true)
      assert.match(store.put(signed(a, 1), c, 100, 2000), /added|changed/)
      assert.ok(store.get(model, a, 2899) !== undefined)
      for (let nowMs = 2500; nowMs < 5000; nowMs += 500) store.hear(model, a, 1, 0, nowMs)
      if (sweep) store.expire(5000)
      assert.equal(store.get(model, a, 5000), undefined)
      assert.equal(store.put(signed(a, 1), c, 0, 5000), 'held', 'nobody puts off the new signature')
      assert.match(store.put(signed(a, 2), c, 0, 5000), /added|changed/)
    }
  })

  it('lists by blocks and in pages, in the order of peer ids whatever the order of arrival', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 7 }), (order) => {
        const store = new AnnouncementStore()
        for (const n of order) store.put(signed(peerOf(n), 1, { start: n }), peerOf(n), 0, 0)
        const names = (options: Parameters<AnnouncementStore['list']>[2]): PeerId[] =>
          store.list(model, 0, options).map((record) => record.announcement.peer)
        const all = [0, 1, 2, 3, 4, 5, 6].map(peerOf).sort()
        assert.deepEqual(names({}), all)
        assert.deepEqual(names({ blocks: { start: 3, end: 4 } }), [peerOf(2), peerOf(3)].sort())
        assert.deepEqual(names({ after: all[2]!, limit: 2 }), all.slice(3, 5))
      })
    )
  })

  it('replaces a serving node by its tombstone', () => {
    const store = new AnnouncementStore()
    const events: DirectoryEvent[] = []
    store.put(signed(a, 1), a, 0, 0)
    store.subscribe((event) => events.push(event))
    store.put(signed(a, 2, { state: 'offline' }), b, 0, 0)
    assert.equal(store.put(signed(a, 1), c, 0, 0), 'held')
    const [event] = events
    assert.ok(event?.type === 'changed' && event.record.announcement.state === 'offline' && event.previous.announcement.state === 'serving')
  })

  it('stays within its bounds, and makes the greediest source pay', () => {
    const store = new AnnouncementStore({ maxRecords: 20, self: a })
    const honest = [a, b, c]
    for (const peer of honest) assert.equal(store.put(signed(peer, 1), peer, 0, 0), 'added')
    const flooder = peerOf(999)
    for (let n = 10; n < 200; n++) {
      store.put(signed(peerOf(n), 1, { lifeMs: 100_000 + n }), flooder, 0, 0)
      assert.ok(store.size <= 20)
    }
    for (const peer of honest) assert.ok(store.get(model, peer, 0) !== undefined)
    assert.equal(store.put(signed(peerOf(500), 1, { lifeMs: 10 }), flooder, 0, 0), 'full')
  })

  it('lets one peer announce itself under a few models only', () => {
    const store = new AnnouncementStore({ maxModelsPerPeer: 1 })
    assert.equal(store.put(signed(a, 1), a, 0, 0), 'added')
    assert.equal(store.put(signed(a, 2, { model: otherModel }), a, 0, 0), 'full')
    assert.equal(store.list(otherModel, 0).length, 0)
  })
})

describe('directory digests', () => {
  const entries = fc
    .array(fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 2 ** 50 })), { maxLength: 40 })
    .map((pairs) => [...new Map(pairs)].map(([n, sequence]) => ({ n, ...digestKey(peerOf(n), sequence) })))

  function digestOfKeys(keys: readonly DigestKey[], salt: number, bucketCount: number): Digest {
    const column = (part: keyof DigestKey): Int32Array => Int32Array.from(keys, (key) => key[part])
    const columns = {
      ...{ hashA: column('hashA'), hashB: column('hashB') },
      ...{ sequenceLow: column('sequenceLow'), sequenceHigh: column('sequenceHigh') }
    }
    return digestOf({ columns, rows: Int32Array.from(keys.keys()) }, salt, bucketCount)
  }

  it('do not depend on the order, and differ in the bucket of what differs', () => {
    fc.assert(
      fc.property(entries, fc.nat(2 ** 31), fc.constantFrom(1, 4, 64), fc.nat(5000), (held, salt, buckets, extra) => {
        const { words } = digestOfKeys(held, salt, buckets)
        assert.deepEqual(digestOfKeys([...held].reverse(), salt, buckets).words, words)
        assert.deepEqual(digestFromBytes(digestToBytes(words)), words)
        const without = held.filter(({ n }) => n !== extra)
        const before = digestOfKeys(without, salt, buckets)
        const after = digestOfKeys([...without, digestKey(peerOf(extra), 2 ** 51)], salt, buckets)
        const differing = [...after.words.keys()].filter((bucket) => after.words[bucket] !== before.words[bucket])
        assert.deepEqual(differing, [after.buckets.at(-1)])
      })
    )
  })

  it('have the values that the document gives', () => {
    const peer = parsePeerId('12D3KooWGRUTestGRUTestGRUTestGRUTestGRUTestGRUTestGR')
    const { words, buckets } = digestOfKeys([digestKey(peer, 2 ** 40 + 5)], 7, 4)
    assert.deepEqual([...buckets], [3])
    assert.deepEqual([...words], [0, 0, 0, 3933027622])
  })

  it('have about four entries in a bucket', () => {
    assert.deepEqual([0, 1, 4, 5, 1000, 1_000_000].map(bucketCountFor), [1, 1, 1, 2, 256, 1024])
  })
})
