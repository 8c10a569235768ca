import assert from 'node:assert/strict'
import { PieceStream } from './piece-stream.ts'

/** A stream of which is counted how often its consumer has left it. */
function newStream(): { readonly stream: PieceStream<string>; readonly left: () => number } {
  let left = 0
  const stream = new PieceStream<string>(() => {
    left++
    stream.end()
    return Promise.resolve()
  })
  return { stream, left: () => left }
}

const done = { value: undefined, done: true }

describe('the pieces of a generation', () => {
  it('come in order, whether they are waited for or wait', async () => {
    const { stream, left } = newStream()
    stream.push('a')
    const iterator = stream[Symbol.asyncIterator]()
    assert.deepEqual(await iterator.next(), { value: 'a', done: false })
    const both = Promise.all([iterator.next(), iterator.next()])
    stream.push('b')
    stream.push('c')
    assert.deepEqual(
      (await both).map(({ value }) => value),
      ['b', 'c']
    )
    stream.push('d')
    stream.end()
    const rest: string[] = []
    for await (const piece of { [Symbol.asyncIterator]: () => iterator }) rest.push(piece)
    assert.deepEqual(rest, ['d'])
    assert.equal(left(), 0)
  })

  it('end the generation when their reader leaves before it has begun', async () => {
    const { stream, left } = newStream()
    const iterator = stream[Symbol.asyncIterator]()
    stream.push('a')
    assert.deepEqual(await iterator.return?.(), done)
    assert.equal(left(), 1)
    assert.deepEqual(await iterator.next(), done)
  })

  it('end the generation at once when their reader leaves while it waits for one, and leave nobody waiting', async () => {
    const { stream, left } = newStream()
    const iterator = stream[Symbol.asyncIterator]()
    const waiting = [iterator.next(), iterator.next()]
    assert.deepEqual(await iterator.return?.(), done)
    assert.deepEqual(await Promise.all(waiting), [done, done])
    await iterator.return?.()
    assert.equal(left(), 1)
  })

  it('end the generation when their reader throws into it, or breaks a loop', async () => {
    const { stream, left } = newStream()
    await assert.rejects(stream[Symbol.asyncIterator]().throw?.(new Error('mine')) ?? Promise.resolve(), /mine/)
    assert.equal(left(), 1)
    const other = newStream()
    other.stream.push('a')
    other.stream.push('b')
    for await (const piece of other.stream) if (piece === 'a') break
    assert.equal(other.left(), 1)
  })

  it('throw the error of a generation after the last one, and once', async () => {
    const { stream, left } = newStream()
    stream.push('a')
    stream.end(new Error('lost'))
    const iterator = stream[Symbol.asyncIterator]()
    assert.deepEqual(await iterator.next(), { value: 'a', done: false })
    await assert.rejects(iterator.next(), /lost/)
    assert.deepEqual(await iterator.next(), done)
    assert.deepEqual(await iterator.return?.(), done)
    assert.equal(left(), 0)
    assert.throws(() => stream[Symbol.asyncIterator](), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })
})
