/**
 * When the leases of a session's stages must be renewed by a request. Every step renews them as well, where it passes: so while
 * results come in time nothing needs to be said.
 */
export class Leases {
  readonly #halfMs: number
  #dueMs: number | undefined

  constructor(leaseMs: number) {
    this.#halfMs = leaseMs / 2
  }

  get wakeAtMs(): number | undefined {
    return this.#dueMs
  }

  /** A stage has opened: its lease runs from here, and the chain may be whole much later. */
  opened(nowMs: number): void {
    this.#dueMs ??= nowMs + this.#halfMs
  }

  /** A result has come. @param submittedMs - when its step was submitted: no stage has taken it before */
  passed(submittedMs: number): void {
    if (this.#dueMs !== undefined) this.#dueMs = Math.max(this.#dueMs, submittedMs + this.#halfMs)
  }

  /** Whether the stages must be asked something now. */
  due(nowMs: number): boolean {
    if (this.#dueMs === undefined || nowMs < this.#dueMs) return false
    this.#dueMs = nowMs + this.#halfMs
    return true
  }

  /** The session closes. */
  stop(): void {
    this.#dueMs = undefined
  }
}
