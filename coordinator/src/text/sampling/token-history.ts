/** Which tokens a sampler has seen: what the penalties look at. */
export class TokenHistory {
  readonly #prompt: ReadonlySet<number>
  readonly #answer = new Map<number, number>()

  constructor(prompt: Iterable<number>) {
    this.#prompt = new Set(prompt)
  }

  /** How often each token is in the answer so far. */
  get answer(): ReadonlyMap<number, number> {
    return this.#answer
  }

  /** Each token of the prompt and the answer, once. */
  *seen(): Generator<number> {
    yield* this.#prompt
    for (const token of this.#answer.keys()) if (!this.#prompt.has(token)) yield token
  }

  add(token: number): void {
    this.#answer.set(token, (this.#answer.get(token) ?? 0) + 1)
  }

  /** Takes back one `add`. */
  remove(token: number): void {
    const count = this.#answer.get(token) ?? 0
    if (count > 1) this.#answer.set(token, count - 1)
    else this.#answer.delete(token)
  }
}
