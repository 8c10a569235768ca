import { InvalidArgumentError } from '@skein/protocol'
import pDefer, { type DeferredPromise } from 'p-defer'

/**
 * What a producer pushes, for one consumer who iterates. The producer never waits: how much it pushes is bounded by the
 * length of the answer.
 */
export class PieceStream<T> implements AsyncIterable<T> {
  readonly #onLeave: () => Promise<void>
  #items: T[] = []
  #wake: DeferredPromise<void> | undefined
  #end: { readonly error?: Error } | undefined
  #taken = false

  /** @param onLeave - called when the consumer leaves its loop before the end, who goes on once it has settled */
  constructor(onLeave: () => Promise<void>) {
    this.#onLeave = onLeave
  }

  push(item: T): void {
    this.#items.push(item)
    this.#wake?.resolve()
  }

  /** Nothing follows. With an error, the consumer's loop throws it after the last item. */
  end(error?: Error): void {
    this.#end ??= error === undefined ? {} : { error }
    this.#wake?.resolve()
  }

  /** @throws InvalidArgumentError when it is iterated a second time */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    if (this.#taken) throw new InvalidArgumentError('the pieces of a generation can be iterated once; await its result for the whole text')
    this.#taken = true
    try {
      for (;;) {
        const item = this.#items.shift()
        if (item !== undefined) {
          yield item
        } else if (this.#end !== undefined) {
          if (this.#end.error !== undefined) throw this.#end.error
          return
        } else {
          this.#wake = pDefer()
          await this.#wake.promise
        }
      }
    } finally {
      if (this.#end === undefined) await this.#onLeave()
    }
  }
}
