import {
  type Announcement,
  type CancelTimer,
  type Clock,
  describeError,
  type Identity,
  type Logger,
  nextSequence,
  type Random,
  type SignedAnnouncement,
  signAnnouncement,
  type Storage,
  merged
} from '@skein/protocol'

/** All of an announcement but what the announcer adds itself. */
export type AnnouncementFacts = Omit<Announcement, 'peer' | 'sequence' | 'lifeMs'>

export interface AnnouncerComponents {
  readonly clock: Clock
  readonly random: Random
  readonly storage: Storage
  readonly identity: Identity
  readonly logger: Logger
  /** Hands a new announcement to the directory. */
  readonly publish: (record: SignedAnnouncement) => void
}

export interface AnnouncerInit {
  /** How long an announcement holds from the last sign of life, which the directory takes round. @default 180_000 */
  readonly lifeMs: number
  /**
   * How often it is signed anew though nothing has changed, on average: signs of life are not signed, and so are not believed
   * for ever, but for an hour at the most. Each wait is drawn from three quarters to five quarters of it, so that a swarm does not
   * do so all at once. @default 2_100_000
   */
  readonly signAnewMs: number
}

const announcerDefaults: AnnouncerInit = { lifeMs: 180_000, signAnewMs: 2_100_000 }

const sequenceFile = 'announcement-sequence'

/** Keeps the swarm told of what this node is: at once when something changes, and again before the last word is too old to be believed. */
export class Announcer {
  readonly #components: AnnouncerComponents
  readonly #init: AnnouncerInit
  #sequence = 0
  #facts: AnnouncementFacts | undefined
  #cancelTimer: CancelTimer | undefined

  constructor(components: AnnouncerComponents, init: Partial<AnnouncerInit> = {}) {
    this.#components = components
    this.#init = merged(announcerDefaults, init)
  }

  /** Reads the last sequence that an earlier process of this identity used, so that ours replace its announcements. */
  async start(): Promise<void> {
    try {
      const bytes = await this.#components.storage.read(sequenceFile)
      const persisted = bytes === undefined ? 0 : Number(new TextDecoder().decode(bytes))
      if (Number.isSafeInteger(persisted) && persisted > 0) this.#sequence = persisted
    } catch (error) {
      this.#components.logger.warn('cannot read the sequence of the last announcement; the clock is used instead', {}, error)
    }
  }

  /** Announces this, and again when it is signed anew. @param above - a sequence that another host has used with the same key */
  announce(facts: AnnouncementFacts, above = 0): SignedAnnouncement {
    this.#facts = facts
    const { clock, identity, random } = this.#components
    this.#sequence = nextSequence(Math.max(this.#sequence, above), clock.wallMs())
    const record = signAnnouncement(identity, { ...facts, peer: identity.peerId, sequence: this.#sequence, lifeMs: this.#init.lifeMs })
    this.#components.publish(record)
    void this.#persist()
    this.#cancelTimer?.()
    this.#cancelTimer = clock.setTimer(this.#init.signAnewMs * (0.75 + 0.5 * random.float()), () => this.#signAnew())
    return record
  }

  /** Nothing follows. The last word, such as `offline`, stands until it expires. */
  stop(): void {
    this.#cancelTimer?.()
    this.#facts = undefined
  }

  #signAnew(): void {
    if (this.#facts !== undefined) this.announce(this.#facts)
  }

  async #persist(): Promise<void> {
    try {
      await this.#components.storage.write(sequenceFile, new TextEncoder().encode(String(this.#sequence)))
    } catch (error) {
      // A later start then falls back on the clock, which is right unless that was set back.
      this.#components.logger.warn('cannot keep the sequence of the announcement', { reason: describeError(error) })
    }
  }
}
