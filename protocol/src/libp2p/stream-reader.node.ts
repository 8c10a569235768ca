import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { libp2pLimits } from './libp2p-limits.ts'

/** Why the bytes of a stream ended. */
export type StreamEnd = { readonly kind: 'ended' } | { readonly kind: 'failed'; readonly error: Error }

/**
 * Pulls bytes from a libp2p stream. The stream's own async iterator reads into a buffer without a bound; this one pauses
 * the stream when `readAheadBytes` wait, so that yamux's window runs out and the sender stops. One reader at a time.
 */
export class StreamReader implements AsyncIterable<Uint8Array> {
  readonly #stream: Stream
  readonly #onDrained: () => void
  #chunks: Uint8Array[] = []
  #waitingBytes = 0
  #end: StreamEnd | undefined
  #wake: (() => void) | undefined

  /** @param onDrained called whenever nothing is left to be read that has arrived */
  constructor(stream: Stream, onDrained: () => void) {
    this.#stream = stream
    this.#onDrained = onDrained
    stream.addEventListener('message', (event: StreamMessageEvent) => this.#take(event.data))
  }

  /** Bytes that have arrived here or in the paused stream and were not pulled. */
  get unreadBytes(): number {
    return this.#waitingBytes + this.#stream.readBufferLength
  }

  /** No more will arrive: after an orderly end what is here can still be pulled, after a failure it is dropped. */
  finish(end: StreamEnd): void {
    if (this.#end?.kind === 'failed') return
    this.#end = end
    if (end.kind === 'failed') {
      this.#chunks = []
      this.#waitingBytes = 0
    }
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        this.#waitingBytes -= chunk.byteLength
        if (this.#waitingBytes < libp2pLimits.readAheadBytes) this.#resume()
        yield chunk
        continue
      }
      if (this.#end?.kind === 'failed') throw this.#end.error
      this.#resume()
      if (this.#waitingBytes > 0) continue
      this.#onDrained()
      // What arrived before the listener was attached is still on its way here.
      if (this.#end !== undefined && this.#stream.readBufferLength === 0) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }

  #take(data: StreamMessageEvent['data']): void {
    if (this.#end?.kind === 'failed') return
    const parts = data instanceof Uint8Array ? [data] : [...data]
    for (const part of parts) this.#chunks.push(part)
    this.#waitingBytes += data.byteLength
    if (this.#waitingBytes >= libp2pLimits.readAheadBytes && this.#stream.readStatus === 'readable') this.#stream.pause()
    this.#wake?.()
  }

  #resume(): void {
    // Throws on any other status, closing ones among them.
    if (this.#stream.readStatus !== 'paused') return
    try {
      this.#stream.resume()
    } catch {
      // The connection below is gone and the window update could not be sent: its close event says so.
    }
  }
}
