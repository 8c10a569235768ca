import { MalformedError } from '../errors.ts'
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

/** Sends a message and waits until the channel takes another one. */
export async function sendDirectory(channel: Channel, message: DirectoryRequest | DirectoryResponse): Promise<void> {
  if (!channel.send({ head: encodeDirectory(message) })) await channel.writable()
}

/** The asking side of one directory channel. Every wait on the peer has a deadline. */
export class DirectoryChannel {
  readonly #channel: Channel
  readonly #watch: ChannelWatch
  readonly #answerMs: number
  #lastId = 0

  private constructor(channel: Channel, watch: ChannelWatch, answerMs: number) {
    this.#channel = channel
    this.#watch = watch
    this.#answerMs = answerMs
  }

  /** Opens a channel, hands it to `act`, and closes it: in peace when `act` returns, by a reset when it throws. */
  static async use<T>(
    { network, clock }: { readonly network: Network; readonly clock: Clock },
    peer: PeerId,
    answerMs: number,
    signal: AbortSignal,
    act: (channel: DirectoryChannel) => Promise<T>
  ): Promise<T> {
    const channel = await within(clock, answerMs, `a directory channel to ${peer}`, signal, (opening) =>
      network.open(peer, protocols.directory, { limits: channelLimits.directory, signal: opening })
    )
    const watch = new ChannelWatch(channel, clock, signal)
    try {
      const open = new DirectoryChannel(channel, watch, answerMs)
      const result = await act(open)
      await open.#finish()
      return result
    } finally {
      watch.stop()
      channel.reset()
    }
  }

  /** A number for the next request. */
  nextId(): number {
    return ++this.#lastId
  }

  /** @throws WireError when the peer refuses; MalformedError, TimeoutError, AbortError, ChannelClosedError */
  async request(message: Exclude<DirectoryRequest, { type: 'push' }>): Promise<DirectoryResponse> {
    return await this.#watch.within(this.#answerMs, `the answer to ${message.type}`, async () => {
      await sendDirectory(this.#channel, message)
      const frame = await this.#channel.receive()
      if (frame === undefined) throw new MalformedError(`the peer ended its directory channel without an answer to ${message.type}`)
      const response = decodeDirectoryResponse(frame.head)
      if (response.type === 'refused') throw errorFromRefusal(response)
      if (response.id !== message.id) throw new MalformedError(`the answer to directory request ${message.id} has the id ${response.id}`)
      return response
    })
  }

  /** @throws TimeoutError, AbortError, ChannelClosedError */
  async push(message: Extract<DirectoryRequest, { type: 'push' }>): Promise<void> {
    await this.#watch.within(this.#answerMs, 'a push', () => sendDirectory(this.#channel, message))
  }

  /** Ends this side and waits for the other one to do so: it has then read everything. */
  async #finish(): Promise<void> {
    await this.#watch.within(this.#answerMs, 'the end of a directory channel', async () => {
      await this.#channel.end()
      const frame = await this.#channel.receive()
      if (frame === undefined) return
      const late = decodeDirectoryResponse(frame.head)
      throw late.type === 'refused'
        ? errorFromRefusal(late)
        : new MalformedError('the peer sent a directory response that nobody asked for')
    })
  }
}
