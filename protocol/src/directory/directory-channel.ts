import { ChannelClosedError, MalformedError, TimeoutError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { decodeDirectoryResponse, encodeDirectory } from '../messages/directory.ts'
import type { DirectoryRequest, DirectoryResponse } from '../messages/directory.ts'
import { errorFromRefusal } from '../messages/refusal.ts'
import type { Clock } from '../ports/clock.ts'
import type { Channel, Network } from '../ports/network.ts'
import { protocols } from '../versions.ts'
import { ChannelWatch } from './channel-watch.ts'

/** Runs an await on a peer under a deadline, and lets go of the timer. */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  what: string,
  parent: AbortSignal,
  act: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  const deadline = clock.deadline(timeoutMs, what, parent)
  try {
    return await act(deadline.signal)
  } finally {
    deadline.clear()
  }
}

/** Sends a message, and waits under the watch where the channel does not take another one yet. */
export async function sendDirectory(
  channel: Channel,
  message: DirectoryRequest | DirectoryResponse,
  watch: ChannelWatch,
  timeoutMs: number
): Promise<void> {
  if (!channel.send({ head: encodeDirectory(message) })) await watch.within(timeoutMs, 'a slow reader', () => channel.writable())
}

export interface DirectoryChannelComponents {
  readonly network: Network
  readonly clock: Clock
}

/**
 * The asking side of one directory channel, which serves one use after the other. Every wait on the peer has a deadline.
 */
export class DirectoryChannel {
  /** Resolves when the channel is closed, from whichever side. */
  readonly closed: Promise<void>
  readonly #channel: Channel
  readonly #clock: Clock
  readonly #answerMs: number
  #watch: ChannelWatch | undefined
  #lastId = 0
  #answers = 0
  #isClosed = false

  private constructor(channel: Channel, clock: Clock, answerMs: number) {
    this.#channel = channel
    this.#clock = clock
    this.#answerMs = answerMs
    this.closed = channel.closed.then(() => {
      this.#isClosed = true
    })
  }

  /** @throws what `Network.open` throws */
  static async open(
    { network, clock }: DirectoryChannelComponents,
    peer: PeerId,
    answerMs: number,
    signal: AbortSignal
  ): Promise<DirectoryChannel> {
    const channel = await within(clock, answerMs, `a directory channel to ${peer}`, signal, (opening) =>
      network.open(peer, protocols.directory, { limits: channelLimits.directory, signal: opening })
    )
    return new DirectoryChannel(channel, clock, answerMs)
  }

  /** Whether one side has closed it. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether the peer had closed it before the present use got its first answer: it then says nothing about the peer. */
  isStale(error: unknown): boolean {
    // The watch closes it as well, of a peer that is only silent.
    if (this.#answers > 0 || error instanceof TimeoutError) return false
    return this.#isClosed || error instanceof ChannelClosedError || error instanceof EndedError
  }

  /** Lets `act` talk on the channel. When it throws, the channel is reset. */
  async use<T>(signal: AbortSignal, act: (channel: DirectoryChannel) => Promise<T>): Promise<T> {
    const watch = new ChannelWatch(this.#channel, this.#clock, signal)
    this.#watch = watch
    this.#answers = 0
    try {
      return await act(this)
    } catch (error) {
      this.#channel.reset()
      throw error
    } finally {
      watch.stop()
    }
  }

  /** Closes it at once. */
  reset(): void {
    this.#channel.reset()
  }

  /** A number for the next request. */
  nextId(): number {
    return ++this.#lastId
  }

  /** @throws WireError when the peer refuses; MalformedError, TimeoutError, AbortError, ChannelClosedError */
  async request(message: Exclude<DirectoryRequest, { type: 'push' }>): Promise<DirectoryResponse> {
    return await this.#within(`the answer to ${message.type}`, async () => {
      if (!this.#channel.send({ head: encodeDirectory(message) })) await this.#channel.writable()
      const frame = await this.#channel.receive()
      if (frame === undefined) throw new EndedError(`the peer ended its directory channel without an answer to ${message.type}`)
      this.#answers++
      const response = decodeDirectoryResponse(frame.head)
      if (response.type === 'refused') throw errorFromRefusal(response)
      if (response.id !== message.id) throw new MalformedError(`the answer to directory request ${message.id} has the id ${response.id}`)
      return response
    })
  }

  /** @throws TimeoutError, AbortError, ChannelClosedError */
  async push(message: Extract<DirectoryRequest, { type: 'push' }>): Promise<void> {
    await sendDirectory(this.#channel, message, this.#watch as ChannelWatch, this.#answerMs)
  }

  /** Ends this side, in a use, and waits for the other one to do so: it has then read everything. */
  async end(): Promise<void> {
    await this.#within('the end of a directory channel', async () => {
      await this.#channel.end()
      const frame = await this.#channel.receive()
      if (frame === undefined) return
      const late = decodeDirectoryResponse(frame.head)
      throw late.type === 'refused'
        ? errorFromRefusal(late)
        : new MalformedError('the peer sent a directory response that nobody asked for')
    })
  }

  #within<T>(what: string, act: () => Promise<T>): Promise<T> {
    return (this.#watch as ChannelWatch).within(this.#answerMs, what, act)
  }
}

/** The peer ended a channel on which it still owed an answer. */
class EndedError extends MalformedError {}
