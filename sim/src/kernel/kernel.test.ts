import assert from 'node:assert/strict'
import { clockCompliance, randomCompliance } from '@skein/protocol/testing'
import { seededRandom } from '@skein/protocol'
import fc from 'fast-check'
import { Event, EventKind, EventQueue } from './event-queue.ts'
import { StalledError, VirtualClock } from './virtual-clock.ts'

describe('EventQueue', () => {
  const event = (timeUs: number, peer: number, channel: number, seq: number): Event =>
    new Event(timeUs, peer, channel, seq, EventKind.timer, undefined, () => {})
  const key = ({ timeUs, peer, channel, seq }: Event): number[] => [timeUs, peer, channel, seq]

  it('gives events by time, and within one instant by peer, channel and number', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(2), fc.nat(2))), (facts) => {
        const queue = new EventQueue()
        const events = facts.map(([timeUs, peer, channel], seq) => event(timeUs, peer, channel, seq))
        for (const each of events) queue.push(each)
        const expected = events.map(key).sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]! || a[3]! - b[3]!)
        assert.deepEqual(
          events.map(() => key(queue.pop()!)),
          expected
        )
        assert.equal(queue.pop(), undefined)
        assert.equal(queue.size, 0)
      })
    )
  })

  it('forgets cancelled events, and does not keep their memory', () => {
    const queue = new EventQueue()
    const kept: number[] = []
    for (let seq = 0; seq < 50_000; seq++) {
      const each = event((seq * 7919) % 1000, 0, 0, seq)
      queue.push(each)
      if (seq % 100 === 0) kept.push(seq)
      else queue.cancel(each)
    }
    assert.equal(queue.size, kept.length)
    assert.ok(queue.heldEvents < 3000, `${queue.heldEvents} events are held for ${kept.length} live ones`)
    const popped: Event[] = []
    for (let each = queue.pop(); each !== undefined; each = queue.pop()) popped.push(each)
    assert.deepEqual(
      popped.map(({ seq }) => seq).sort((a, b) => a - b),
      kept
    )
    assert.ok(popped.every((each, index) => index === 0 || popped[index - 1]!.timeUs <= each.timeUs))
    queue.cancel(popped[0]!)
    assert.equal(queue.size, 0)
  })
})

describe('VirtualClock', () => {
  clockCompliance(() => {
    const clock = new VirtualClock()
    return { clock, pass: (ms) => clock.runUntil(clock.monotonicMs() + ms) }
  })

  it('ends what one event set off before the next one of the same instant', async () => {
    const clock = new VirtualClock()
    const log: string[] = []
    const chain = async (name: string): Promise<void> => {
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
      log.push(`${name} at ${clock.monotonicMs()}`)
    }
    clock.setTimer(10, () => void chain('first').then(() => chain('its follower')))
    clock.setTimer(10, () => void chain('second'))
    await clock.runToEnd()
    assert.deepEqual(log, ['first at 10', 'its follower at 10', 'second at 10'])
  })

  it('repeats a run exactly from its seed', async () => {
    const run = async (seed: number): Promise<string> => {
      const clock = new VirtualClock()
      const log: string[] = []
      const peer = async (name: string): Promise<void> => {
        const random = seededRandom(seed).fork(name)
        for (let turn = 0; turn < 20; turn++) {
          await clock.sleep(random.below(5))
          log.push(`${name} ${clock.monotonicMs()}`)
        }
      }
      const peers = Promise.all(['a', 'b', 'c'].map(peer))
      await clock.runToEnd()
      await peers
      assert.equal(clock.pendingTimers, 0)
      return log.join()
    }
    assert.equal(await run(1), await run(1))
    assert.notEqual(await run(1), await run(2))
  })

  it('hours pass in no time, and never backwards', async () => {
    const clock = new VirtualClock(0)
    await clock.runUntil(3_600_000)
    assert.equal(clock.wallMs(), 3_600_000)
    await assert.rejects(clock.runUntil(1), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(clock.runUntil(Infinity), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })
})

describe('PeerClock', () => {
  describe('as a clock', () => {
    clockCompliance(() => {
      const root = new VirtualClock()
      return { clock: root.forPeer('one'), pass: (ms) => root.runUntil(root.monotonicMs() + ms) }
    })
  })

  it('has reached the time that it has run until, though that is no whole number of microseconds', async () => {
    assert.ok(18_087.972 + 70_000 > 88_087.972, 'such a sum was waited for without end')
    const times = fc
      .tuple(fc.nat(10 ** 9), fc.nat(10 ** 9))
      .map(([fromUs, forUs]) => [fromUs / 1000, fromUs / 1000 + forUs / 1000] as const)
    await fc.assert(
      fc.asyncProperty(fc.oneof(times, fc.constant([18_087.972, 18_087.972 + 70_000] as const)), async ([fromMs, untilMs]) => {
        const clock = new VirtualClock()
        await clock.runUntil(fromMs)
        assert.equal(clock.hasReached(untilMs), untilMs === fromMs)
        await clock.runUntil(untilMs)
        assert.ok(clock.hasReached(untilMs))
        assert.ok(!clock.hasReached(untilMs + 0.001))
      })
    )
  })

  it('discards and counts what a dead incarnation had planned and what it plans', async () => {
    const root = new VirtualClock()
    const [dead, living] = [root.forPeer('dead'), root.forPeer('living')]
    const log: string[] = []
    dead.setTimer(10, () => log.push('dead'))
    living.setTimer(10, () => log.push('living'))
    root.setTimer(5, () => {
      dead.kill()
      dead.kill()
      dead.setTimer(1, () => log.push('after death'))
      dead.soon(() => log.push('after death'))
    })
    await root.runToEnd()
    assert.deepEqual(log, ['living'])
    assert.equal(root.discarded, 3)
  })

  it('keeps back what comes due while it is frozen, in order, and can still cancel it', async () => {
    const root = new VirtualClock()
    const peer = root.forPeer('sleeper')
    const log: string[] = []
    for (const ms of [1, 10, 20, 30]) peer.setTimer(ms, () => log.push(`${ms} at ${root.monotonicMs()}`))
    const cancel = peer.setTimer(15, () => log.push('cancelled'))
    root.setTimer(5, () => peer.freeze())
    root.setTimer(24, cancel)
    root.setTimer(25, () => peer.thaw())
    await root.runToEnd()
    assert.deepEqual(log, ['1 at 1', '10 at 25', '20 at 25', '30 at 30'])
    assert.equal(root.pendingTimers, 0)
  })

  it('has a wall clock of its own that jumps, and everybody else keeps theirs', async () => {
    const root = new VirtualClock(1000)
    const [skewed, right] = [root.forPeer('skewed', { wallOffsetMs: -200 }), root.forPeer('right')]
    let firedMs = 0
    skewed.setTimer(50, () => (firedMs = root.monotonicMs()))
    skewed.jump(500)
    await root.runToEnd()
    assert.deepEqual([skewed.wallMs(), right.wallMs(), firedMs], [1350, 1050, 50])
  })
})

describe('a run that gets nowhere', () => {
  it('ends with the time and the peer when virtual time does not pass', async () => {
    const clock = new VirtualClock({ maxEventsPerInstant: 1000 })
    const peer = clock.forPeer('the busy one')
    const again = (): void => void peer.setTimer(0, again)
    peer.setTimer(7, again)
    await assert.rejects(clock.runToEnd(), (error) => {
      assert.ok(error instanceof StalledError)
      assert.match(error.message, /at 7 ms of virtual time.*the busy one/)
      return true
    })
  })

  it('says what waits when no event is left, and when the limit has passed', async () => {
    const clock = new VirtualClock()
    clock.setTimer(3, () => {})
    await assert.rejects(
      clock.runUntilSettled(new Promise(() => {}), 'the answer'),
      /the answer has not come about by 3 ms.*no event is left/
    )
    const slow = clock.sleep(100)
    await assert.rejects(clock.runUntilSettled(slow, 'the sleep', 50), /limit of 50 ms.*due at 103 ms/)
    await clock.runUntilSettled(slow, 'the sleep', 200)
    assert.equal(clock.monotonicMs(), 103)
    await assert.rejects(clock.runUntilSettled(Promise.reject(new Error('its own')), 'it'), /its own/)
  })
})

describe('the hash of the event log', () => {
  const run = async (seed: number): Promise<string> => {
    const clock = new VirtualClock()
    const random = seededRandom(seed)
    const peers = ['a', 'b'].map((name) => clock.forPeer(name))
    for (let index = 0; index < 200; index++) peers[index % 2]!.setTimer(random.below(50), () => {})
    await clock.runToEnd()
    assert.equal(clock.events, 200)
    return clock.eventLogHash()
  }

  it('is the same for the same events and another for others', async () => {
    assert.equal(await run(1), await run(1))
    const hashes = new Set(await Promise.all(Array.from({ length: 50 }, (_, seed) => run(seed))))
    assert.equal(hashes.size, 50)
    // Never changes between releases without notice: recorded hashes name runs.
    assert.equal(await run(1), 'c5039ad511e843cb')
  })
})

describe('the random numbers of a world', () => {
  randomCompliance(() => seededRandom('world').fork('peer 1'))
})
