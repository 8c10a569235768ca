import assert from 'node:assert/strict'
import { SharedRoom } from './shared-room.ts'

describe('a shared room', () => {
  it('knows who holds the most, and its oldest item', () => {
    const room = new SharedRoom<string, number>()
    assert.equal(room.most(), undefined)
    assert.equal(room.most('a'), undefined)
    for (const [holder, item] of [['a', 1], ['b', 2], ['b', 3], ['a', 4]] as const) room.add(holder, item) // prettier-ignore
    assert.deepEqual(room.most(), { holder: 'a', oldest: 1 })
    assert.deepEqual(room.most('b'), { holder: 'b', oldest: 2 }, 'of two that hold as much')
    room.remove('a', 1)
    room.remove('a', 1)
    assert.equal(room.count, 3)
    assert.deepEqual(room.most('c'), { holder: 'b', oldest: 2 })
  })
})
