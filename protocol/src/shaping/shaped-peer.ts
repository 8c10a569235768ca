import { DialError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import type { CancelTimer, Clock } from '../ports/clock.ts'
import type { ShapedPath, TimedProfile } from './line.ts'
import type { ShapedChannel } from './shaped-channel.ts'

export interface ShapedPeerInit {
  readonly peer: PeerId
  readonly path: ShapedPath
  readonly clock: Clock
  /** Told when a cut has broken the connection, and when there is one again. */
  readonly onBroken: () => void
  readonly onConnected: () => void
}

/**
 * A peer as a shaped network sees it: the path to it, and the connection with its channels, which a cut may break although
 * the one below goes on.
 */
export class ShapedPeer {
  readonly path: ShapedPath
  readonly #init: ShapedPeerInit
  readonly #channels = new Set<ShapedChannel>()
  #isBroken = false
  /** What is on its way through the connection: told when that breaks. */
  readonly #travellers = new Set<() => void>()
  #cancel: CancelTimer | undefined

  constructor(init: ShapedPeerInit) {
    this.#init = init
    this.path = init.path
    this.#arm()
  }

  /** Whether a cut has broken the connection and nobody has connected since. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** Waits for something that is on its way through the connection. @throws DialError when that breaks */
  async travel(untilMs: number): Promise<void> {
    const { clock, peer } = this.#init
    const ms = untilMs - clock.monotonicMs()
    if (ms <= 0) return
    await new Promise<void>((resolve, reject) => {
      const broken = (): void => {
        cancel()
        reject(new DialError(`the connection to ${peer} broke`, { detail: { peer } }))
      }
      const cancel = clock.setTimer(ms, () => {
        this.#travellers.delete(broken)
        resolve()
      })
      this.#travellers.add(broken)
    })
  }

  /** The channel breaks with the connection. */
  keep(channel: ShapedChannel): ShapedChannel {
    this.#channels.add(channel)
    void channel.closed.then(() => this.#channels.delete(channel))
    return channel
  }

  reshape(profile: TimedProfile): void {
    this.path.reshape(profile)
    this.#arm()
  }

  /** There is a new connection. */
  connected(): void {
    const wasBroken = this.#isBroken
    this.#isBroken = false
    this.path.connected(this.#init.clock.monotonicMs())
    this.#arm()
    if (wasBroken) this.#init.onConnected()
  }

  /** The peer has opened a channel: on a new connection, if it has given up the one that this side still believes in. */
  heard(): void {
    if (!this.#isBroken && this.path.break.theirsMs <= this.#init.clock.monotonicMs()) this.#break()
    if (this.#isBroken) this.connected()
  }

  /** There is no connection as far as the shaping goes: nobody is told, and channels are left alone. */
  drop(): void {
    this.#disarm()
    this.#isBroken = true
    for (const broken of this.#travellers) broken()
    this.#travellers.clear()
  }

  #disarm(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #arm(): void {
    this.#disarm()
    const { atMs } = this.path.break
    if (atMs === Infinity || this.#isBroken) return
    this.#cancel = this.#init.clock.setTimer(atMs - this.#init.clock.monotonicMs(), () => this.#break())
  }

  #break(): void {
    this.drop()
    for (const channel of [...this.#channels]) channel.break()
    this.#init.onBroken()
  }
}
