import type { kadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import { PerPeer, TokenBucket } from '../directory/token-buckets.ts'
import type { PeerId } from '../ids.ts'
import type { Clock } from '../ports/clock.ts'
import { libp2pLimits } from './libp2p-limits.ts'
import { ProviderRecords } from './provider-records.ts'

type MakeDht = ReturnType<typeof kadDHT>
type Registrar = KadDHTComponents['registrar']
type Datastore = KadDHTComponents['datastore']
type Handler = Parameters<Registrar['handle']>[1]

/**
 * The DHT with the bounds that libp2p does not set: anybody could have a node keep records of providers and values without an end, and keep
 * its event loop busy with nothing else.
 */
export function boundedDht(make: MakeDht, clock: Clock): MakeDht {
  return (components) => {
    const { registrar, datastore } = components
    return make(
      overridden(components, {
        registrar: overridden(registrar, {
          handle: (protocol, handler, options) => registrar.handle(protocol, limitedHandler(handler, clock), options)
        }),
        datastore: boundedDatastore(datastore)
      })
    )
  }
}

/** Ends streams of a peer that asks for too much, before more of it is read. */
function limitedHandler(handler: Handler, clock: Clock): Handler {
  const budgets = new PerPeer(libp2pLimits.maxDhtPeers, () => new TokenBucket(libp2pLimits.dhtRequestBytes))
  return async (stream, connection) => {
    const peer = connection.remotePeer.toString() as PeerId
    const mayCost = (bytes: number): boolean => budgets.of(peer).take(clock.monotonicMs(), bytes)
    const refuse = (): void => stream.abort(new Error('too many requests of the DHT'))
    if (!mayCost(libp2pLimits.dhtStreamBytes)) return refuse()
    stream.addEventListener('message', (event) => {
      if (mayCost(event.data.byteLength)) return
      event.stopImmediatePropagation()
      refuse()
    })
    await handler(stream, connection)
  }
}

function boundedDatastore(datastore: Datastore): Datastore {
  const { maxProviders, maxProvidedByPeer } = libp2pLimits
  const records = new ProviderRecords<Parameters<Datastore['put']>[0]>(maxProviders, maxProvidedByPeer)
  return overridden(datastore, {
    put: async (key, value, options) => {
      // Values, which anybody may store for ever; skein has none.
      if (key.toString().startsWith('/dht/record/')) return key
      const put = await datastore.put(key, value, options)
      for (const gone of records.add(key)) await datastore.delete(gone)
      return put
    },
    delete: async (key, options) => {
      records.delete(key)
      await datastore.delete(key, options)
    }
  })
}

/** An object that is another one but for some of its members. */
function overridden<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get: (_target, name): unknown => {
      if (Object.hasOwn(own, name)) return own[name as keyof T]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    }
  })
}
