import type { Channel, Frame } from '../ports/network.ts'
import type { WaitingResults } from './waiting-results.ts'

/**
 * Writes frames to a channel in order, waiting for the channel's buffer where it must, so that code which only reacts to
 * events need not await. What waits is bounded: who writes past the bound does not respect a flow control of its own, and
 * the channel is reset.
 */
export class ChannelWriter {
  readonly #channel: Channel
  readonly #maxWaitingBytes: number
  readonly #together: WaitingResults | undefined
  #waiting: Frame[] = []
  #waitingBytes = 0
  #pumping = false
  #finished = false

  /**
   * @param maxWaitingBytes heads and bodies that may wait here, beyond the channel's own buffer
   * @param together counts what waits here with what waits elsewhere
   */
  constructor(channel: Channel, maxWaitingBytes: number, together?: WaitingResults) {
    this.#channel = channel
    this.#maxWaitingBytes = maxWaitingBytes
    this.#together = together
  }

  /** Takes the frame; ownership passes. It never throws: that a channel is gone, or was reset here, its `closed` tells. */
  write(frame: Frame): void {
    if (this.#finished) return
    if (!this.#pumping) {
      this.#writeNow(frame)
      return
    }
    this.#waitingBytes += frameBytes(frame)
    if (this.#waiting.length > 0 && this.#waitingBytes > this.#maxWaitingBytes) {
      this.reset()
      return
    }
    this.#waiting.push(frame)
    this.#together?.set(this, this.#waitingBytes)
  }

  /** Ends the channel once everything written has been handed over. */
  end(): void {
    if (this.#finished) return
    this.#finished = true
    if (!this.#pumping) void this.#pump()
  }

  /** Resets the channel and forgets what waits. */
  reset(): void {
    this.#finished = true
    this.#forget()
    this.#channel.reset()
  }

  /** Nothing waits: nearly every frame goes this way. */
  #writeNow(frame: Frame): void {
    try {
      if (!this.#channel.send(frame)) void this.#pump(true)
    } catch {
      // The channel is closed, and `closed` says why to whoever owns it.
      this.#finished = true
    }
  }

  /** @param isFull - the channel takes nothing more for now */
  async #pump(isFull = false): Promise<void> {
    this.#pumping = true
    try {
      if (isFull) await this.#channel.writable()
      for (let frame = this.#waiting.shift(); frame !== undefined; frame = this.#waiting.shift()) {
        this.#waitingBytes -= frameBytes(frame)
        this.#together?.set(this, this.#waitingBytes)
        if (!this.#channel.send(frame)) await this.#channel.writable()
      }
      if (this.#finished) await this.#channel.end()
    } catch {
      // As above.
      this.#finished = true
      this.#forget()
    } finally {
      this.#pumping = false
    }
  }

  #forget(): void {
    this.#waiting = []
    this.#waitingBytes = 0
    this.#together?.set(this, 0)
  }
}

function frameBytes(frame: Frame): number {
  return frame.head.byteLength + (frame.body?.byteLength ?? 0)
}
