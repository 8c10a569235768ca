/** As libp2p's DHT names them: `/dht/provider/<content>/<peer>`. */
const providerKey = /^\/dht\/provider\/[^/]+\/([^/]+)$/

/**
 * Which records of providers a DHT keeps, by their keys. When there are too many, the oldest ones give way: of the same provider
 * when it has more than its share.
 */
export class ProviderRecords<Key extends { toString(): string }> {
  readonly #most: number
  readonly #mostOfPeer: number
  /** The oldest first. */
  readonly #keys = new Map<string, Key>()
  readonly #ofPeer = new Map<string, Set<string>>()

  constructor(most: number, mostOfPeer: number) {
    this.#most = most
    this.#mostOfPeer = mostOfPeer
  }

  /** Notes that a record was put. @returns the keys of those that give way */
  add(key: Key): Key[] {
    const text = key.toString()
    const peer = providerKey.exec(text)?.[1]
    if (peer === undefined) return []
    this.delete(key)
    this.#keys.set(text, key)
    const held = this.#ofPeer.get(peer) ?? new Set()
    this.#ofPeer.set(peer, held.add(text))
    const [oldest] = held.size > this.#mostOfPeer ? held : this.#keys.size > this.#most ? this.#keys.keys() : []
    const gone = oldest === undefined ? undefined : this.#keys.get(oldest)
    if (gone === undefined) return []
    this.delete(gone)
    return [gone]
  }

  delete(key: Key): void {
    const text = key.toString()
    const peer = providerKey.exec(text)?.[1]
    if (peer === undefined || !this.#keys.delete(text)) return
    const held = this.#ofPeer.get(peer)
    held?.delete(text)
    if (held?.size === 0) this.#ofPeer.delete(peer)
  }
}
