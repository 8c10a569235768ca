import assert from 'node:assert/strict'
import type { Random } from '../ports/random.ts'

/** What every implementation of the {@link Random} port must do. Call it inside a `describe`. */
export function randomCompliance(setup: () => Random): void {
  describe('random compliance', () => {
    let random: Random
    beforeEach(() => {
      random = setup()
    })

    it('draws 32-bit integers that use every bit', () => {
      let ones = 0
      let zeros = 0
      for (let draw = 0; draw < 200; draw++) {
        const value = random.uint32()
        assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** 32)
        ones |= value
        zeros |= ~value
      }
      assert.equal(ones >>> 0, 0xffffffff)
      assert.equal(zeros >>> 0, 0xffffffff)
    })

    it('draws floats from 0 to below 1 around one half', () => {
      let sum = 0
      for (let draw = 0; draw < 4000; draw++) {
        const value = random.float()
        assert.ok(value >= 0 && value < 1)
        sum += value
      }
      // Twelve standard deviations: never by chance.
      assert.ok(Math.abs(sum / 4000 - 0.5) < 0.055)
    })

    it('draws below a bound, evenly, and refuses impossible bounds', () => {
      const counts = [0, 0, 0]
      for (let draw = 0; draw < 3000; draw++) counts[random.below(3)]! += 1
      for (const count of counts) assert.ok(count > 700 && count < 1300, counts.join())
      assert.equal(random.below(1), 0)
      assert.ok(random.below(2 ** 32) < 2 ** 32)
      for (const bound of [0, -1, 1.5, NaN, 2 ** 32 + 1]) {
        assert.throws(() => random.below(bound), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
      }
    })

    it('draws bytes of any length', () => {
      for (const length of [0, 1, 3, 4, 33]) assert.equal(random.bytes(length).length, length)
      assert.notDeepEqual(random.bytes(32), random.bytes(32))
      assert.equal(new Set(random.bytes(65536)).size, 256)
    })

    it('forks generators that differ from it and from each other', () => {
      const draws = [random, random.fork('a'), random.fork('b'), random.fork('a').fork('b')].map((each) => each.bytes(16).join())
      assert.equal(new Set(draws).size, 4)
    })
  })
}
