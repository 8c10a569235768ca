import assert from 'node:assert/strict'
import type { SpanRuntime, TurnEntry, TurnResult } from '@skein/node'
import { seededRandom } from '@skein/protocol'
import { VirtualClock } from '../kernel/virtual-clock.ts'
import { devicePresets } from './device-presets.ts'
import { modelPresets } from './model-presets.ts'
import { TimedRuntime } from './timed-runtime.ts'

const span = { start: 0, end: 2 }
const entry = (cache: string): TurnEntry => ({
  ...{ cache, span, position: 0, rows: 1, exact: false, encoding: 'raw' },
  input: new Uint8Array(32)
})

describe('a runtime whose turns take time', () => {
  it('computes turns that overlap in the order of the calls, one after another, whatever becomes of those before', async () => {
    const clock = new VirtualClock()
    const log: string[] = []
    const note = (what: string): number => log.push(`${what} at ${clock.monotonicMs()}`)
    let cache = ''
    const inner = {
      info: { span },
      run: ([first]: readonly TurnEntry[]): Promise<TurnResult> => {
        cache = first!.cache
        note(`${cache} begins`)
        return Promise.resolve({ outputs: [], computeUs: 0 })
      }
    } as unknown as SpanRuntime
    const run = (name: string): Promise<unknown> => runtime.run([entry(name)])
    const late: Array<Promise<unknown>> = []
    const compute = async (): Promise<void> => {
      const own = cache
      await clock.sleep(2)
      // Called as the last turn ends, and once it has ended.
      if (own === 'c') late.push(run('d').then(() => run('e')))
      note(`${own} ends`)
      if (own === 'b') throw new Error('this turn fails')
    }
    const runtime = new TimedRuntime(inner, {
      ...{ clock, compute, random: seededRandom(1), condition: { slowFactor: 1, lieShare: 0 } },
      model: modelPresets['llama-3-8b']!,
      device: devicePresets['laptop-cpu']!
    })
    const turns = await clock.runUntilSettled(Promise.allSettled([run('a'), run('b'), run('c')]), 'the turns')
    assert.deepEqual(
      turns.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled']
    )
    await clock.runUntilSettled(Promise.all(late), 'the late turns')
    const expected = ['a', 'b', 'c', 'd', 'e'].flatMap((name, index) => [
      `${name} begins at ${2 * index}`,
      `${name} ends at ${2 * index + 2}`
    ])
    assert.deepEqual(log, expected)
  })
})
