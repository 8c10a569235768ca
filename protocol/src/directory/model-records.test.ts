import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { SignedAnnouncement } from '../announcement/announcement.ts'
import { parseModelId } from '../ids.ts'
import type { PeerId } from '../ids.ts'
import { peerIdFromPublicKey } from '../peer-id.ts'
import type { DeltaResponse } from '../messages/directory.ts'
import { hearDelta, partsOfAges } from './ages.ts'
import { AnnouncementStore } from './announcement-store.ts'
import { digestKey, digestOf } from './digest.ts'
import { ModelRecords } from './model-records.ts'
import type { HeldAnnouncement } from './model-records.ts'

const model = parseModelId(`tiny@${'0'.repeat(32)}`)
const lifeMs = 180_000

function peerOf(n: number): PeerId {
  return peerIdFromPublicKey(new Uint8Array(32).fill(n))
}

function signed(n: number, sequence: number): SignedAnnouncement {
  return {
    announcement: {
      ...{ peer: peerOf(n), model, blocks: 8, hiddenSize: 64, span: { start: 0, end: 4 }, entryPoints: [0, 4] },
      ...{ numerics: { weights: 'f32', kernels: 'k' }, state: 'serving', addresses: [], stepMs: 1, rowsPerSecond: 1 },
      ...{ kvTokens: 1, historyBytes: 1, sequence, lifeMs }
    },
    encoded: Uint8Array.of(n)
  }
}

function held(n: number, sequence: number, heardMs: number): HeldAnnouncement {
  return { ...signed(n, sequence), source: peerOf(n), takenMs: 0, atLatestMs: 3_600_000, heardMs, row: -1 }
}

describe('ModelRecords', () => {
  const change = fc.record({ n: fc.nat(150), what: fc.constantFrom('comes', 'comes', 'goes', 'is heard') })

  it('have of each record in its row what is its own, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 400 }), fc.nat(400), (changes, when) => {
        const records = new ModelRecords(peerOf(7))
        const expected = new Map<PeerId, HeldAnnouncement>()
        const heardMs = new Map<HeldAnnouncement, number>()
        let before: readonly HeldAnnouncement[] = []
        for (const [index, { n, what }] of changes.entries()) {
          if (index === when) before = [...records.sorted]
          const nowMs = 1000 * index
          const present = records.get(peerOf(n))
          assert.equal(present, expected.get(peerOf(n)))
          if (what === 'is heard') {
            const lives = present !== undefined && (n === 7 || heardMs.get(present)! + lifeMs > nowMs)
            assert.equal(records.hear(present?.row ?? -1, 0, nowMs), lives)
            if (lives && n !== 7) heardMs.set(present, nowMs)
            continue
          }
          if (what === 'comes') {
            const next = held(n, 2 ** 40 + index, nowMs)
            records.set(next)
            expected.set(peerOf(n), next)
            heardMs.set(next, n === 7 ? Infinity : nowMs)
          } else if (present !== undefined) {
            records.delete(present)
            expected.delete(peerOf(n))
          }
          if (present === undefined) continue
          assert.equal(present.row, -1)
          assert.equal(records.heardMs(present), heardMs.get(present))
        }
        const sorted = [...expected.values()].sort((a, b) => (a.announcement.peer < b.announcement.peer ? -1 : 1))
        assert.deepEqual(records.sorted, sorted)
        const rows = sorted.map(({ row }) => row)
        assert.deepEqual([...records.rowsOf(sorted)], rows)
        assert.deepEqual([...records.rows], rows)
        const laterMs = 1000 * changes.length
        for (const atMs of [laterMs, laterMs + lifeMs / 2, laterMs + 2 * lifeMs]) {
          for (const limit of [2, Infinity]) {
            const living = sorted.filter(({ row }) => records.lives(row, atMs)).slice(0, limit)
            const { records: found, rows: theirs } = records.live(atMs, limit)
            assert.deepEqual(found, living)
            assert.deepEqual(
              [...theirs],
              living.map(({ row }) => row)
            )
          }
        }
        assert.equal(new Set(rows).size, rows.length)
        for (const record of sorted) {
          const { announcement, row } = record
          const { columns } = records
          const key = digestKey(announcement.peer, announcement.sequence)
          for (const part of ['hashA', 'hashB', 'sequenceLow', 'sequenceHigh'] as const) assert.equal(columns[part][row], key[part])
          const isOwn = announcement.peer === peerOf(7)
          assert.equal(columns.heardMs[row], heardMs.get(record))
          assert.equal(columns.expiresMs[row], isOwn ? Infinity : Math.min(heardMs.get(record)! + lifeMs, 3_600_000))
        }
        assert.deepEqual(
          [...records.rowsOf(before)],
          before.map((record) => (sorted.includes(record) ? record.row : -1)),
          'those of a while ago are found again, or known to be gone'
        )
      })
    )
  })

  it('hold times beyond 2^31 ms', () => {
    const records = new ModelRecords(undefined)
    const nowMs = 2 ** 40 + 1
    records.set({ ...held(1, 1, nowMs), atLatestMs: nowMs + 3_600_000 })
    assert.equal(records.allLive(nowMs + lifeMs - 1), true)
    assert.equal(records.allLive(nowMs + lifeMs), false)
  })
})

describe('an answer to an exchange', () => {
  it('is heard by those who were asked about, though the store has changed since', () => {
    const store = new AnnouncementStore({ self: peerOf(0) })
    for (let n = 0; n < 100; n += 2) store.put(signed(n, 1), peerOf(n), 0, 0)
    const list = store.list(model, 0)
    const compared = store.compared(model, 0)
    assert.deepEqual(compared.records, list)
    const digest = digestOf(compared.where, 7, 16)
    store.put(signed(11, 1), peerOf(11), 0, 0)
    store.put(signed(20, 2), peerOf(20), 0, 0)
    store.retain(model, new Set([...list.map(({ announcement }) => announcement.peer), peerOf(11)].filter((peer) => peer !== peerOf(40))))
    const ages = Uint8Array.from(list, (_, index) => index)
    const delta: DeltaResponse = { type: 'delta', id: 1, buckets: [], entries: [], records: [], ages, wanted: false, whole: true }
    const nowMs = 100_000
    hearDelta(store, model, compared, digest, delta, nowMs)
    const heard = new Map(list.map((record, index) => [record.announcement.peer, Math.ceil((index * lifeMs) / 255)]))
    for (const record of store.list(model, nowMs)) {
      const { peer } = record.announcement
      const expected = peer === peerOf(0) ? 0 : peer === peerOf(11) || peer === peerOf(20) ? nowMs : heard.get(peer)
      assert.equal(store.ageMs(record, nowMs), expected, peer)
    }
    const gone = list.filter(({ announcement: { peer } }) => peer === peerOf(20) || peer === peerOf(40))
    assert.deepEqual(
      gone.map((record) => store.ageMs(record, nowMs)),
      [nowMs, nowMs],
      'of those that are held no more nothing new is known'
    )
  })

  it('tells ages in parts of a life, rounded up', () => {
    const store = new AnnouncementStore({ self: peerOf(0) })
    for (const n of [0, 1, 2]) store.put(signed(n, 1), peerOf(n), 0, 1000 * n)
    const parts = partsOfAges(store.compared(model, 2_001).where, 2_001)
    assert.deepEqual(new Map(store.list(model, 2_001).map(({ encoded }, index) => [encoded[0], parts[index]])), new Map([[0, 0], [1, 2], [2, 1]])) // prettier-ignore
  })
})
