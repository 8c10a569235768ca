/** The only source of randomness. Production draws from the system's generator; tests and the simulator have seeds. */
export interface Random {
  /** An integer, uniform in `[0, 2^32)`. */
  uint32(): number
  /** Uniform in `[0, 1)`, with 53 random bits. */
  float(): number
  /** An integer, uniform in `[0, bound)`; `bound` is 1 to 2^32. */
  below(bound: number): number
  bytes(length: number): Uint8Array
  /** A generator of its own whose values depend on this one's seed and the name alone, not on what was drawn before. */
  fork(name: string): Random
}
