import assert from 'node:assert/strict'
import { ManualClock } from '../testing/manual-clock.ts'
import { givingWay, IdleConnections, idleMarks } from './idle-connections.ts'
import { libp2pLimits } from './libp2p-limits.ts'

const { idleMinMs } = libp2pLimits

describe('idle connections', () => {
  const marks = { above: 6, downTo: 4 }
  const idle = (...sinceMs: number[]) => sinceMs.map((ms) => ({ connection: `since ${ms}`, sinceMs: ms }))

  it('have marks below the limit, with room for what the directory keeps open', () => {
    assert.deepEqual(idleMarks(1024), { above: 896, downTo: 768 })
    assert.deepEqual(idleMarks(2), { above: 1, downTo: 1 })
  })

  it('give way only above the first mark, down to the second, the longest idle first', () => {
    const all = idle(5, 1, 4, 2, 3)
    assert.deepEqual(givingWay(all, 6, marks, 60_000), [])
    assert.deepEqual(givingWay(all, 7, marks, 60_000), ['since 1', 'since 2', 'since 3'])
    assert.deepEqual(givingWay(all, 100, marks, 60_000), ['since 1', 'since 2', 'since 3', 'since 4', 'since 5'])
  })

  it('do not give way when they were used a short while ago', () => {
    assert.deepEqual(givingWay(idle(0, 1, 2), 7, marks, idleMinMs + 1), ['since 0', 'since 1'])
    assert.deepEqual(givingWay(idle(2, 3), 7, marks, idleMinMs), [])
  })

  describe('of a host', () => {
    class Host {
      readonly clock = new ManualClock()
      /** Of each that is open, since when it is idle, if it is. */
      readonly connections = new Map<string, number | undefined>()
      looks = 0
      readonly idle = new IdleConnections<string>({
        clock: this.clock,
        maxConnections: 8,
        list: () => {
          this.looks++
          return [...this.connections.keys()]
        },
        idleSinceMs: (name) => this.connections.get(name),
        close: (name) => this.connections.delete(name)
      })

      set(name: string, state: 'idle' | 'used'): void {
        this.connections.set(name, state === 'idle' ? this.clock.monotonicMs() : undefined)
        this.idle.review(this.connections.size)
      }
    }

    it('are looked at again when all are young, though nobody can connect any more', () => {
      const host = new Host()
      for (const name of 'abcdefgh') host.set(name, 'idle')
      assert.equal(host.connections.size, 8)
      host.clock.advance(idleMinMs - 1)
      assert.equal(host.connections.size, 8)
      host.clock.advance(1)
      assert.deepEqual([...host.connections.keys()], ['c', 'd', 'e', 'f', 'g', 'h'])
      assert.equal(host.clock.pendingTimers, 0)
      assert.equal(host.looks, 2)
    })

    it('are not looked at while all are used, and give way in time when one is used no longer', () => {
      const host = new Host()
      for (const name of 'abcdefgh') host.set(name, 'used')
      assert.equal(host.clock.pendingTimers, 0)
      host.clock.advance(60_000)
      host.set('c', 'idle')
      host.clock.advance(idleMinMs / 2)
      host.set('a', 'idle')
      host.clock.advance(idleMinMs / 2)
      assert.deepEqual([...host.connections.keys()], ['a', 'b', 'd', 'e', 'f', 'g', 'h'])
      host.clock.advance(idleMinMs)
      assert.equal(host.connections.size, 7, 'as many as the first mark allows')
      host.set('i', 'used')
      assert.deepEqual([...host.connections.keys()], ['b', 'd', 'e', 'f', 'g', 'h', 'i'])
    })

    it('are looked at no more than once a second, however many come', () => {
      const host = new Host()
      for (const name of 'abcdefg') host.set(name, 'used')
      for (let index = 0; index < 20; index++) {
        host.set(`new${index}`, 'idle')
        host.clock.advance(100)
      }
      host.clock.advance(idleMinMs)
      assert.ok(host.looks <= 5, `${host.looks} looks`)
      host.idle.stop()
      assert.equal(host.clock.pendingTimers, 0)
    })
  })
})
