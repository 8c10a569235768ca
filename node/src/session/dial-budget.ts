import { type Clock, type PeerId, type Rate, TokenBucket, WireError, WireErrorCode } from '@skein/protocol'

interface Budget extends Rate {
  /** What is counted, in the text of a refusal. */
  readonly what: string
}

/** New connections. A coordinator with 32 sessions that all lose a stage at once causes so many. */
export const dialBudgetDefaults: Budget = { what: 'dials', burst: 64, perSecond: 4 }

/** Links over a connection that is there: a busy coordinator opens one for every answer. */
export const linkBudgetDefaults: Budget = { what: 'links', burst: 512, perSecond: 64 }

/**
 * Bytes that are sent once more because a coordinator names another successor, or one that says it holds nothing: they cost the
 * coordinator a message each time. A node that loses its successor replays what it holds at the most, and may do so for all of
 * its sessions several times in a row.
 */
export function replayBudget(historyBytes: number): Budget {
  return { what: 'bytes of replays', burst: Math.max(1, 16 * historyBytes), perSecond: Math.max(1, historyBytes / 60) }
}

/** Counts the dials, links or bytes of replays that coordinators cause, so that none can use a node to flood others. A token bucket each. */
export class DialBudget {
  readonly #clock: Clock
  readonly #options: Budget
  readonly #buckets = new Map<PeerId, TokenBucket>()

  constructor(clock: Clock, options = dialBudgetDefaults) {
    this.#clock = clock
    this.#options = options
  }

  /** @throws WireError `ERR_SKEIN_RATE_LIMITED` when the coordinator has caused too many lately */
  spend(coordinator: PeerId): void {
    const nowMs = this.#clock.monotonicMs()
    const bucket = this.#of(coordinator)
    if (!bucket.take(nowMs)) throw this.#exceeded(coordinator)
    this.#buckets.set(coordinator, bucket)
    this.#forgetFull(nowMs)
  }

  /** Counts what the coordinator has caused, which may be more than it has left: see {@link requireNoDebt}. */
  charge(coordinator: PeerId, amount: number): void {
    const nowMs = this.#clock.monotonicMs()
    const bucket = this.#of(coordinator)
    bucket.charge(amount, nowMs)
    this.#buckets.set(coordinator, bucket)
    this.#forgetFull(nowMs)
  }

  /** @throws WireError `ERR_SKEIN_RATE_LIMITED` when the coordinator has caused too much lately */
  requireNoDebt(coordinator: PeerId): void {
    if (this.#buckets.get(coordinator)?.has(this.#clock.monotonicMs()) === false) throw this.#exceeded(coordinator)
  }

  #of(coordinator: PeerId): TokenBucket {
    return this.#buckets.get(coordinator) ?? new TokenBucket(this.#options)
  }

  #exceeded(coordinator: PeerId): WireError {
    const { what, burst } = this.#options
    return new WireError(WireErrorCode.RateLimited, `${coordinator} has caused more than ${burst} ${what} in a short time`)
  }

  /** Dropping the full ones keeps the map as small as the number of busy coordinators. */
  #forgetFull(nowMs: number): void {
    if (this.#buckets.size < 1024) return
    for (const [peer, bucket] of this.#buckets) if (bucket.isFull(nowMs)) this.#buckets.delete(peer)
  }
}
