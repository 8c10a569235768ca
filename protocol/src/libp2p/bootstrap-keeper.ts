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

interface Bootstrap {
  readonly peer: PeerId
  /** Whether there was a connection at the last look that was not let pass, or it was made then. */
  wasReached: boolean
  /** Looks to let pass when it is gone again, and how many of them are left. */
  patience: number
  toPass: number
}

/**
 * Keeps connections to the bootstrap peers: tries at once, and again with a growing, jittered delay. One that has too many closes
 * those that rest: when each is gone again at the next look, it is connected to less and less often.
 */
export class BootstrapKeeper {
  readonly #components: BootstrapKeeperComponents
  readonly #peers: readonly Bootstrap[]
  readonly #shutdown = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(components: BootstrapKeeperComponents, peers: readonly PeerId[]) {
    this.#components = components
    this.#peers = peers.map((peer) => ({ peer, wasReached: false, patience: 0, toPass: 0 }))
  }

  start(): void {
    if (this.#peers.length === 0) return
    // Nobody waits for it before the end, so that a mistake would be an unhandled rejection, which ends the process.
    this.#running = this.#run().catch((error: unknown) =>
      this.#components.logger.error('connections to the bootstrap peers are no longer kept', {}, error)
    )
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
      const reached = await Promise.all(this.#peers.map((bootstrap) => this.#look(bootstrap)))
      delayMs = reached.every(Boolean) ? libp2pLimits.bootstrapRetryMinMs : Math.min(2 * delayMs, libp2pLimits.bootstrapRetryMaxMs)
      const pauseMs = reached.every(Boolean) ? libp2pLimits.bootstrapRetryMaxMs : delayMs
      await clock.sleep(pauseMs * (0.5 + random.float() / 2), { signal }).catch(() => {})
    }
  }

  /** Returns whether it is connected, or was and will be. Never rejects. */
  async #look(bootstrap: Bootstrap): Promise<boolean> {
    const { logger, isConnected, connect } = this.#components
    const { peer } = bootstrap
    try {
      if (isConnected(peer)) {
        bootstrap.wasReached = true
        bootstrap.patience = 0
        bootstrap.toPass = 0
        return true
      }
      if (bootstrap.toPass > 0) {
        bootstrap.toPass--
        return true
      }
      const isGoneAgain = bootstrap.wasReached
      bootstrap.wasReached = false
      await connect(peer, this.#shutdown.signal)
      bootstrap.wasReached = true
      if (isGoneAgain) {
        bootstrap.patience = Math.min(2 * bootstrap.patience + 1, libp2pLimits.bootstrapMaxPassed)
        bootstrap.toPass = bootstrap.patience
      }
      return true
    } catch (error) {
      if (!this.#shutdown.signal.aborted) logger.warn('a bootstrap peer cannot be reached', { peer, reason: describeError(error) })
      return false
    }
  }
}
