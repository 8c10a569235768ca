import assert from 'node:assert/strict'
import type { CancelTimer, Clock } from '../ports/clock.ts'
import { MachineDriver } from './machine-driver.ts'

interface TestEvent {
  readonly type: 'tick' | 'poke' | 'throw'
}

/** Time that goes on by hand, and the timers that were set. */
class HandClock {
  nowMs = 0
  set = 0
  readonly timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()

  monotonicMs(): number {
    return this.nowMs
  }

  setTimer(delayMs: number, callback: () => void): CancelTimer {
    this.set++
    const timer = { atMs: this.nowMs + delayMs, callback }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  advance(toMs: number): void {
    this.nowMs = toMs
    for (const timer of [...this.timers].filter(({ atMs }) => atMs <= toMs)) {
      this.timers.delete(timer)
      timer.callback()
    }
  }
}

class TestMachine {
  wakeAtMs: number | undefined
  readonly seen: string[] = []

  handle(event: TestEvent, nowMs: number): readonly string[] {
    this.seen.push(`${event.type} at ${nowMs}`)
    if (event.type === 'throw') throw new Error('a mistake')
    return [`did ${event.type}`]
  }
}

describe('MachineDriver', () => {
  const make = (carryOut: (effect: string, driver: MachineDriver<TestEvent, string>) => void = () => {}) => {
    const clock = new HandClock()
    const machine = new TestMachine()
    const mistakes: string[] = []
    const driver: MachineDriver<TestEvent, string> = new MachineDriver({
      clock: clock as unknown as Clock,
      machine,
      tick: { type: 'tick' },
      carryOut: (effect) => carryOut(effect, driver),
      onMistake: (_, event) => mistakes.push(event)
    })
    return { clock, machine, driver, mistakes }
  }

  it('feeds what comes up during effects after them', () => {
    const order: string[] = []
    const { driver, machine } = make((effect, self) => {
      if (effect === 'did poke' && order.length === 0) self.feed({ type: 'tick' })
      order.push(`${effect}, busy ${self.busy}, ${machine.seen.length} seen`)
    })
    driver.feed({ type: 'poke' })
    assert.deepEqual(order, ['did poke, busy true, 1 seen', 'did tick, busy true, 2 seen'])
    assert.equal(driver.busy, false)
  })

  it('ticks when the machine wants it, with one timer however often that is put off', () => {
    const { clock, machine, driver } = make()
    for (const wakeAtMs of [100, 150, 200]) {
      machine.wakeAtMs = wakeAtMs
      driver.feed({ type: 'poke' })
    }
    assert.equal(clock.set, 1)
    clock.advance(100)
    assert.deepEqual([machine.seen.length, clock.timers.size], [3, 1], 'it was put off: no tick yet')
    machine.wakeAtMs = 120
    driver.feed({ type: 'poke' })
    machine.wakeAtMs = undefined
    clock.advance(120)
    assert.equal(machine.seen.at(-1), 'tick at 120', 'it was moved forward')
    assert.equal(clock.timers.size, 0)
  })

  it('reports a mistake and goes on, until it is stopped', () => {
    const { clock, machine, driver, mistakes } = make()
    driver.feed({ type: 'throw' })
    machine.wakeAtMs = 10
    driver.feed({ type: 'poke' })
    assert.deepEqual([mistakes, driver.busy], [['throw'], false])
    driver.stop()
    driver.feed({ type: 'poke' })
    clock.advance(20)
    assert.deepEqual([machine.seen.length, clock.timers.size], [2, 0])
  })

  it('goes on with the events that wait when the report of a mistake throws', () => {
    const machine = new TestMachine()
    const driver: MachineDriver<TestEvent, string> = new MachineDriver({
      clock: new HandClock() as unknown as Clock,
      machine,
      tick: { type: 'tick' },
      carryOut: (effect) => {
        if (effect === 'did poke') for (const type of ['throw', 'tick'] as const) driver.feed({ type })
      },
      onMistake: (error) => {
        throw error
      }
    })
    assert.throws(() => driver.feed({ type: 'poke' }), /a mistake/)
    assert.deepEqual([machine.seen, driver.busy], [['poke at 0', 'throw at 0', 'tick at 0'], false])
    assert.throws(() => driver.feed({ type: 'throw' }), /a mistake/)
    driver.feed({ type: 'tick' })
    assert.deepEqual([machine.seen.length, driver.busy], [5, false])
  })
})
