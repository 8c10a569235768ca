import { raceAbort } from '@skein/protocol'
import type { SessionEvent, SessionStage, TokenSession } from '../session/token-session.ts'
import { SessionClosedError } from '../session/errors.ts'
import type { SessionLease } from './generation.ts'

export interface KeptSessionComponents {
  /** Opens a session in the place of one that is lost, with the same room. */
  readonly reopen: (signal: AbortSignal, onEvent: (event: SessionEvent) => void) => Promise<TokenSession>
  readonly close: (session: TokenSession) => Promise<void>
}

/** Who hears what happens on the session: the turn that is under way. */
interface Told {
  listener: ((event: SessionEvent) => void) | undefined
}

/**
 * The session of a conversation: kept from turn to turn, and opened anew by the next turn when it was lost, since the
 * conversation is here and the caches are only its copy.
 */
export class KeptSession {
  readonly #components: KeptSessionComponents
  readonly #told: Told
  #session: TokenSession
  /** The chain that turns were told of; each change of it makes another list. */
  #toldChain: readonly SessionStage[] | undefined
  #isClosed = false

  /** @param open - opens the first session, and tells it what happens on it */
  static async open(
    components: KeptSessionComponents,
    open: (onEvent: (event: SessionEvent) => void) => Promise<TokenSession>
  ): Promise<KeptSession> {
    const told: Told = { listener: undefined }
    return new KeptSession(components, told, await open((event) => told.listener?.(event)))
  }

  private constructor(components: KeptSessionComponents, told: Told, session: TokenSession) {
    this.#components = components
    this.#told = told
    this.#session = session
  }

  /** Rows that are in the caches or under way; none when they are lost. */
  get rows(): number {
    return this.#session.isOver ? 0 : this.#session.rows
  }

  /** Takes the session for a turn; whether it must be opened anew is decided at once, as {@link rows} says. */
  async acquire(signal: AbortSignal, listener: (event: SessionEvent) => void): Promise<SessionLease> {
    this.#told.listener = listener
    try {
      if (this.#isClosed) throw new SessionClosedError()
      if (this.#session.isOver) await this.#reopen(signal)
      else if (this.#session.chain !== this.#toldChain) listener({ type: 'opened', session: this.#session.id, chain: this.#session.chain })
    } catch (error) {
      this.#told.listener = undefined
      throw error
    }
    const session = this.#session
    return { session, release: () => Promise.resolve(this.#release(session)) }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#components.close(this.#session)
  }

  async #reopen(signal: AbortSignal): Promise<void> {
    const { close, reopen } = this.#components
    await raceAbort(close(this.#session), signal)
    this.#session = await reopen(signal, (event) => this.#told.listener?.(event))
    if (!this.#isClosed) return
    await close(this.#session)
    throw new SessionClosedError()
  }

  #release(session: TokenSession): void {
    this.#told.listener = undefined
    this.#toldChain = session.chain
    // What its nodes have set aside is free again by the next turn.
    if (session.isOver) void this.#components.close(session)
  }
}
