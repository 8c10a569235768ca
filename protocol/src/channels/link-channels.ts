import { describeError, isSkeinError, isWireErrorCode, MalformedError, WireErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { checkStepBody, decodeLink, encodeLink } from '../messages/codec.ts'
import type { AckMessage, HeldMessage, LinkMessage, LinkRefusedMessage, StepMessage } from '../messages/link.ts'
import type { CancelTimer, Clock } from '../ports/clock.ts'
import { attachment, type Channel, type Frame } from '../ports/network.ts'
import { ChannelWriter } from './channel-writer.ts'
import type { WaitingResults } from './waiting-results.ts'

/** What may come on a link once its `hello` is out. */
export type LinkReply = StepMessage | HeldMessage | AckMessage | LinkRefusedMessage

/** Which messages a channel carries: on `results` a step may have runs without rows. */
export type LinkKind = 'link' | 'results'

export interface LinkChannelsInit {
  readonly clock: Clock
  /** Bytes of one row of activations in the session's encoding. */
  readonly rowBytes: number
  /** A checked message. For steps the body is exactly the rows that it names. */
  readonly onMessage: (link: number, message: LinkReply, body: Uint8Array | undefined) => void
  /** A dial has succeeded. */
  readonly onDialed: (link: number) => void
  /**
   * The channel is gone, or its dial failed. Once per link, and never after `hangUp`. `ended`: the other side has ended it in
   * peace, as who leaves does.
   */
  readonly onClosed: (link: number, code: WireErrorCode | undefined, message: string, ended: boolean) => void
  /** Bounds what waits on `results` together with those of other sessions. @default only each by itself */
  readonly waitingResults?: WaitingResults
}

interface Link {
  readonly kind: LinkKind
  /** Gives up the dial, where this side has dialled. */
  readonly abort?: AbortController
  channel?: Channel
  writer?: ChannelWriter
  /** Since this side has hung up: the other one may never end its half. */
  cancelLinger?: CancelTimer
}

/**
 * The link channels of one session, by number: reads, checks and hands on what arrives, writes in order, and reports each
 * loss once. It serves the state machines of both sides, which know channels by their numbers alone.
 */
export class LinkChannels {
  readonly #init: LinkChannelsInit
  readonly #links = new Map<number, Link>()

  constructor(init: LinkChannelsInit) {
    this.#init = init
  }

  /** Takes over a channel that a peer opened, after its `hello` was read. */
  accept(link: number, kind: LinkKind, channel: Channel): void {
    const entry: Link = { kind }
    this.#links.set(link, entry)
    this.#attach(link, entry, channel)
  }

  /** Opens a channel; then `onDialed` or `onClosed`. `open` has a deadline of its own beside the signal. */
  dial(link: number, kind: LinkKind, open: (signal: AbortSignal) => Promise<Channel>): void {
    const abort = new AbortController()
    const entry: Link = { kind, abort }
    this.#links.set(link, entry)
    void this.#dial(link, entry, () => open(abort.signal))
  }

  /** Sends a message; the body's ownership passes. A link that is gone or not dialled yet takes nothing. */
  send(link: number, message: LinkMessage, body?: Uint8Array): void {
    const writer = this.#links.get(link)?.writer
    if (writer === undefined) return
    const head = encodeLink(message)
    writer.write(body === undefined || body.byteLength === 0 ? { head } : { head, body: attachment(body) })
  }

  /** Ends a channel once what was sent is out, or gives up its dial. Nothing of it is reported any more. */
  hangUp(link: number): void {
    const entry = this.#links.get(link)
    if (entry === undefined) return
    this.#links.delete(link)
    entry.writer?.end()
    entry.abort?.abort()
    // The reader drains the channel: it may be in the middle of a `receive`, and there is one at a time. That has no signal,
    // since a listener for each frame costs more than all else that is done with it here.
    const { channel } = entry
    if (channel !== undefined) entry.cancelLinger = this.#init.clock.setTimer(lingerMs, () => channel.reset())
  }

  /** Hangs up on all. */
  close(): void {
    for (const link of [...this.#links.keys()]) this.hangUp(link)
  }

  async #dial(link: number, entry: Link, open: () => Promise<Channel>): Promise<void> {
    try {
      const channel = await open()
      if (this.#links.get(link) !== entry) {
        channel.reset()
        return
      }
      this.#attach(link, entry, channel)
      this.#init.onDialed(link)
    } catch (error) {
      this.#lose(link, entry, WireErrorCode.PeerUnreachable, describeError(error))
    }
  }

  #attach(link: number, entry: Link, channel: Channel): void {
    entry.channel = channel
    // The credits of the link bound what waits; twice that is a mistake of this side.
    const together = entry.kind === 'results' ? this.#init.waitingResults : undefined
    entry.writer = new ChannelWriter(channel, 2 * (limits.linkCreditBytes + limits.maxStepBytes), together)
    void this.#read(link, entry, channel)
  }

  async #read(link: number, entry: Link, channel: Channel): Promise<void> {
    try {
      await readUntilEnd(channel, (frame) => {
        const isOurs = this.#links.get(link) === entry
        if (isOurs) this.#take(link, entry, frame)
        return isOurs
      })
      entry.cancelLinger?.()
      // The other side has ended its half in peace: this one does so too, or that side would wait for it and reset the channel.
      if (this.#links.get(link) === entry) {
        entry.writer?.end()
        linger(channel, this.#init.clock)
      }
      this.#lose(link, entry, undefined, `${channel.peer} ended the link`, true)
    } catch (error) {
      entry.cancelLinger?.()
      if (this.#links.get(link) !== entry) {
        // Hung up on, in the middle of a message perhaps; if the channel still is there, nobody reads it any more.
        channel.reset()
        return
      }
      const code = isSkeinError(error) && isWireErrorCode(error.code) ? error.code : undefined
      // A peer that breaks the protocol is told so, and hears nothing more.
      if (code !== undefined)
        this.send(link, { type: 'refused', code, message: describeError(error).slice(0, limits.maxMessageChars), detail: {} })
      entry.writer?.end()
      this.#lose(link, entry, code, describeError(error))
      void drain(channel, this.#init.clock)
    }
  }

  #take(link: number, entry: Link, frame: Frame): void {
    const message = decodeLink(frame.head, entry.kind)
    if (message.type === 'hello') throw new MalformedError('a second hello on a link')
    const bodyBytes = frame.body?.byteLength ?? 0
    if (message.type === 'step') checkStepBody(message, bodyBytes, this.#init.rowBytes)
    else if (bodyBytes > 0) throw new MalformedError(`a message of type ${message.type} has a body of ${bodyBytes} bytes`)
    this.#init.onMessage(link, message, frame.body?.read())
  }

  #lose(link: number, entry: Link, code: WireErrorCode | undefined, message: string, ended = false): void {
    if (this.#links.get(link) !== entry) return
    this.#links.delete(link)
    this.#init.onClosed(link, code, message, ended)
  }
}

/** How long, and for how many frames, a peer may go on after this side has ended a channel before that is reset. */
const lingerMs = 5_000
export const lingerFrames = 64

/**
 * Hands on all frames until the other side ends the channel. Of what comes once nobody takes frames any more, {@link lingerFrames}
 * are dropped; then the channel is reset.
 *
 * @param take - returns whether it has taken the frame; what it throws ends the reading
 * @throws what `Channel.receive` and `take` throw
 */
export async function readUntilEnd(channel: Channel, take: (frame: Frame) => boolean): Promise<void> {
  let dropped = 0
  for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
    if (!take(frame) && ++dropped > lingerFrames) channel.reset()
  }
}

/** Resets a channel that this side has ended when the other one goes on for long. It goes on being read by {@link readUntilEnd}. */
export function linger(channel: Channel, clock: Clock): void {
  const cancel = clock.setTimer(lingerMs, () => channel.reset())
  void channel.closed.then(cancel)
}

/** As {@link linger}, of a channel that nobody reads any more. */
export async function drain(channel: Channel, clock: Clock): Promise<void> {
  const deadline = clock.deadline(lingerMs, 'the end of a channel')
  try {
    for (let frames = 0; frames < lingerFrames; frames++) {
      if ((await channel.receive({ signal: deadline.signal })) === undefined) return
    }
    channel.reset()
  } catch {
    channel.reset()
  } finally {
    deadline.clear()
  }
}

/** The parts laid end to end in bytes of their own, to be handed over with a frame while the parts are kept. */
export function copyParts(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.byteLength
  }
  return whole
}
