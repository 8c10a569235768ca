/** @packageDocumentation The life of a dialled link: dial, greet, open, and again after a break, a stated number of times. */

export interface LinkDialerOptions {
  /** From the dial to the first frame of the other side. */
  readonly greetMs: number
  /** How often a broken link is dialled again before it is left to the coordinator. */
  readonly redials: number
  /** The wait before the first of them; it doubles each time. */
  readonly redialMs: number
}

export type DialerState = 'idle' | 'waiting' | 'dialing' | 'greeting' | 'open' | 'down'

/** Pure: it says when to dial and which channel counts. Channel numbers come from its owner. */
export class LinkDialer {
  #state: DialerState = 'idle'
  #channel: number | undefined
  #redials = 0
  #atMs: number | undefined

  constructor(private readonly options: LinkDialerOptions) {}

  get state(): DialerState {
    return this.#state
  }

  /** The channel that counts; a frame or event of another one does not. */
  get channel(): number | undefined {
    return this.#channel
  }

  /** When {@link due} has something to say. */
  get wakeAtMs(): number | undefined {
    return this.#atMs
  }

  dial(channel: number, nowMs: number): void {
    this.#state = 'dialing'
    this.#channel = channel
    this.#atMs = nowMs + this.options.greetMs
  }

  connected(): void {
    this.#state = 'greeting'
  }

  opened(): void {
    this.#state = 'open'
    this.#redials = 0
    this.#atMs = undefined
  }

  /** The channel is gone. The state is then `waiting` for a redial, or `down` for good. */
  lost(nowMs: number): void {
    this.#channel = undefined
    if (this.#redials >= this.options.redials) {
      this.#state = 'down'
      this.#atMs = undefined
      return
    }
    this.#state = 'waiting'
    this.#atMs = nowMs + this.options.redialMs * 2 ** this.#redials
    this.#redials++
  }

  /** The link is none any more; what is dialled next is another one, with redials of its own. */
  stop(): void {
    this.#state = 'idle'
    this.#redials = 0
    this.#channel = undefined
    this.#atMs = undefined
  }

  due(nowMs: number): 'dial' | 'timeout' | undefined {
    if (this.#atMs === undefined || nowMs < this.#atMs) return undefined
    return this.#state === 'waiting' ? 'dial' : 'timeout'
  }
}
