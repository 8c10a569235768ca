import {
  abortReason,
  type Channel,
  type Clock,
  type Frame,
  MalformedError,
  onAbort,
  type PeerId,
  TimeoutError,
  WireError,
  WireErrorCode
} from '@skein/protocol'

interface Waiting {
  readonly abort: AbortController
}

/**
 * The channels that have not sent their first frame. Their number is bounded, and the room is shared: when there are too many, the
 * peer that holds the most gives up its oldest one for the newcomer, so that a peer which opens channels and says nothing keeps out
 * only itself.
 */
export class NewChannels {
  readonly #clock: Clock
  readonly #max: number
  readonly #ofPeer = new Map<PeerId, Set<Waiting>>()
  #count = 0

  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  /**
   * Waits for the first frame of a channel.
   *
   * @throws WireError `Busy` when there is no room, others need it, or it did not come in time; what `Channel.receive` throws
   */
  async firstFrame(channel: Channel, timeoutMs: number, signal: AbortSignal): Promise<Frame> {
    const { peer } = channel
    this.#makeRoom(peer)
    const waiting: Waiting = { abort: new AbortController() }
    this.#add(peer, waiting)
    const stopListening = onAbort(signal, () => waiting.abort.abort(abortReason(signal)))
    const deadline = this.#clock.deadline(timeoutMs, 'the first frame of a channel', waiting.abort.signal)
    try {
      const frame = await channel.receive({ signal: deadline.signal })
      if (frame === undefined) throw new MalformedError('the channel ended before its first frame')
      return frame
    } catch (error) {
      // Of its own words: to the peer this would be a failure of the node.
      if (error instanceof TimeoutError) throw new WireError(WireErrorCode.Busy, `${error.message}: open another one`, { cause: error })
      throw error
    } finally {
      deadline.clear()
      stopListening()
      this.#remove(peer, waiting)
    }
  }

  #makeRoom(newcomer: PeerId): void {
    if (this.#count < this.#max) return
    let [most, largest]: [PeerId, Set<Waiting> | undefined] = [newcomer, this.#ofPeer.get(newcomer)]
    for (const [peer, held] of this.#ofPeer) if (held.size > (largest?.size ?? 0)) [most, largest] = [peer, held]
    const [oldest] = most === newcomer ? [] : (largest ?? [])
    const busy = new WireError(WireErrorCode.Busy, 'too many channels wait for their first frame')
    if (oldest === undefined) throw busy
    this.#remove(most, oldest)
    oldest.abort.abort(busy)
  }

  #add(peer: PeerId, waiting: Waiting): void {
    const held = this.#ofPeer.get(peer)
    if (held === undefined) this.#ofPeer.set(peer, new Set([waiting]))
    else held.add(waiting)
    this.#count++
  }

  /** Idempotent. */
  #remove(peer: PeerId, waiting: Waiting): void {
    const held = this.#ofPeer.get(peer)
    if (held?.delete(waiting) !== true) return
    this.#count--
    if (held.size === 0) this.#ofPeer.delete(peer)
  }
}
