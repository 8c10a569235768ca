import assert from 'node:assert/strict'
import { SpeedWatch } from './speed-watch.ts'

/** Steps ten times a second, of `stepMs` each. @returns what was to be announced, and when */
function run(watch: SpeedWatch, fromMs: number, untilMs: number, stepMs: (index: number) => number): [atMs: number, stepMs: number][] {
  const announced: [number, number][] = []
  for (let nowMs = fromMs, index = 0; nowMs < untilMs; nowMs += 100, index++) {
    const value = watch.observe(nowMs, stepMs(index))
    if (value !== undefined) announced.push([nowMs, value])
  }
  return announced
}

describe('SpeedWatch', () => {
  it('lets the announced time be while the median is within a third of it', () => {
    const watch = new SpeedWatch(0, 30)
    assert.deepEqual(
      run(watch, 0, 3_600_000, (index) => (index % 3 === 0 ? 500 : index % 2 === 0 ? 39 : 21)),
      []
    )
  })

  it('takes the median when it has been further away for a minute, in either direction', () => {
    const watch = new SpeedWatch(0, 30)
    run(watch, 0, 400_000, () => 30)
    const slower = run(watch, 400_000, 500_000, () => 60)
    assert.equal(slower.length, 1)
    assert.ok(slower[0]![0] >= 460_000 && slower[0]![0] < 466_000, `at ${slower[0]![0]}`)
    assert.equal(slower[0]![1], 60)
    const faster = run(watch, 1_000_000, 1_100_000, () => 30)
    assert.deepEqual(
      faster.map(([, ms]) => ms),
      [30]
    )
  })

  it('waits five minutes from one announcement to the next, the first one included', () => {
    const watch = new SpeedWatch(0, 30)
    const times = run(watch, 0, 1_000_000, (index) => (index % 4_000 < 2_000 ? 100 : 30)).map(([atMs]) => atMs)
    assert.ok(times.length >= 2, String(times))
    for (const [index, atMs] of times.entries()) assert.ok(atMs - (times[index - 1] ?? 0) >= 300_000, String(times))
  })

  it('does not count a time that comes back before the minute is over, nor one that goes to the other side', () => {
    for (const slow of [(index: number) => (index % 600 < 400 ? 100 : 30), (index: number) => (index % 800 < 400 ? 100 : 1)]) {
      const watch = new SpeedWatch(0, 30)
      run(watch, 0, 400_000, () => 30)
      assert.deepEqual(run(watch, 400_000, 2_000_000, slow), [])
    }
  })

  it('says nothing on the word of a few steps', () => {
    const watch = new SpeedWatch(0, 30)
    for (let index = 0; index < 32; index++) assert.equal(watch.observe(1_000_000 * index, 1000), undefined)
  })
})
