import type { PeerId } from '../ids.ts'

/** A token bucket: `burst` at once, `perSecond` on average. */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/** One token bucket that knows no clock: the present comes as an argument. */
export class TokenBucket {
  readonly #rate: Rate
  #tokens: number
  #atMs = 0

  constructor(rate: Rate) {
    this.#rate = rate
    this.#tokens = rate.burst
  }

  take(nowMs: number, count = 1): boolean {
    this.#tokens = this.#tokensAt(nowMs)
    this.#atMs = nowMs
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }

  /** Counts what has happened already: it may leave a debt, and until that is paid nothing is given. */
  charge(tokens: number, nowMs: number): void {
    this.#tokens = this.#tokensAt(nowMs) - tokens
    this.#atMs = nowMs
  }

  /** Whether there is something to take. */
  has(nowMs: number): boolean {
    return this.#tokensAt(nowMs) >= 1
  }

  /** A full one says nothing of its past, and can be forgotten. */
  isFull(nowMs: number): boolean {
    return this.#tokensAt(nowMs) >= this.#rate.burst
  }

  #tokensAt(nowMs: number): number {
    return Math.min(this.#rate.burst, this.#tokens + (Math.max(0, nowMs - this.#atMs) / 1000) * this.#rate.perSecond)
  }
}

/** Something for each of a bounded number of peers; whoever was used least recently is forgotten. */
export class PerPeer<T> {
  readonly #make: () => T
  readonly #maxPeers: number
  readonly #entries = new Map<PeerId, T>()

  constructor(maxPeers: number, make: () => T) {
    this.#maxPeers = maxPeers
    this.#make = make
  }

  of(peer: PeerId): T {
    const entry = this.#entries.get(peer) ?? this.#make()
    this.#entries.delete(peer)
    this.#entries.set(peer, entry)
    if (this.#entries.size > this.#maxPeers) this.#entries.delete(this.#entries.keys().next().value as PeerId)
    return entry
  }
}
