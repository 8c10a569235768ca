/**
 * What different holders have in a room of all of them: each one's items, the oldest first. When it is full, whoever holds the most gives
 * up its oldest item for a newcomer, so that who takes much keeps out only itself.
 */
export class SharedRoom<Holder, Item> {
  readonly #of = new Map<Holder, Set<Item>>()
  #count = 0

  /** Items of all holders. */
  get count(): number {
    return this.#count
  }

  add(holder: Holder, item: Item): void {
    const held = this.#of.get(holder)
    if (held === undefined) this.#of.set(holder, new Set([item]))
    else held.add(item)
    this.#count++
  }

  /** Idempotent. */
  remove(holder: Holder, item: Item): void {
    const held = this.#of.get(holder)
    if (held?.delete(item) !== true) return
    this.#count--
    if (held.size === 0) this.#of.delete(holder)
  }

  /** Who holds the most, and its oldest item. @param first - counts as holding the most where it holds as much as others */
  most(first?: Holder): { readonly holder: Holder; readonly oldest: Item } | undefined {
    let holder = first
    let largest = first === undefined ? undefined : this.#of.get(first)
    for (const [other, held] of this.#of) if (held.size > (largest?.size ?? 0)) [holder, largest] = [other, held]
    const [oldest] = largest ?? []
    return holder === undefined || oldest === undefined ? undefined : { holder, oldest }
  }
}
