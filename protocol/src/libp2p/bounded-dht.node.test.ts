import assert from 'node:assert/strict'
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import { ManualClock } from '../testing/index.ts'
import { boundedDht } from './bounded-dht.node.ts'

type Datastore = KadDHTComponents['datastore']
type Key = Parameters<Datastore['put']>[0]

describe('the bounded DHT', () => {
  it('stores no values, which anybody could have it keep for ever', async () => {
    const stored: string[] = []
    let given: Datastore | undefined
    const make = boundedDht((components) => {
      given = components.datastore
      return {} as KadDHT
    }, new ManualClock())
    const datastore = { put: (key: Key) => Promise.resolve(stored.push(key.toString())), delete: () => Promise.resolve() }
    make({ registrar: {}, datastore } as unknown as KadDHTComponents)
    for (const key of ['/dht/record/abc', '/dht/provider/content/peer', '/dht/record/'])
      await given?.put(key as unknown as Key, new Uint8Array(8))
    assert.deepEqual(stored, ['/dht/provider/content/peer'])
  })
})
