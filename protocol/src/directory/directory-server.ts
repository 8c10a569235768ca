import { ChannelClosedError, isSkeinError, MalformedError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { decodeDirectoryRequest, encodeDirectory } from '../messages/directory.ts'
import type { DirectoryRequest, ExchangeRequest } from '../messages/directory.ts'
import { toRefusal } from '../messages/refusal.ts'
import type { Channel } from '../ports/network.ts'
import { protocols } from '../versions.ts'
import type { StoredAnnouncement } from './model-records.ts'
import type { Conduct } from './conduct.ts'
import { ChannelWatch } from './channel-watch.ts'
import { sendDirectory } from './directory-channel.ts'
import type { DirectoryComponents, DirectoryInit } from './directory-init.ts'
import type { Intake } from './intake.ts'
import { respond, tooMany } from './responder.ts'
import type { Stopper } from './stopper.ts'

export interface DirectoryServerParts {
  readonly conduct: Conduct
  readonly intake: Intake
  /** Whether all records are held here. */
  readonly isKeeper: () => boolean
  /** Whether a record of that peer that nobody asked for is taken. */
  readonly keeps: (peer: PeerId) => boolean
  /** Is told what a push has brought, to pass it on. */
  readonly onNews: (news: readonly StoredAnnouncement[]) => void
  readonly stopper: Stopper
}

/** The answering side: bounded in channels, in requests and in signatures it verifies, for each peer and altogether. */
export class DirectoryServer {
  readonly #components: DirectoryComponents
  readonly #init: DirectoryInit
  readonly #parts: DirectoryServerParts
  readonly #open = new Map<PeerId, number>()
  /** Channels between two requests, in the order in which they came to rest. */
  readonly #resting = new Set<Channel>()
  #channels = 0

  constructor(components: DirectoryComponents, init: DirectoryInit, parts: DirectoryServerParts) {
    this.#components = components
    this.#init = init
    this.#parts = parts
  }

  /** Takes channels from now on; returns the function that stops it. */
  start(): () => void {
    return this.#components.network.handle(protocols.directory, channelLimits.directoryRequests, (channel) => this.#accept(channel))
  }

  #accept(channel: Channel): void {
    const { peer } = channel
    const ofPeer = this.#open.get(peer) ?? 0
    const isBanned = this.#parts.conduct.isBanned(peer, this.#components.clock.monotonicMs())
    // A host that lost its power, and is back, has left some open that it knows nothing of.
    const hasRoom = ofPeer < this.#init.maxChannelsPerPeer || this.#makeRoom(peer)
    if (isBanned || !hasRoom || (this.#channels >= this.#init.maxChannels && !this.#makeRoom())) {
      channel.reset()
      return
    }
    this.#open.set(peer, (this.#open.get(peer) ?? 0) + 1)
    this.#channels++
    void this.#parts.stopper
      .run(undefined, (signal) => this.#serve(channel, signal))
      .finally(() => {
        this.#channels--
        const left = (this.#open.get(peer) ?? 1) - 1
        if (left > 0) this.#open.set(peer, left)
        else this.#open.delete(peer)
      })
  }

  /** Closes the channel that has rested longest: its peer opens another one when it has something to ask. @param peer - one of this peer */
  #makeRoom(peer?: PeerId): boolean {
    for (const channel of this.#resting) {
      if (peer !== undefined && channel.peer !== peer) continue
      this.#resting.delete(channel)
      channel.reset()
      return true
    }
    return false
  }

  /** Never rejects. */
  async #serve(channel: Channel, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#components
    const watch = new ChannelWatch(channel, clock, signal)
    try {
      for (;;) {
        this.#resting.add(channel)
        const frame = await watch.within(this.#init.idleMs, 'the next directory request', () => channel.receive())
        this.#resting.delete(channel)
        if (frame === undefined) break
        if (this.#parts.conduct.isBanned(channel.peer, clock.monotonicMs())) throw tooMany()
        if (!this.#parts.conduct.mayRequest(channel.peer, clock.monotonicMs())) throw tooMany()
        await this.#answer(channel, decodeDirectoryRequest(frame.head), watch, signal)
      }
      await watch.within(this.#init.answerMs, 'the end of a directory channel', () => channel.end())
    } catch (error) {
      logger.debug('a directory channel failed', { peer: channel.peer, code: isSkeinError(error) ? error.code : 'unknown' })
      if (!isSkeinError(error)) logger.error('the directory failed to serve a peer', {}, error)
      if (error instanceof MalformedError) this.#parts.conduct.strike(channel.peer, clock.monotonicMs())
      // Most channels end so: the peer has not needed it for long, or has gone.
      if (!watch.isOver && !(error instanceof ChannelClosedError)) await this.#refuse(channel, error, watch)
    } finally {
      this.#resting.delete(channel)
      watch.stop()
    }
  }

  async #answer(channel: Channel, request: DirectoryRequest, watch: ChannelWatch, signal: AbortSignal): Promise<void> {
    const { clock, store } = this.#components
    const { intake, onNews } = this.#parts
    if (request.type === 'push') {
      if (request.model !== this.#init.model) return
      onNews(await intake.take(request.records, channel.peer, { solicited: false, signal }))
      return
    }
    const asker =
      request.type === 'exchange'
        ? { peer: channel.peer, wanted: this.#misses(channel.peer, request), whole: this.#parts.isKeeper() }
        : undefined
    const response = respond(store, request, clock.monotonicMs(), asker)
    await sendDirectory(channel, response, watch, this.#init.answerMs)
  }

  /** Hears that a peer lives. Returns whether its announcement is missing here, and should not be. */
  #misses(peer: PeerId, { model, sequence }: ExchangeRequest): boolean {
    const { clock, store } = this.#components
    const nowMs = clock.monotonicMs()
    if (sequence === undefined || model !== this.#init.model || store.hear(model, peer, sequence, 0, nowMs)) return false
    return this.#parts.keeps(peer) && store.wants(model, peer, sequence, nowMs, { firstHand: true, ageMs: 0 })
  }

  /** Says why, as far as the channel still takes it, and closes. */
  async #refuse(channel: Channel, error: unknown, watch: ChannelWatch): Promise<void> {
    try {
      const { code, message, detail } = toRefusal(error, 0)
      await watch.within(this.#init.answerMs, 'the end of a directory channel', async () => {
        channel.send({ head: encodeDirectory({ type: 'refused', id: 0, code, message, detail }) })
        await channel.end()
        // What is still on its way is read and dropped, so that the refusal arrives before the reset; the deadline bounds it.
        while ((await channel.receive()) !== undefined);
      })
    } catch {
      // The channel is gone, and so is the reason to say anything.
    } finally {
      channel.reset()
    }
  }
}
