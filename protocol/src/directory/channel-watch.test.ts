import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { AbortError, ChannelClosedError, TimeoutError } from '../errors.ts'
import { channelLimits } from '../limits.ts'
import { MemoryChannel } from '../memory/memory-channel.ts'
import type { Channel } from '../ports/network.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { protocols } from '../versions.ts'
import { ChannelWatch } from './channel-watch.ts'

const end = { peer: testIdentity('peer').peerId, limits: channelLimits.directory, onClosed: () => {} }

/** A watch on a channel whose other side says nothing. */
function setUp(parent = new AbortController()): {
  clock: ManualClock
  parent: AbortController
  watch: ChannelWatch
  channel: Channel
  listeners: () => number
} {
  const clock = new ManualClock()
  const [channel] = MemoryChannel.pair(protocols.directory, end, end)
  const watch = new ChannelWatch(channel, clock, parent.signal)
  return { clock, parent, watch, channel, listeners: () => getEventListeners(parent.signal, 'abort').length }
}

const isThis = (expected: unknown) => (error: unknown) => error === expected

describe('ChannelWatch', () => {
  it('resets the channel when time is up, which is what the wait throws, and every later one', async () => {
    const { clock, watch, channel } = setUp()
    let thrown: unknown
    const waiting = watch
      .within(1_000, 'the answer', () => channel.receive())
      .catch((error: unknown) => {
        thrown = error
      })
    await clock.advanceAsync(999)
    assert.ok(!watch.isOver)
    await clock.advanceAsync(1)
    await waiting
    assert.ok(thrown instanceof TimeoutError)
    assert.match(thrown.message, /^the answer took more than 1000 ms/)
    assert.ok(watch.isOver)
    assert.equal((await channel.closed).kind, 'reset')
    const later = watch.within(1_000, 'another', () => assert.fail('nothing more is awaited'))
    await assert.rejects(later, isThis(thrown))
    assert.equal(clock.pendingTimers, 0)
  })

  it('gives each wait its whole time, by one timer', async () => {
    const { clock, watch, channel } = setUp()
    await watch.within(1_000, 'the first', () => clock.advanceAsync(900))
    await clock.advanceAsync(5_000)
    assert.ok(!watch.isOver, 'nothing was awaited')
    await watch.within(1_000, 'the second', () => clock.advanceAsync(900))
    const third = assert.rejects(
      watch.within(1_000, 'the third', () => channel.receive()),
      /the third took/
    )
    assert.equal(clock.pendingTimers, 1)
    await clock.advanceAsync(999)
    assert.ok(!watch.isOver)
    await clock.advanceAsync(1)
    await third
  })

  it('resets the channel when the parent fires, whose reason is what the wait throws', async () => {
    const own = new TimeoutError('the caller has waited long enough')
    const foreign = new Error('the window was closed')
    for (const [reason, isThrown] of [
      [own, isThis(own)],
      [foreign, (error: unknown) => error instanceof AbortError && error.cause === foreign]
    ] as const) {
      const { clock, parent, watch, channel } = setUp()
      const waiting = watch.within(1_000, 'the answer', () => channel.receive())
      parent.abort(reason)
      await assert.rejects(waiting, isThrown)
      assert.ok(watch.isOver)
      assert.equal((await channel.closed).kind, 'reset')
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('resets the channel at once when the parent has fired', async () => {
    const parent = new AbortController()
    const reason = new TimeoutError('the caller has waited long enough')
    parent.abort(reason)
    const { watch, channel } = setUp(parent)
    assert.ok(watch.isOver)
    assert.equal((await channel.closed).kind, 'reset')
    await assert.rejects(
      watch.within(1_000, 'the answer', () => assert.fail('nothing is awaited')),
      isThis(reason)
    )
  })

  it('throws what the wait throws, and is not over', async () => {
    const { watch, channel } = setUp()
    const waiting = watch.within(1_000, 'the answer', () => channel.receive())
    channel.reset()
    await assert.rejects(waiting, ChannelClosedError)
    assert.ok(!watch.isOver)
    watch.stop()
  })

  it('lets go of the timer and the signal', async () => {
    const { clock, parent, watch, listeners } = setUp()
    const other = setUp(parent)
    await watch.within(1_000, 'the answer', () => Promise.resolve())
    assert.equal(clock.pendingTimers, 1)
    assert.equal(listeners(), 1, 'of both')
    watch.stop()
    assert.equal(clock.pendingTimers, 0)
    assert.equal(listeners(), 1, 'of the other one')
    other.watch.stop()
    assert.equal(listeners(), 0)
    parent.abort()
    assert.ok(!watch.isOver)
  })
})
