import { merged } from '../merged.ts'
import { abortReason, onAbort } from '../abort.ts'
import type { SignedAnnouncement } from '../announcement/announcement.ts'
import type { BlockRange } from '../block-range.ts'
import { describeError, MalformedError, TimeoutError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import type { AbortOptions, CancelTimer } from '../ports/clock.ts'
import type { DirectoryEvent, PutResult } from './announcement-store.ts'
import { Asker } from './asker.ts'
import { Conduct } from './conduct.ts'
import { ChannelPool } from './channel-pool.ts'
import { type DirectoryChannel, within } from './directory-channel.ts'
import { directoryDefaults } from './directory-init.ts'
import type { DirectoryComponents, DirectoryInit } from './directory-init.ts'
import { DirectoryServer } from './directory-server.ts'
import { Intake } from './intake.ts'
import { Keepers } from './keepers.ts'
import type { StoredAnnouncement } from './model-records.ts'
import { News } from './news.ts'
import { Stopper } from './stopper.ts'

/** What a round of asking has brought. `failures` has whom it could not be asked of, and why. */
export interface RefreshResult {
  readonly answered: number
  readonly news: number
  readonly failures: ReadonlyArray<{ readonly peer: PeerId; readonly reason: string }>
}

/** Uses a channel to a peer. Returns whether it answered. */
type Attempt = (peer: PeerId, asking: AbortSignal, act: (channel: DirectoryChannel) => Promise<void>) => Promise<boolean>

/** Under which a model's nodes find their first contact. */
export function directoryTopic(model: string): string {
  return `/skein/directory/${model}`
}

/** Peers that are asked in a refresh: one would do, and a second opinion covers for what the first keeps back. */
const refreshPeers = 3

/** Keepers that a peer asks as a rule, and in how many exchanges once it asks any other. */
const nearKeepers = 2
const strangerEvery = 8

/** Peers that a rendezvous may name to us at once. */
const maxFound = 16

/** One answer would do: when it is there, the other peers that were asked have so long for theirs. The dead give none. */
const secondOpinionMs = 1_000

/** A contact may name keepers who are gone, and their successors others. */
const maxRefreshRounds = 3

/** Storing a record in a DHT asks many peers, some of which are gone. */
const advertiseTimeoutMs = 60_000

/**
 * The live map of one model's swarm. It learns from a few contacts, keeps itself current by exchanging digests with random
 * peers, passes news on once, and tells the network the addresses in every announcement that it takes in.
 */
export class DirectoryService {
  readonly #components: DirectoryComponents
  readonly #init: DirectoryInit
  readonly #conduct: Conduct
  readonly #asker: Asker
  readonly #keepers: Keepers
  readonly #channels: ChannelPool
  readonly #server: DirectoryServer
  readonly #news: News
  readonly #contacts: Set<PeerId>
  #found: readonly PeerId[] = []
  readonly #stopper = new Stopper()
  readonly #timers = new Map<string, CancelTimer>()
  #stopHandling: (() => void) | undefined
  #started = false
  #soughtMs = -Infinity
  #sweptMs = 0
  /** Whose turn it is among the near keepers. */
  #turn = 0
  /** Whether the first contacts have been asked. */
  #oriented = false

  constructor(components: DirectoryComponents, init: Pick<DirectoryInit, 'model' | 'mesh'> & Partial<DirectoryInit>) {
    this.#components = components
    this.#init = merged(directoryDefaults, init)
    this.#conduct = new Conduct(this.#init)
    this.#keepers = new Keepers(components, this.#init, this.#conduct, () => [...this.#contacts, ...this.#found])
    const intake = new Intake(components, this.#init, this.#conduct, (peer) => this.#keepers.wants(peer))
    this.#asker = new Asker(components, this.#init, intake)
    this.#channels = new ChannelPool(components, this.#init)
    this.#news = new News(this.#init.maxWaitingNews)
    this.#contacts = new Set(this.#init.contacts)
    this.#server = new DirectoryServer(components, this.#init, {
      conduct: this.#conduct,
      intake,
      isKeeper: () => this.#keepers.areUs(),
      keeps: (peer) => this.#keepers.wants(peer),
      onNews: (news) => news.forEach((record) => this.#passOn(record)),
      stopper: this.#stopper
    })
  }

  /** Begins to answer, to exchange and to look for contacts; does not wait for any of it. Idempotent. */
  start(): void {
    if (this.#started || this.#stopper.stopped) return
    this.#started = true
    if (this.#init.mesh) {
      this.#stopHandling = this.#server.start()
      this.#repeat('advertise', 0, this.#init.advertiseMs, (signal) => this.#advertise(signal))
    }
    this.#repeat('exchange', 0, this.#init.mesh ? this.#init.exchangeMs : this.#init.coordinatorExchangeMs, (signal) => this.#round(signal))
  }

  /** Ends every channel and timer, and waits for what was under way. Idempotent. Nothing is pushed any more: see {@link flush}. */
  async stop(): Promise<void> {
    this.#stopHandling?.()
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
    this.#channels.close()
    await this.#stopper.stop()
  }

  /** A peer to begin with, whose addresses the network knows. */
  addContact(peer: PeerId): void {
    this.#contacts.add(peer)
  }

  /**
   * Puts this peer's own announcement in the store and passes it on. `held` means that one with the same
   * or a later sequence was announced before.
   */
  announce(signed: SignedAnnouncement): PutResult {
    const { store, clock, network } = this.#components
    const nowMs = clock.monotonicMs()
    const { model, peer } = signed.announcement
    const result = store.put(signed, network.self, 0, nowMs)
    const record = store.get(model, peer, nowMs)
    if (record !== undefined && (result === 'added' || result === 'changed') && this.#init.mesh) this.#passOn(record)
    return result
  }

  /** Calls the listener after each announcement that appears, changes or goes; it must not throw. Returns how to end it. */
  watch(listener: (event: DirectoryEvent) => void): () => void {
    return this.#components.store.subscribe((event) => {
      if (event.record.announcement.model === this.#init.model) listener(event)
    })
  }

  /** The sequence of a peer's announcement, if one is held that lives. */
  sequenceOf(peer: PeerId): number | undefined {
    const { store, clock } = this.#components
    return store.get(this.#init.model, peer, clock.monotonicMs())?.announcement.sequence
  }

  /**
   * Asks a few peers for all they know, or for the hosts of some blocks, and returns when they have answered. With it, a
   * newcomer knows the swarm.
   */
  async refresh(options: AbortOptions & { readonly blocks?: BlockRange } = {}): Promise<RefreshResult> {
    return await this.#stopper.run(options.signal, (signal) => this.#refresh(options.blocks, signal))
  }

  async #refresh(blocks: BlockRange | undefined, signal: AbortSignal): Promise<RefreshResult> {
    await this.#seekContacts(signal)
    const failures: Array<{ peer: PeerId; reason: string }> = []
    const result = { answered: 0, news: 0, failures }
    const asked = new Set<PeerId>()
    let isLarge = false
    const attempt: Attempt = async (peer, asking, act) => {
      asked.add(peer)
      try {
        await this.#attempt(peer, asking, act)
        result.answered++
        return true
      } catch (error) {
        failures.push({ peer, reason: describeError(error) })
        return false
      }
    }
    const limit = blocks === undefined ? this.#keepers.spare : undefined
    // Who knows a large swarm already takes in what has changed since, and not a thousand records once more.
    if (limit !== undefined && this.#keepers.knowMany) {
      await this.#askAtOnce(this.#choose(refreshPeers, true), signal, (peer, asking) =>
        attempt(peer, asking, async (channel) => void (result.news += await this.#asker.exchange(channel, peer, asking)))
      )
      if (result.answered === 0) await this.#askContacts(signal, attempt, result)
      return result
    }
    // A peer that is no keeper names the keepers, and little else: then they are asked as well.
    for (let round = 0; round < maxRefreshRounds; round++) {
      const peers = this.#choose(refreshPeers, true)
      if (round > 0 && this.#keepers.list(true).some((peer) => asked.has(peer))) break
      await this.#askAtOnce(peers, signal, (peer, asking) =>
        attempt(peer, asking, async (channel) => {
          const { news, more } = await this.#asker.ask(channel, peer, { blocks, limit }, asking)
          result.news += news
          isLarge ||= more
        })
      )
    }
    if (!isLarge || blocks !== undefined) return result
    // One tells all that it knows; from the others it takes only what that one kept back.
    let isFull = false
    for (const peer of this.#choose(refreshPeers, true)) {
      await attempt(peer, signal, async (channel) => {
        if (isFull) return void (result.news += await this.#asker.exchange(channel, peer, signal))
        result.news += (await this.#asker.ask(channel, peer, {}, signal)).news
        isFull = true
      })
    }
    if (!isFull) await this.#askContacts(signal, attempt, result)
    return result
  }

  /**
   * Asks the contacts for all that they know, themselves first of all. Whoever makes many keys can announce so many peers that the
   * first by id are all of its invention, and answer nothing; whom this peer was told to begin with, nobody can invent.
   */
  async #askContacts(signal: AbortSignal, attempt: Attempt, result: { news: number }): Promise<void> {
    await this.#askAtOnce([...this.#contacts], signal, (peer, asking) =>
      attempt(peer, asking, async (channel) => void (result.news += (await this.#asker.ask(channel, peer, {}, asking)).news))
    )
  }

  /** Asks several peers at once, and gives up those that are silent when another has answered. @param ask - whether it was answered */
  async #askAtOnce(
    peers: readonly PeerId[],
    signal: AbortSignal,
    ask: (peer: PeerId, asking: AbortSignal) => Promise<boolean>
  ): Promise<void> {
    const asking = new AbortController()
    const stopListening = onAbort(signal, () => asking.abort(abortReason(signal)))
    let cancelTimer: CancelTimer | undefined
    const giveUp = (): void => asking.abort(new TimeoutError('others had answered, and this one had not'))
    try {
      await Promise.all(
        peers.map(async (peer) => {
          if (await ask(peer, asking.signal)) cancelTimer ??= this.#components.clock.setTimer(secondOpinionMs, giveUp)
        })
      )
    } finally {
      cancelTimer?.()
      stopListening()
    }
  }

  /** Passes on at once what waits, such as the last word of a node that stops; whom it does not reach is only logged. */
  async flush(options: AbortOptions = {}): Promise<void> {
    this.#timers.get('push')?.()
    this.#timers.delete('push')
    await this.#stopper.run(options.signal, (signal) => this.#pushNews(signal, true))
  }

  /** One exchange with a peer. Members of the mesh give as well as take. @throws what a channel throws, WireError */
  async exchange(peer: PeerId, options: AbortOptions = {}): Promise<void> {
    await this.#stopper.run(options.signal, (signal) => this.#exchange(peer, signal))
  }

  async #exchange(peer: PeerId, signal: AbortSignal, limit?: number): Promise<void> {
    await this.#attempt(peer, signal, async (channel) => void (await this.#asker.exchange(channel, peer, signal, limit)))
  }

  /** Uses a channel to the peer, and remembers how that went. @param isLast - wait until the peer has read everything */
  async #attempt(peer: PeerId, signal: AbortSignal, act: (channel: DirectoryChannel) => Promise<void>, isLast = false): Promise<void> {
    const { clock } = this.#components
    try {
      await (isLast ? this.#channels.useAndEnd(peer, signal, act) : this.#channels.use(peer, signal, act))
      this.#conduct.succeeded(peer)
    } catch (error) {
      if (!signal.aborted) {
        this.#conduct.failed(peer, clock.monotonicMs())
        this.#keepers.look()
        if (error instanceof MalformedError) this.#conduct.strike(peer, clock.monotonicMs())
      }
      throw error
    }
  }

  /** Returns when the next one is due, where that is not as usual. */
  async #round(signal: AbortSignal): Promise<number | void> {
    this.#sweep()
    await this.#seekContacts(signal)
    if (!this.#oriented) await this.#orient(signal)
    if (!this.#keepers.areUs()) return await this.#askKeeper(signal)
    const peers = this.#init.mesh ? this.#choose(this.#init.exchangePeers) : this.#chooseNear()
    await Promise.all(peers.map((peer) => this.#tryExchange(peer, signal)))
  }

  /** Part of a round and not a task of its own: a peer that has nothing else to do is then woken once and not twice. */
  #sweep(): void {
    const nowMs = this.#components.clock.monotonicMs()
    if (nowMs - this.#sweptMs < this.#init.sweepMs) return
    this.#sweptMs = nowMs
    this.#components.store.expire(nowMs)
    this.#channels.expire(nowMs)
    this.#keepers.trim()
  }

  /** A newcomer first asks who the keepers are: most learn that they are none, and then know whom to tell of themselves. */
  async #orient(signal: AbortSignal): Promise<void> {
    if (this.#init.mesh) {
      await Promise.all(this.#choose(this.#init.exchangePeers).map((peer) => this.#tryExchange(peer, signal, this.#keepers.spare)))
      this.#keepers.look()
    }
    this.#oriented = true
    this.#pushSoon()
  }

  /** Who is no keeper tells one of them that it lives, and learns who they are. Returns when to do so again. */
  async #askKeeper(signal: AbortSignal): Promise<number> {
    let isTold = false
    for (const peer of this.#chooseNear()) {
      // Who turns out to be none, as in a swarm that comes to be, tells nobody: then the right one is told soon.
      isTold = (await this.#tryExchange(peer, signal, this.#keepers.spare)) && this.#keepers.stillInclude(peer)
    }
    this.#keepers.trim()
    return isTold ? this.#around(this.#init.askKeepersMs, 0.25) : this.#around(this.#init.exchangeMs)
  }

  async #tryExchange(peer: PeerId, signal: AbortSignal, limit?: number): Promise<boolean> {
    try {
      await this.#exchange(peer, signal, limit)
      return true
    } catch (error) {
      this.#components.logger.debug('an exchange with a peer failed', { peer, reason: describeError(error) })
      return false
    }
  }

  #passOn(record: StoredAnnouncement): void {
    this.#news.add(record)
    if (this.#oriented) this.#pushSoon()
  }

  #pushSoon(): void {
    if (this.#news.size === 0 || this.#timers.has('push') || this.#stopper.stopped) return
    this.#schedule('push', this.#around(this.#init.pushDelayMs), (signal) => this.#pushNews(signal))
  }

  /** @param isLast - nothing will follow: wait until it is read */
  async #pushNews(signal: AbortSignal, isLast = false): Promise<void> {
    const news = this.#news.take()
    if (news.length === 0) return
    await Promise.all(
      this.#choose(this.#init.pushPeers).map(async (peer) => {
        // Nobody is told what came from there.
        const unknown = news.filter((record) => record.source !== peer && record.announcement.peer !== peer)
        if (unknown.length === 0) return
        try {
          await this.#attempt(peer, signal, (channel) => this.#asker.give(channel, unknown), isLast)
        } catch (error) {
          this.#components.logger.debug('news did not reach a peer', { peer, reason: describeError(error) })
        }
      })
    )
  }

  /** The keepers that are asked as a rule, in turn, or now and then any: the usual ones may keep something back. */
  #chooseNear(): PeerId[] {
    if (this.#components.random.below(strangerEvery) === 0) return this.#choose(1)
    const near = this.#keepers.near(nearKeepers)
    return near.length === 0 ? this.#choose(1) : [near[this.#turn++ % near.length] as PeerId]
  }

  /** A few of the keepers at random; those that failed lately only where there are no others, or when asked. */
  #choose(count: number, evenAvoided = false): PeerId[] {
    const { random } = this.#components
    const good = this.#keepers.list(evenAvoided)
    const pool = good.length === 0 ? this.#keepers.list(true) : good
    const chosen: PeerId[] = []
    while (chosen.length < count && pool.length > 0) chosen.push(...pool.splice(random.below(pool.length), 1))
    return chosen
  }

  /** Looks for contacts when nobody is known, and now and then when all that are known have failed: they may be gone for good. */
  async #seekContacts(signal: AbortSignal): Promise<void> {
    if (this.#keepers.any()) return
    const nowMs = this.#components.clock.monotonicMs()
    if (this.#keepers.any(true) && nowMs - this.#soughtMs < this.#init.avoidMs) return
    this.#soughtMs = nowMs
    await this.#findContacts(signal)
  }

  async #findContacts(signal: AbortSignal): Promise<void> {
    const { clock, network, store, logger } = this.#components
    try {
      await within(clock, this.#init.answerMs, 'the rendezvous', signal, async (finding) => {
        const found: PeerId[] = []
        this.#found = found
        for await (const record of network.find(directoryTopic(this.#init.model), { signal: finding })) {
          if (record.peer === network.self) continue
          // A signed announcement says more of a peer's addresses than a rendezvous.
          if (store.get(this.#init.model, record.peer, clock.monotonicMs()) === undefined) network.learn(record)
          found.push(record.peer)
          if (found.length >= maxFound) return
        }
      })
    } catch (error) {
      logger.debug('the rendezvous gave no contact', { reason: describeError(error) })
    }
  }

  /** Returns when to do it again: soon, if the rendezvous cannot be reached yet, as by the first peer of a swarm. */
  async #advertise(signal: AbortSignal): Promise<number> {
    const { clock, network, logger } = this.#components
    try {
      await within(clock, advertiseTimeoutMs, 'the rendezvous', signal, (advertising) =>
        network.advertise(directoryTopic(this.#init.model), { signal: advertising })
      )
      return this.#around(this.#init.advertiseMs)
    } catch (error) {
      logger.debug('this peer could not be advertised', { reason: describeError(error) })
      return this.#around(this.#init.exchangeMs)
    }
  }

  /** A wait that differs from peer to peer, so that a swarm does not do everything at once. @param spread - part of `ms`, up and down */
  #around(ms: number, spread = 0.5): number {
    return ms * (1 - spread + 2 * spread * this.#components.random.float())
  }

  /**
   * Runs a task again and again. Each wait counts from the task's end; it is what the task has returned, or else drawn from half
   * to one and a half of the interval.
   */
  #repeat(name: string, firstMs: number, intervalMs: number, task: (signal: AbortSignal) => Promise<number | void> | void): void {
    this.#schedule(name, firstMs, async (signal) => {
      let nextMs: number | void = undefined
      try {
        nextMs = await task(signal)
      } finally {
        this.#repeat(name, nextMs ?? this.#around(intervalMs), intervalMs, task)
      }
    })
  }

  /** Runs a task once, later. What it throws is a mistake of ours, and is logged as one. */
  #schedule(name: string, delayMs: number, task: (signal: AbortSignal) => Promise<void>): void {
    if (this.#stopper.stopped) return
    const { clock, logger } = this.#components
    const run = (): void => {
      this.#timers.delete(name)
      this.#stopper.run(undefined, task).catch((error: unknown) => {
        if (!this.#stopper.stopped) logger.error('a task of the directory failed', { task: name }, error)
      })
    }
    this.#timers.set(name, clock.setTimer(delayMs, run))
  }
}
