import type { BlockRange } from '@skein/protocol'

/**
 * Which nodes serve, and how many hold each block, kept up to date by those whose state changes: to look at every node of a large
 * world once a second would cost more than what most of them do.
 */
export class Census {
  readonly #all: Coverage
  readonly #settled: Coverage
  /** Those that have not been there for long, with the time since when they are. */
  readonly #young = new Map<number, { readonly span: BlockRange; readonly sinceMs: number }>()
  readonly #serving = new Map<number, BlockRange>()

  constructor(blocks: number) {
    this.#all = new Coverage(blocks)
    this.#settled = new Coverage(blocks)
  }

  /** Nodes that serve. */
  get serving(): number {
    return this.#serving.size
  }

  /** A node serves from now on, or no longer. Idempotent. @param sinceMs - when it has come */
  set(node: number, span: BlockRange, isServing: boolean, sinceMs: number): void {
    const served = this.#serving.get(node)
    if (isServing === (served !== undefined)) return
    if (served === undefined) {
      this.#serving.set(node, span)
      this.#young.set(node, { span, sinceMs })
      this.#all.add(span, 1)
    } else {
      this.#serving.delete(node)
      this.#all.add(served, -1)
      if (!this.#young.delete(node)) this.#settled.add(served, -1)
    }
  }

  /** Nodes that hold the block which fewest hold. */
  leastCoverage(): number {
    return this.#all.least()
  }

  /** The same, of nodes that had come by this time. It must not go back from call to call. */
  leastSettledCoverage(byMs: number): number {
    for (const [node, young] of this.#young) {
      if (young.sinceMs > byMs) continue
      this.#young.delete(node)
      this.#settled.add(young.span, 1)
    }
    return this.#settled.least()
  }
}

/** How many hold each block. */
class Coverage {
  readonly #holders: Int32Array

  constructor(blocks: number) {
    this.#holders = new Int32Array(blocks)
  }

  add({ start, end }: BlockRange, by: number): void {
    for (let block = start; block < end; block++) this.#holders[block]! += by
  }

  least(): number {
    return this.#holders.reduce((least, holders) => Math.min(least, holders), Infinity)
  }
}
