import { throwIfAborted } from '../abort.ts'
import type { UnverifiedAnnouncement } from '../announcement/signing.ts'
import { MalformedError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import type { DirectoryRecord } from '../messages/directory.ts'
import type { StoredAnnouncement } from './model-records.ts'
import type { Conduct } from './conduct.ts'
import type { DirectoryComponents, DirectoryInit } from './directory-init.ts'

export interface TakeOptions {
  /** Whether this peer asked for the records: then their number is bounded by what it asked, and not by a rate. */
  readonly solicited: boolean
  readonly signal: AbortSignal
}

/**
 * Brings records from other peers into the store. A signature is verified only for what would be news, within the rates of
 * its sender, and in small batches, since verifying is synchronous.
 */
export class Intake {
  readonly #components: DirectoryComponents
  readonly #init: DirectoryInit
  readonly #conduct: Conduct
  readonly #keeps: (peer: PeerId) => boolean

  /** @param keeps - whether this peer would hold a record of that one that nobody asked for */
  constructor(components: DirectoryComponents, init: DirectoryInit, conduct: Conduct, keeps: (peer: PeerId) => boolean) {
    this.#components = components
    this.#init = init
    this.#conduct = conduct
    this.#keeps = keeps
  }

  /**
   * Returns those that were news.
   *
   * @throws MalformedError as soon as the sender is banned for what it sends; AbortError
   */
  async take(records: readonly DirectoryRecord[], source: PeerId, options: TakeOptions): Promise<StoredAnnouncement[]> {
    const { clock, store } = this.#components
    const news: StoredAnnouncement[] = []
    let sinceRest = 0
    for (const [ageMs, encoded] of records) {
      if (sinceRest++ >= this.#init.verifyBatch) {
        await clock.sleep(0, { signal: options.signal })
        sinceRest = 0
      }
      throwIfAborted(options.signal)
      const record = this.#takeOne(ageMs, encoded, source, options.solicited)
      if (record !== undefined) news.push(record)
    }
    if (news.length > 0) this.#components.logger.debug('announcements taken in', { source, news: news.length, known: store.size })
    return news
  }

  #takeOne(ageMs: number, encoded: Uint8Array, source: PeerId, solicited: boolean): StoredAnnouncement | undefined {
    const { clock, store, reader, network } = this.#components
    const nowMs = clock.monotonicMs()
    try {
      const parsed = reader.parse(encoded)
      if (!this.#isNews(parsed, ageMs, source, nowMs)) return undefined
      if (!solicited && !(this.#keeps(parsed.announcement.peer) && this.#conduct.mayPush(source, nowMs))) return undefined
      const signed = reader.verify(parsed)
      const result = store.put(signed, source, ageMs, nowMs)
      if (result !== 'added' && result !== 'changed') return undefined
      const { peer, model, addresses } = signed.announcement
      network.learn({ peer, addresses, source: 'announcement' })
      return store.get(model, peer, nowMs)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      if (this.#conduct.strike(source, nowMs)) throw error
      return undefined
    }
  }

  #isNews({ announcement }: UnverifiedAnnouncement, ageMs: number, source: PeerId, nowMs: number): boolean {
    const { model, peer, sequence, lifeMs } = announcement
    if (model !== this.#init.model || ageMs >= lifeMs) return false
    // A later one of our own is a second host with our key, which the node must hear of.
    if (peer === this.#components.network.self && this.#components.store.get(model, peer, nowMs) === undefined) return false
    return this.#components.store.wants(model, peer, sequence, nowMs, { firstHand: source === peer, ageMs })
  }
}
