import assert from 'node:assert/strict'
import { VirtualClock } from '../kernel/virtual-clock.ts'
import { devicePresets } from './device-presets.ts'
import { HostProcess } from './host-process.ts'
import { Machine } from './machine.ts'

const device = { ...devicePresets['laptop-cpu']!, overheadUsPerMessage: 0, overheadUsAfterPause: 0 }

/** When each job is done, of `[begins, takes]` in microseconds. */
async function endsOf(cores: number, jobs: ReadonlyArray<readonly [beginUs: number, us: number]>): Promise<number[]> {
  const clock = new VirtualClock()
  const machine = new Machine(clock, cores)
  const ends: number[] = []
  jobs.forEach(([beginUs, us], index) => {
    clock.setTimer(beginUs / 1000, () => machine.begin(us, () => (ends[index] = clock.nowUs)))
  })
  await clock.runToEnd()
  return ends
}

describe('a machine that is shared', () => {
  it('gives each job a core while there are cores', async () => {
    assert.deepEqual(
      await endsOf(2, [
        [0, 1000],
        [500, 3000]
      ]),
      [1000, 3500]
    )
  })

  it('takes twice as long for four equal jobs on two cores, and three times for six', async () => {
    assert.deepEqual(await endsOf(2, Array(4).fill([0, 1000])), Array(4).fill(2000))
    assert.deepEqual(await endsOf(2, Array(6).fill([100, 1000])), Array(6).fill(3100))
  })

  it('shares its cores evenly between long and short jobs', async () => {
    // On one core: three share it until each has had 1000; two until each has had 2000; the last is alone.
    assert.deepEqual(
      await endsOf(1, [
        [0, 1000],
        [0, 2000],
        [0, 5000]
      ]),
      [3000, 5000, 8000]
    )
    // The second comes when the first has had 600 of its 1000.
    assert.deepEqual(
      await endsOf(1, [
        [0, 1000],
        [600, 400],
        [5000, 7]
      ]),
      [1400, 1400, 5007]
    )
  })

  it('does all the work there is at the rate of its cores', async () => {
    const jobs = Array.from({ length: 50 }, (_, index) => [(index * 37) % 11, 1000 + ((index * 7919) % 997)] as const)
    const ends = await endsOf(3, jobs)
    const work = jobs.reduce((sum, [, us]) => sum + us, 0)
    const most = Math.max(...ends)
    // The last jobs, of at most two thousand, may leave cores idle.
    assert.ok(most >= work / 3 && most <= work / 3 + 2000, `${work} of work on 3 cores took ${most}`)
    assert.deepEqual(await endsOf(3, jobs), ends)
  })

  it('stops a job where it is', async () => {
    const clock = new VirtualClock()
    const machine = new Machine(clock, 1)
    const ends: number[] = []
    const other = machine.begin(1000, () => assert.fail('it was taken off'))
    machine.begin(1000, () => ends.push(clock.nowUs))
    clock.setTimer(1, () => assert.equal(machine.take(other), 500))
    await clock.runToEnd()
    assert.deepEqual(ends, [1500])
  })
})

describe('a process', () => {
  it('takes its messages in one after another, while it computes', async () => {
    const clock = new VirtualClock()
    const process = new HostProcess({ clock, device: { ...device, overheadUsPerMessage: 300 } })
    const ends: Array<[string, number]> = []
    const note = (what: string) => (): void => void ends.push([what, clock.nowUs])
    void process.compute(500).then(note('turn'))
    for (const name of ['first', 'second', 'third']) void process.message().then(note(name))
    await clock.runToEnd()
    assert.deepEqual(ends, [
      ['first', 300],
      ['turn', 500],
      ['second', 600],
      ['third', 900]
    ])
  })

  it('takes longer for a message with more bytes', async () => {
    const clock = new VirtualClock()
    const process = new HostProcess({ clock, device: { ...device, overheadUsPerMessage: 300, overheadNsPerMessageByte: 50 } })
    await clock.runUntilSettled(process.message(4000), 'the message')
    assert.equal(clock.nowUs, 500)
  })

  it('pays for a pause of its machine, whoever begins again', async () => {
    const clock = new VirtualClock()
    const machine = new Machine(clock, 2)
    const costs = { ...device, overheadUsAfterPause: 1000 }
    const [a, b] = [new HostProcess({ clock, device: costs, machine }), new HostProcess({ clock, device: costs, machine })]
    const timed = async (process: HostProcess): Promise<number> => {
      const startUs = clock.nowUs
      await process.compute(100)
      return clock.nowUs - startUs
    }
    const after = async (ms: number): Promise<number[]> => {
      await clock.sleep(ms)
      return [await timed(a), await timed(b)]
    }
    const took = (async () => [await after(1), await after(2), await after(1.9)])()
    assert.deepEqual(await clock.runUntilSettled(took, 'the work'), [
      [100, 100],
      [1100, 100],
      [100, 100]
    ])
  })

  it('stands still when it is frozen, and leaves its cores to others', async () => {
    const clock = new VirtualClock()
    const machine = new Machine(clock, 1)
    const [a, b] = [new HostProcess({ clock, device, machine }), new HostProcess({ clock, device, machine })]
    const ends: Array<[string, number]> = []
    void a.compute(1000).then(() => ends.push(['a', clock.nowUs]))
    void b.compute(1000).then(() => ends.push(['b', clock.nowUs]))
    // Until then each has had half of it.
    clock.setTimer(1, () => a.freeze(true))
    clock.setTimer(5, () => a.freeze(false))
    await clock.runToEnd()
    assert.deepEqual(ends, [
      ['b', 1500],
      ['a', 5500]
    ])
  })

  it('never ends what it was at when it is gone', async () => {
    const clock = new VirtualClock()
    const machine = new Machine(clock, 1)
    const [a, b] = [new HostProcess({ clock, device, machine }), new HostProcess({ clock, device, machine })]
    const ends: number[] = []
    void a.compute(1000).then(() => assert.fail('it is gone'))
    void b.compute(1000).then(() => ends.push(clock.nowUs))
    clock.setTimer(1, () => a.end())
    clock.setTimer(1.2, () => void a.compute(100).then(() => assert.fail('it is gone')))
    await clock.runToEnd()
    assert.deepEqual(ends, [1500])
  })
})
