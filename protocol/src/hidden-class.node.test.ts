import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import { merged } from './merged.ts'
import { StepLog } from './session/step-log.ts'

setFlagsFromString('--allow-natives-syntax')
/** Whether two objects have one hidden class. */
const haveSameClass = runInThisContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean

/** All that follow one of the kinds of values that a field had so far. */
function assertShared(make: (value: number) => object): void {
  // Fields have held whole numbers, others and large ones: only then does V8 11.3 go astray.
  for (const value of [1, 2, 0.5, 2 ** 40]) for (let times = 0; times < 50; times++) make(value)
  assert.ok(haveSameClass(make(0.25), make(0.75)), 'two objects of one kind have hidden classes of their own')
}

describe('hidden classes', () => {
  it('are shared by what `merged` makes', () => {
    const defaults = { a: 1, b: 2, c: 3 }
    assertShared((value) => merged(defaults, { b: value, other: {} }))
    assert.deepEqual(merged(defaults, { b: 7, d: 8 }), { a: 1, b: 7, c: 3, d: 8 })
  })

  it('are shared by the segments of logs', () => {
    assertShared((value) => {
      const log = new StepLog<Uint8Array>(true)
      const data = new Uint8Array(4)
      log.record({ seq: 1, position: 0, rows: 1, want: 'last', frame: 1, computeUs: value, bytesPerRow: 4, data })
      return log.segments[0]!
    })
  })
})
