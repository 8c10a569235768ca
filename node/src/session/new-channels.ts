import {
  abortReason,
  type Channel,
  type Clock,
  type Frame,
  MalformedError,
  onAbort,
  type PeerId,
  SharedRoom,
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
  readonly #room = new SharedRoom<PeerId, Waiting>()

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
    this.#room.add(peer, waiting)
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
      this.#room.remove(peer, waiting)
    }
  }

  #makeRoom(newcomer: PeerId): void {
    if (this.#room.count < this.#max) return
    const busy = new WireError(WireErrorCode.Busy, 'too many channels wait for their first frame')
    const most = this.#room.most(newcomer)
    if (most === undefined || most.holder === newcomer) throw busy
    this.#room.remove(most.holder, most.oldest)
    most.oldest.abort.abort(busy)
  }
}
