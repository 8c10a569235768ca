import { type Connection, KEEP_ALIVE, type Libp2p } from '@libp2p/interface'
import { describeError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import { IdleConnections } from './idle-connections.ts'

/** How a relay tags those that are reached through it; libp2p exports no name for it. */
const relaySourceTag = 'circuit-relay-source'

export interface ConnectionUsesInit {
  readonly host: Libp2p
  readonly clock: Clock
  readonly logger: Logger
  readonly maxConnections: number
  /** Whose connections stay in any case. */
  readonly mustStay: (peer: PeerId) => boolean
}

interface Use {
  channels: number
  lastUsedMs: number
  isGivingWay: boolean
}

/** What the connections of a libp2p host are used for, and how the idle ones give way to others. */
export class ConnectionUses {
  readonly #init: ConnectionUsesInit
  readonly #uses = new Map<Connection, Use>()
  readonly #idle: IdleConnections<Connection>
  #givingWay = 0

  constructor(init: ConnectionUsesInit) {
    this.#init = init
    this.#idle = new IdleConnections({
      clock: init.clock,
      maxConnections: init.maxConnections,
      list: () => [...this.#uses].flatMap(([connection, { isGivingWay }]) => (isGivingWay ? [] : [connection])),
      idleSinceMs: this.#idleSinceMs.bind(this),
      close: this.#giveWay.bind(this)
    })
    init.host.addEventListener('connection:open', (event) => {
      this.#useOf(event.detail)
      this.#review()
    })
    init.host.addEventListener('connection:close', (event) => this.#forget(event.detail))
    for (const connection of init.host.getConnections()) this.#useOf(connection)
  }

  /** A channel is open. It holds its connection until it is closed. */
  hold(connection: Connection, closed: Promise<unknown>): void {
    const use = this.#useOf(connection)
    use.channels++
    void closed.then(() => {
      use.channels--
      use.lastUsedMs = this.#init.clock.monotonicMs()
      this.#review()
    })
  }

  stop(): void {
    this.#idle.stop()
  }

  #useOf(connection: Connection): Use {
    let use = this.#uses.get(connection)
    if (use === undefined) {
      use = { channels: 0, lastUsedMs: this.#init.clock.monotonicMs(), isGivingWay: false }
      // One that is closed already is not told of again.
      if (connection.status === 'open') this.#uses.set(connection, use)
    }
    return use
  }

  #forget(connection: Connection): void {
    if (this.#uses.get(connection)?.isGivingWay === true) this.#givingWay--
    this.#uses.delete(connection)
  }

  #review(): void {
    this.#idle.review(this.#uses.size - this.#givingWay)
  }

  #idleSinceMs(connection: Connection, nowMs: number): number | undefined {
    const use = this.#uses.get(connection)
    if (use === undefined || use.channels > 0 || this.#init.mustStay(connection.remotePeer.toString() as PeerId)) return undefined
    // Of the DHT, of libp2p itself, or of a channel that is being opened: nobody tells when it ends.
    if (connection.streams.length > 0) use.lastUsedMs = nowMs
    return use.lastUsedMs
  }

  #giveWay(connection: Connection): void {
    const use = this.#uses.get(connection)
    if (use === undefined) return
    use.isGivingWay = true
    this.#givingWay++
    this.#close(connection, use).catch((error: unknown) => {
      this.#init.logger.debug('an idle connection could not be closed in order', { reason: describeError(error) })
      connection.abort(error instanceof Error ? error : new Error(describeError(error)))
    })
  }

  async #close(connection: Connection, use: Use): Promise<void> {
    // What cannot be known of a connection does not end it.
    const isKept = await this.#isKept(connection).catch(() => true)
    if (!this.#uses.has(connection)) return
    if (!isKept && use.channels === 0 && connection.streams.length === 0) {
      await connection.close()
      return
    }
    use.isGivingWay = false
    use.lastUsedMs = this.#init.clock.monotonicMs()
    this.#givingWay--
    this.#review()
  }

  /** Whether libp2p would connect again, or others are told that they reach the peer here: its relays and the DHT tag such peers. */
  async #isKept({ remotePeer }: Connection): Promise<boolean> {
    const { host } = this.#init
    if (!(await host.peerStore.has(remotePeer))) return false
    const { tags } = await host.peerStore.get(remotePeer)
    return [...tags.keys()].some((tag) => tag.startsWith(KEEP_ALIVE) || tag === relaySourceTag)
  }
}
