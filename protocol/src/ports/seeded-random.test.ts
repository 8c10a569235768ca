import assert from 'node:assert/strict'
import { randomCompliance } from '../testing/random-compliance.ts'
import { seededRandom } from './seeded-random.ts'

describe('seededRandom', () => {
  randomCompliance(() => seededRandom(7))

  it('repeats itself for the same seed, and never changes between releases', () => {
    assert.deepEqual([...seededRandom(1).bytes(8)], [...seededRandom(1).bytes(8)])
    assert.notDeepEqual(seededRandom(1).bytes(8), seededRandom('1').bytes(8))
    assert.deepEqual([seededRandom(42).uint32(), seededRandom('skein').below(1000)], [1682426109, 822])
  })

  it('forks by name, whatever was drawn before', () => {
    const fresh = seededRandom(3)
    const used = seededRandom(3)
    used.bytes(100)
    assert.deepEqual(fresh.fork('x').bytes(8), used.fork('x').bytes(8))
    assert.notDeepEqual(fresh.fork('a').fork('b').bytes(8), fresh.fork('a/1:b').bytes(8))
  })
})
