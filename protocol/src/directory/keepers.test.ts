import assert from 'node:assert/strict'
import fc from 'fast-check'
import { announcementReader } from '../announcement/announcement-reader.ts'
import { silentLogger } from '../ports/logger.ts'
import { seededRandom } from '../ports/seeded-random.ts'
import { ed25519Verifier } from '../ports/system/ed25519.node.ts'
import { model, Swarm } from '../testing/directory-swarm.node.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { AnnouncementStore } from './announcement-store.ts'
import { Conduct } from './conduct.ts'
import { directoryDefaults } from './directory-init.ts'
import { Keepers } from './keepers.ts'

describe('Keepers', () => {
  const swarm = new Swarm()
  const self = testIdentity('self').peerId
  const network = swarm.internet.join(self)
  const others = Array.from({ length: 12 }, (_, n) => testIdentity(`other ${n}`))
  const init = { ...directoryDefaults, model, mesh: true, keepers: 4 }

  function keepersOf(
    known: readonly number[],
    offline: ReadonlySet<number>,
    contacts: readonly number[]
  ): [Keepers, AnnouncementStore, Conduct] {
    const store = new AnnouncementStore({ self })
    for (const n of known) store.put(swarm.sign(others[n]!, 1, offline.has(n) ? { state: 'offline' } : {}), self, 0, 0)
    const reader = announcementReader(ed25519Verifier())
    const components = { network, clock: swarm.clock, random: seededRandom('x'), reader, logger: silentLogger, store }
    const conduct = new Conduct(init)
    return [new Keepers(components, init, conduct, () => contacts.map((n) => others[n]!.peerId)), store, conduct]
  }

  it('are the first of those who are known and of the contacts, and of none who says that it is gone', () => {
    const some = fc.uniqueArray(fc.nat(11))
    fc.assert(
      fc.property(some, some, fc.array(fc.nat(11)), (known, gone, contacts) => {
        const offline = new Set(gone.filter((n) => known.includes(n)))
        const expected = [...new Set([...known, ...contacts])].filter((n) => !offline.has(n)).map((n) => others[n]!.peerId)
        assert.deepEqual(keepersOf(known, offline, contacts)[0].list(), expected.sort().slice(0, 4))
      }),
      { numRuns: 50 }
    )
  })

  it('no longer include a peer as soon as enough others are known to come before it', () => {
    const sorted = [...others.keys()].sort((a, b) => (others[a]!.peerId < others[b]!.peerId ? -1 : 1))
    const [keepers, store] = keepersOf(sorted.slice(8), new Set(), [])
    const peer = others[sorted[8]!]!.peerId
    assert.ok(keepers.near(4).includes(peer) && keepers.stillInclude(peer))
    for (const n of sorted.slice(0, 3)) store.put(swarm.sign(others[n]!, 1), self, 0, 0)
    assert.ok(keepers.stillInclude(peer))
    store.put(swarm.sign(others[sorted[3]!]!, 1), self, 0, 0)
    assert.ok(!keepers.stillInclude(peer))
  })

  it('include a peer again as soon as it has answered, after all had failed', () => {
    const [keepers, , conduct] = keepersOf([0, 1, 2, 3], new Set(), [])
    const [peer, another] = [others[0]!.peerId, others[1]!.peerId]
    for (const n of [0, 1, 2, 3]) conduct.failed(others[n]!.peerId, swarm.clock.monotonicMs())
    assert.deepEqual(keepers.near(4), [])
    conduct.succeeded(peer)
    assert.ok(keepers.stillInclude(peer) && !keepers.stillInclude(another))
  })
})
