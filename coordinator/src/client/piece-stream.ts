import { InvalidArgumentError } from '@skein/protocol'
import pDefer, { type DeferredPromise } from 'p-defer'

/**
 * What a producer pushes, for one consumer who iterates. The producer never waits: how much it pushes is bounded by the
 * length of the answer.
 */
export class PieceStream<T> implements AsyncIterable<T> {
  readonly #onLeave: () => Promise<void>
  #items: T[] = []
  /** Calls of `next` that wait for an item, in their order. */
  #waiting: DeferredPromise<IteratorResult<T, undefined>>[] = []
  #end: { readonly error?: Error } | undefined
  #taken = false
  #left: Promise<void> | undefined

  /** @param onLeave - called when the consumer leaves its loop before the end, who goes on once it has settled */
  constructor(onLeave: () => Promise<void>) {
    this.#onLeave = onLeave
  }

  push(item: T): void {
    if (this.#left !== undefined) return
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#items.push(item)
    else waiting.resolve({ value: item, done: false })
  }

  /** Nothing follows. With an error, the consumer's loop throws it after the last item. */
  end(error?: Error): void {
    this.#end ??= error === undefined ? {} : { error }
    for (const waiting of this.#waiting.splice(0)) waiting.resolve(this.#atEnd())
  }

  /**
   * Not a generator: the `return` of one that has not begun says nothing to it, and that of one that waits for an item waits with
   * it. Whoever leaves ends the generation at once.
   *
   * @throws InvalidArgumentError when it is iterated a second time
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined> {
    if (this.#taken) throw new InvalidArgumentError('the pieces of a generation can be iterated once; await its result for the whole text')
    this.#taken = true
    const iterator: AsyncIterableIterator<T, undefined> = {
      next: () => this.#next(),
      return: async () => {
        await this.#leave()
        return { value: undefined, done: true }
      },
      throw: async (error: unknown) => {
        await this.#leave()
        throw error
      },
      [Symbol.asyncIterator]: () => iterator
    }
    return iterator
  }

  #next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#items.shift()
    if (item !== undefined) return Promise.resolve({ value: item, done: false })
    if (this.#left !== undefined) return Promise.resolve({ value: undefined, done: true })
    if (this.#end !== undefined) return this.#atEnd()
    const waiting = pDefer<IteratorResult<T, undefined>>()
    this.#waiting.push(waiting)
    return waiting.promise
  }

  /** The error is thrown once, as a loop would see it. */
  #atEnd(): Promise<IteratorResult<T, undefined>> {
    const error = this.#left === undefined ? this.#end?.error : undefined
    this.#end = {}
    return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error)
  }

  #leave(): Promise<void> {
    this.#left ??= this.#end === undefined ? this.#onLeave() : Promise.resolve()
    this.#items = []
    for (const waiting of this.#waiting.splice(0)) waiting.resolve({ value: undefined, done: true })
    return this.#left
  }
}
