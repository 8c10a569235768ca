import type { PeerId } from '../ids.ts'
import type { DirectoryInit } from './directory-init.ts'
import { PerPeer, TokenBucket } from './token-buckets.ts'

/** Peers whose conduct is remembered; more than a node has neighbours. */
const maxPeers = 4096

interface Record {
  readonly requests: TokenBucket
  readonly pushes: TokenBucket
  strikes: number
}

/** What this peer has seen of the others' behaviour, and what it still lets each of them do. */
export class Conduct {
  readonly #init: DirectoryInit
  readonly #peers: PerPeer<Record>
  /** Only those who are, or lately were, banned or avoided: hardly ever anybody, so that the question costs nothing. */
  readonly #bannedUntilMs = new Map<PeerId, number>()
  readonly #avoidedUntilMs = new Map<PeerId, number>()
  readonly #totalPushes: TokenBucket

  constructor(init: DirectoryInit) {
    this.#init = init
    this.#totalPushes = new TokenBucket(init.totalPushRate)
    this.#peers = new PerPeer(maxPeers, () => ({
      requests: new TokenBucket(init.requestRate),
      pushes: new TokenBucket(init.pushRate),
      strikes: 0
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
    remember(this.#bannedUntilMs, peer, nowMs + this.#init.banMs)
    return true
  }

  isBanned(peer: PeerId, nowMs: number): boolean {
    return isUntil(this.#bannedUntilMs, peer, nowMs)
  }

  failed(peer: PeerId, nowMs: number): void {
    remember(this.#avoidedUntilMs, peer, nowMs + this.#init.avoidMs)
  }

  succeeded(peer: PeerId): void {
    this.#avoidedUntilMs.delete(peer)
  }

  isAvoided(peer: PeerId, nowMs: number): boolean {
    return isUntil(this.#avoidedUntilMs, peer, nowMs)
  }
}

function remember(untilMs: Map<PeerId, number>, peer: PeerId, ms: number): void {
  untilMs.delete(peer)
  untilMs.set(peer, ms)
  if (untilMs.size > maxPeers) untilMs.delete(untilMs.keys().next().value as PeerId)
}

function isUntil(untilMs: Map<PeerId, number>, peer: PeerId, nowMs: number): boolean {
  if (untilMs.size === 0) return false
  const ms = untilMs.get(peer)
  if (ms === undefined || ms > nowMs) return ms !== undefined
  untilMs.delete(peer)
  return false
}
