import { type Clock, type PeerId, WireError, WireErrorCode } from '@skein/protocol'

interface Budget {
  /** What is counted, in the text of a refusal. */
  readonly what: string
  /** How many a coordinator may cause at once, and how fast that fills up again. */
  readonly burst: number
  readonly perSecond: number
}

/** New connections. A coordinator with 32 sessions that all lose a stage at once causes so many. */
export const dialBudgetDefaults: Budget = { what: 'dials', burst: 64, perSecond: 4 }

/** Links over a connection that is there: a busy coordinator opens one for every answer. */
export const linkBudgetDefaults: Budget = { what: 'links', burst: 512, perSecond: 64 }

interface Bucket {
  left: number
  atMs: number
}

/** Counts the dials, or links, that coordinators cause, so that none can use a node to flood others. A token bucket each. */
export class DialBudget {
  readonly #clock: Clock
  readonly #options: Budget
  readonly #buckets = new Map<PeerId, Bucket>()

  constructor(clock: Clock, options = dialBudgetDefaults) {
    this.#clock = clock
    this.#options = options
  }

  /** @throws WireError `ERR_SKEIN_RATE_LIMITED` when the coordinator has caused too many lately */
  spend(coordinator: PeerId): void {
    const { what, burst, perSecond } = this.#options
    const nowMs = this.#clock.monotonicMs()
    const bucket = this.#buckets.get(coordinator) ?? { left: burst, atMs: nowMs }
    bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond)
    bucket.atMs = nowMs
    if (bucket.left < 1)
      throw new WireError(WireErrorCode.RateLimited, `${coordinator} has caused more than ${burst} ${what} in a short time`)
    bucket.left -= 1
    this.#buckets.set(coordinator, bucket)
    this.#forgetFull(nowMs)
  }

  /** A full bucket says nothing: dropping it keeps the map as small as the number of busy coordinators. */
  #forgetFull(nowMs: number): void {
    if (this.#buckets.size < 1024) return
    const { burst, perSecond } = this.#options
    for (const [peer, bucket] of this.#buckets) {
      if (bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond >= burst) this.#buckets.delete(peer)
    }
  }
}
