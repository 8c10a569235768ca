import { describeError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import type { Random } from '../ports/random.ts'
import { libp2pLimits } from './libp2p-limits.ts'

export interface BootstrapKeeperComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly isConnected: (peer: PeerId) => boolean
  readonly connect: (peer: PeerId, signal: AbortSignal) => Promise<void>
}

/** Keeps connections to the bootstrap peers: tries at once, and again with a growing, jittered delay. */
export class BootstrapKeeper {
  readonly #components: BootstrapKeeperComponents
  readonly #peers: readonly PeerId[]
  readonly #shutdown = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(components: BootstrapKeeperComponents, peers: readonly PeerId[]) {
    this.#components = components
    this.#peers = peers
  }

  start(): void {
    if (this.#peers.length > 0) this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#shutdown.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#components
    const { signal } = this.#shutdown
    let delayMs: number = libp2pLimits.bootstrapRetryMinMs
    while (!signal.aborted) {
      const reached = await Promise.all(this.#peers.map((peer) => this.#reach(peer)))
      delayMs = reached.every(Boolean) ? libp2pLimits.bootstrapRetryMinMs : Math.min(2 * delayMs, libp2pLimits.bootstrapRetryMaxMs)
      const pauseMs = reached.every(Boolean) ? libp2pLimits.bootstrapRetryMaxMs : delayMs
      await clock.sleep(pauseMs * (0.5 + random.float() / 2), { signal }).catch(() => {})
    }
  }

  async #reach(peer: PeerId): Promise<boolean> {
    const { logger, isConnected, connect } = this.#components
    if (isConnected(peer)) return true
    try {
      await connect(peer, this.#shutdown.signal)
      return true
    } catch (error) {
      if (!this.#shutdown.signal.aborted) logger.warn('a bootstrap peer cannot be reached', { peer, reason: describeError(error) })
      return false
    }
  }
}
