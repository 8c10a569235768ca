import type { Libp2p } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { abortReason, throwIfAborted } from '../abort.ts'
import { isPeerId, type PeerId } from '../ids.ts'
import type { AbortOptions } from '../ports/clock.ts'
import type { PeerAddresses } from '../ports/network.ts'

/** The key of a topic in the DHT: the SHA-256 of its text as a raw CID. */
async function topicKey(topic: string): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(topic)))
}

/** Tells the DHT that this peer provides the topic. It waits until the DHT knows a first peer. @throws AbortError */
export async function advertiseTopic(host: Libp2p, topic: string, options: AbortOptions): Promise<void> {
  throwIfAborted(options.signal)
  try {
    await host.contentRouting.provide(await topicKey(topic), options)
  } catch (error) {
    if (options.signal?.aborted === true) throw abortReason(options.signal)
    throw error
  }
}

/** Every other peer that provides the topic, once, as soon as the DHT names it with addresses. @throws AbortError */
export async function* findTopic(host: Libp2p, topic: string, options: AbortOptions): AsyncGenerator<PeerAddresses> {
  throwIfAborted(options.signal)
  const seen = new Set<PeerId>()
  try {
    for await (const provider of host.contentRouting.findProviders(await topicKey(topic), options)) {
      const peer = provider.id.toString()
      const addresses = provider.multiaddrs.map((address) => address.toString())
      if (!isPeerId(peer) || provider.id.equals(host.peerId) || seen.has(peer) || addresses.length === 0) continue
      seen.add(peer)
      yield { peer, addresses, source: 'announcement' }
    }
  } catch (error) {
    if (options.signal?.aborted === true) throw abortReason(options.signal)
    throw error
  }
}
