import type { BlockRange } from '../block-range.ts'
import { MalformedError, TimeoutError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { limits } from '../limits.ts'
import type { DeltaResponse } from '../messages/directory.ts'
import { hearDelta } from './ages.ts'
import { bucketCountFor, digestOf, digestToBytes } from './digest.ts'
import type { DirectoryChannel } from './directory-channel.ts'
import type { DirectoryComponents, DirectoryInit } from './directory-init.ts'
import type { Intake } from './intake.ts'
import type { StoredAnnouncement } from './model-records.ts'
import { expectType, missingThere, page } from './responder.ts'

/** Pages and rounds of fetching after which a peer is thought to have no end. */
const maxPages = 64

/** How long a peer may go on answering one question: a swarm of 10,000 nodes crosses a link of 1 Mbit/s in this time. */
const maxAnswersMs = 60_000

/** The asking side of the directory: what is said on an open channel, and what is made of the answers. */
export class Asker {
  readonly #components: DirectoryComponents
  readonly #init: DirectoryInit
  readonly #intake: Intake

  constructor(components: DirectoryComponents, init: DirectoryInit, intake: Intake) {
    this.#components = components
    this.#init = init
    this.#intake = intake
  }

  /**
   * Compares what both sides hold, fetches what is missing here, and hears who lives. Members of the mesh give what is missing
   * there.
   *
   * @param limit - compare only so many of each side's records, the first by peer id
   * @returns how many of the records that were fetched were news
   * @throws what a channel throws, WireError
   */
  async exchange(channel: DirectoryChannel, peer: PeerId, signal: AbortSignal, limit?: number): Promise<number> {
    const { store, clock, random, network } = this.#components
    const { model, mesh } = this.#init
    const salt = random.uint32()
    const held = store.compared(model, clock.monotonicMs(), limit)
    const digest = digestOf(held.where, salt, bucketCountFor(held.records.length))
    const own = mesh ? store.get(model, network.self, clock.monotonicMs()) : undefined
    const request = {
      type: 'exchange',
      id: channel.nextId(),
      model,
      salt,
      buckets: digestToBytes(digest.words),
      ...(limit === undefined ? {} : { limit }),
      ...(own === undefined ? {} : { sequence: own.announcement.sequence })
    } as const
    const delta = expectType(await channel.request(request), 'delta')
    const nowMs = clock.monotonicMs()
    hearDelta(store, model, held, digest, delta, nowMs)
    const told = await this.#takeTold(delta, peer, signal)
    const wanted = delta.entries
      .filter(([other, sequence, ageMs]) => store.wants(model, other, sequence, nowMs, { firstHand: other === peer, ageMs }))
      .map(([other]) => other)
    const news = told + (await this.#fetch(channel, peer, wanted, signal))
    if (!mesh) return news
    const missing = delta.whole || limit !== undefined ? missingThere(held.records, delta, digest) : []
    if (delta.wanted && own !== undefined && !missing.includes(own)) missing.push(own)
    await this.give(channel, missing)
    return news
  }

  /** What came with the answer to an exchange need not be fetched. Returns how many were news. */
  async #takeTold({ records, entries }: DeltaResponse, source: PeerId, signal: AbortSignal): Promise<number> {
    if (records.length > entries.length) throw new MalformedError('the answer to an exchange has more records than entries')
    return (await this.#intake.take(records, source, { solicited: true, signal })).length
  }

  /**
   * An answer has as many as fit, from the first on; the rest is asked for again, but not of a peer whose records are no news
   * though it said that it has some.
   */
  async #fetch(channel: DirectoryChannel, source: PeerId, peers: readonly PeerId[], signal: AbortSignal): Promise<number> {
    const untilMs = this.#components.clock.monotonicMs() + maxAnswersMs
    let left = peers
    let news = 0
    for (let round = 0; left.length > 0 && round < maxPages; round++) {
      this.#requireBefore(untilMs)
      const { model } = this.#init
      const answer = expectType(await channel.request({ type: 'fetch', id: channel.nextId(), model, peers: left }), 'records')
      if (answer.records.length === 0) break
      if (answer.records.length > left.length) throw new MalformedError('the answer to a fetch has more records than were asked for')
      const taken = (await this.#intake.take(answer.records, source, { solicited: true, signal })).length
      if (taken === 0) break
      news += taken
      left = left.slice(answer.records.length)
    }
    return news
  }

  /** A deadline for each answer is not enough: a peer that is slow on purpose could give one after the other. */
  #requireBefore(untilMs: number): void {
    if (this.#components.clock.monotonicMs() < untilMs) return
    throw new TimeoutError(`a peer's directory took more than ${maxAnswersMs} ms`, { detail: { timeoutMs: maxAnswersMs } })
  }

  /** Pushes records, in as many messages as they take. @throws what a channel throws */
  async give(channel: DirectoryChannel, records: readonly StoredAnnouncement[]): Promise<void> {
    const { store, clock } = this.#components
    let left = records
    while (left.length > 0) {
      const fitting = page(store, left, clock.monotonicMs(), limits.maxDirectoryRecords, limits.maxPushRecordBytes)
      await channel.push({ type: 'push', model: this.#init.model, records: fitting })
      left = left.slice(fitting.length)
    }
  }

  /**
   * Asks for the first records by peer id, or for all of them, page after page.
   *
   * @returns how many were news, and whether the peer has more
   * @throws MalformedError when the pages do not go forward; TimeoutError when they come slowly; what a channel throws, WireError
   */
  async ask(
    channel: DirectoryChannel,
    source: PeerId,
    what: { readonly blocks?: BlockRange; readonly limit?: number },
    signal: AbortSignal
  ): Promise<{ news: number; more: boolean }> {
    const { model } = this.#init
    const { blocks, limit } = what
    const untilMs = this.#components.clock.monotonicMs() + maxAnswersMs
    let news = 0
    let after: PeerId | undefined
    for (let asked = 0; asked < maxPages; asked++) {
      this.#requireBefore(untilMs)
      const request = { type: 'ask', id: channel.nextId(), model, blocks, after, limit: limit ?? limits.maxDirectoryRecords } as const
      const answer = expectType(await channel.request(request), 'records')
      news += (await this.#intake.take(answer.records, source, { solicited: true, signal })).length
      if (answer.next === undefined) return { news, more: false }
      if (after !== undefined && answer.next <= after) throw new MalformedError('the pages of a directory do not go forward')
      if (limit !== undefined) return { news, more: true }
      after = answer.next
    }
    return { news, more: true }
  }
}
