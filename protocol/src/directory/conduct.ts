import type { PeerId } from '../ids.ts'
import type { DirectoryInit } from './directory-init.ts'
import { PerPeer, TokenBucket } from './token-buckets.ts'

/** Peers whose conduct is remembered; more than a node has neighbours. */
const maxPeers = 4096

interface Record {
  readonly requests: TokenBucket
  readonly pushes: TokenBucket
  strikes: number
  bannedUntilMs: number
  failedUntilMs: number
}

/** What this peer has seen of the others' behaviour, and what it still lets each of them do. */
export class Conduct {
  readonly #init: DirectoryInit
  readonly #peers: PerPeer<Record>
  readonly #totalPushes: TokenBucket

  constructor(init: DirectoryInit) {
    this.#init = init
    this.#totalPushes = new TokenBucket(init.totalPushRate)
    this.#peers = new PerPeer(maxPeers, () => ({
      requests: new TokenBucket(init.requestRate),
      pushes: new TokenBucket(init.pushRate),
      strikes: 0,
      bannedUntilMs: -Infinity,
      failedUntilMs: -Infinity
    }))
  }

  mayRequest(peer: PeerId, nowMs: number): boolean {
    return this.#peers.of(peer).requests.take(nowMs)
  }

  /** Whether a signature may be verified for a record that nobody asked for. */
  mayPush(peer: PeerId, nowMs: number): boolean {
    return this.#peers.of(peer).pushes.take(nowMs) && this.#totalPushes.take(nowMs)
  }

  /** Counts something that no honest peer sends. Returns whether the peer is banned now. */
  strike(peer: PeerId, nowMs: number): boolean {
    const record = this.#peers.of(peer)
    if (++record.strikes < this.#init.maxStrikes) return false
    record.strikes = 0
    record.bannedUntilMs = nowMs + this.#init.banMs
    return true
  }

  isBanned(peer: PeerId, nowMs: number): boolean {
    return (this.#peers.peek(peer)?.bannedUntilMs ?? -Infinity) > nowMs
  }

  failed(peer: PeerId, nowMs: number): void {
    this.#peers.of(peer).failedUntilMs = nowMs + this.#init.avoidMs
  }

  succeeded(peer: PeerId): void {
    this.#peers.of(peer).failedUntilMs = -Infinity
  }

  isAvoided(peer: PeerId, nowMs: number): boolean {
    return (this.#peers.peek(peer)?.failedUntilMs ?? -Infinity) > nowMs
  }
}
