import type { PeerId } from '../ids.ts'
import { DirectoryChannel, type DirectoryChannelComponents } from './directory-channel.ts'

export interface ChannelPoolInit {
  /** How long one message of a peer may take. */
  readonly answerMs: number
  /** Channels that rest here at most; the one that has rested longest goes first. */
  readonly maxKeptChannels: number
  /** A channel that has rested for so long is closed. */
  readonly keepMs: number
}

interface Kept {
  readonly channel: DirectoryChannel
  readonly sinceMs: number
}

/**
 * The directory channels that this peer has opened. One to each peer stays open between uses: a peer tells the same few
 * keepers of itself again and again, and to open a channel costs a round trip and more work than what is said on it.
 */
export class ChannelPool {
  readonly #components: DirectoryChannelComponents
  readonly #init: ChannelPoolInit
  /** In the order in which they came to rest. */
  readonly #kept = new Map<PeerId, Kept>()
  #isClosed = false

  constructor(components: DirectoryChannelComponents, init: ChannelPoolInit) {
    this.#components = components
    this.#init = init
  }

  /**
   * Lets `act` talk to a peer, on the channel that is open already or on a new one. When the peer had closed that one, which
   * only shows when it is used, `act` is called once more with a new one.
   *
   * @throws what `Network.open`, the channel and `act` throw
   */
  async use<T>(peer: PeerId, signal: AbortSignal, act: (channel: DirectoryChannel) => Promise<T>): Promise<T> {
    const kept = this.#take(peer)
    if (kept !== undefined) {
      try {
        return await this.#useAndKeep(peer, kept, signal, act)
      } catch (error) {
        if (signal.aborted || !kept.isStale(error)) throw error
      }
    }
    const channel = await this.#open(peer, signal)
    void channel.closed.then(() => this.#forget(peer, channel))
    return await this.#useAndKeep(peer, channel, signal, act)
  }

  /** As {@link use}, and ends the channel afterwards: then the peer has read all that was sent. */
  async useAndEnd(peer: PeerId, signal: AbortSignal, act: (channel: DirectoryChannel) => Promise<void>): Promise<void> {
    const channel = await this.#open(peer, signal)
    try {
      await channel.use(signal, async () => {
        await act(channel)
        await channel.end()
      })
    } finally {
      channel.reset()
    }
  }

  /** Closes what has rested for long. */
  expire(nowMs: number): void {
    for (const [peer, { channel, sinceMs }] of this.#kept) {
      if (nowMs - sinceMs < this.#init.keepMs) return
      this.#kept.delete(peer)
      channel.reset()
    }
  }

  /** Closes all that rest, and keeps none any more. */
  close(): void {
    this.#isClosed = true
    for (const { channel } of this.#kept.values()) channel.reset()
    this.#kept.clear()
  }

  #open(peer: PeerId, signal: AbortSignal): Promise<DirectoryChannel> {
    return DirectoryChannel.open(this.#components, peer, this.#init.answerMs, signal)
  }

  #take(peer: PeerId): DirectoryChannel | undefined {
    const kept = this.#kept.get(peer)
    this.#kept.delete(peer)
    return kept?.channel
  }

  async #useAndKeep<T>(
    peer: PeerId,
    channel: DirectoryChannel,
    signal: AbortSignal,
    act: (channel: DirectoryChannel) => Promise<T>
  ): Promise<T> {
    let isKept = false
    const result = await channel.use(signal, async () => {
      const done = await act(channel)
      isKept = this.#keep(peer, channel)
      // One too many: it is ended in peace, so that what was said on it is read.
      if (!isKept && !channel.isClosed) await channel.end()
      return done
    })
    if (!isKept) channel.reset()
    return result
  }

  /** Returns whether it was kept. */
  #keep(peer: PeerId, channel: DirectoryChannel): boolean {
    if (this.#isClosed || channel.isClosed || this.#kept.has(peer)) return false
    this.#kept.set(peer, { channel, sinceMs: this.#components.clock.monotonicMs() })
    if (this.#kept.size > this.#init.maxKeptChannels) {
      const [oldest] = this.#kept.keys()
      this.#take(oldest as PeerId)?.reset()
    }
    return true
  }

  #forget(peer: PeerId, channel: DirectoryChannel): void {
    if (this.#kept.get(peer)?.channel === channel) this.#kept.delete(peer)
  }
}
