import { InvalidArgumentError } from '@skein/protocol'

/** What a push made certain. */
export interface StopMatch {
  /** Text that is no part of a stop string. */
  readonly text: string
  /** The stop string that ended it; then nothing more comes out. */
  readonly stop: string | undefined
}

/**
 * Finds the first of some stop strings in a text that comes in pieces. It holds back only what may be the beginning of one.
 *
 * The first one is the one that ends first; of those that end at the same place, the longest. The result does not depend on
 * how the text is cut into pieces. One Knuth-Morris-Pratt automaton for each stop string, so the work is the length of the
 * text times their number.
 */
export class StopMatcher {
  readonly #stops: readonly StopAutomaton[]
  #held = ''
  #stopped: string | undefined

  /** @throws InvalidArgumentError when a stop string is empty or holds half a character */
  constructor(stops: readonly string[]) {
    this.#stops = [...new Set(stops)].map((stop) => new StopAutomaton(stop))
  }

  /** The stop string that was found. */
  get stopped(): string | undefined {
    return this.#stopped
  }

  push(piece: string): StopMatch {
    if (this.#stopped !== undefined) return { text: '', stop: this.#stopped }
    const text = this.#held + piece
    let matched = Math.max(0, ...this.#stops.map((stop) => stop.matched))
    for (let index = this.#held.length; index < text.length; index++) {
      const unit = text.charCodeAt(index)
      let found = ''
      matched = 0
      for (const stop of this.#stops) {
        stop.step(unit)
        if (stop.matched > matched) matched = stop.matched
        if (stop.complete && stop.text.length > found.length) found = stop.text
      }
      if (found === '') continue
      this.#held = ''
      this.#stopped = found
      return { text: text.slice(0, index + 1 - found.length), stop: found }
    }
    this.#held = text.slice(text.length - matched)
    return { text: text.slice(0, text.length - matched), stop: undefined }
  }

  /** The end of the text: what was held back belongs to it after all. */
  finish(): string {
    const held = this.#held
    this.#held = ''
    return held
  }
}

class StopAutomaton {
  readonly text: string
  /** For each length of a matched prefix, the longest shorter prefix that also ends there. */
  readonly #failure: Uint16Array
  matched = 0

  constructor(text: string) {
    if (text === '') throw new InvalidArgumentError('a stop string is empty: it must have at least one character')
    if (text.length > 0xffff) throw new InvalidArgumentError(`a stop string has ${text.length} characters: at most 65535 are possible`)
    if (/\p{Surrogate}/u.test(text)) throw new InvalidArgumentError('a stop string holds half a character (a lone surrogate)')
    this.text = text
    this.#failure = new Uint16Array(text.length + 1)
    for (let length = 2, border = 0; length <= text.length; length++) {
      const unit = text.charCodeAt(length - 1)
      while (border > 0 && text.charCodeAt(border) !== unit) border = this.#failure[border] ?? 0
      if (text.charCodeAt(border) === unit) border++
      this.#failure[length] = border
    }
  }

  get complete(): boolean {
    return this.matched === this.text.length
  }

  step(unit: number): void {
    let matched = this.complete ? (this.#failure[this.matched] ?? 0) : this.matched
    while (matched > 0 && this.text.charCodeAt(matched) !== unit) matched = this.#failure[matched] ?? 0
    if (this.text.charCodeAt(matched) === unit) matched++
    this.matched = matched
  }
}
