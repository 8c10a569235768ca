import { type Clock, type PeerId, type Rate, TokenBucket, WireError, WireErrorCode } from '@skein/protocol'

interface Budget extends Rate {
  /** What is counted, in the text of a refusal. */
  readonly what: string
}

/** New connections. A coordinator with 32 sessions that all lose a stage at once causes so many. */
export const dialBudgetDefaults: Budget = { what: 'dials', burst: 64, perSecond: 4 }

/** Links over a connection that is there: a busy coordinator opens one for every answer. */
export const linkBudgetDefaults: Budget = { what: 'links', burst: 512, perSecond: 64 }

/** Counts the dials, or links, that coordinators cause, so that none can use a node to flood others. A token bucket each. */
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
    const { what, burst } = this.#options
    const nowMs = this.#clock.monotonicMs()
    const bucket = this.#buckets.get(coordinator) ?? new TokenBucket(this.#options)
    if (!bucket.take(nowMs))
      throw new WireError(WireErrorCode.RateLimited, `${coordinator} has caused more than ${burst} ${what} in a short time`)
    this.#buckets.set(coordinator, bucket)
    this.#forgetFull(nowMs)
  }

  /** Dropping the full ones keeps the map as small as the number of busy coordinators. */
  #forgetFull(nowMs: number): void {
    if (this.#buckets.size < 1024) return
    for (const [peer, bucket] of this.#buckets) if (bucket.isFull(nowMs)) this.#buckets.delete(peer)
  }
}
