import assert from 'node:assert/strict'
import { seededRandom } from '../ports/seeded-random.ts'
import { silentLogger } from '../ports/logger.ts'
import { ManualClock, testIdentity } from '../testing/index.ts'
import { BootstrapKeeper, type BootstrapKeeperComponents } from './bootstrap-keeper.ts'
import { libp2pLimits } from './libp2p-limits.ts'

const { peerId } = testIdentity('bootstrap')
const minuteMs = 60_000

/** A keeper of one peer, and the times at which it connected. */
class Bench {
  readonly clock = new ManualClock()
  readonly connectsMs: number[] = []
  isConnected = false
  isUp = true
  readonly keeper = new BootstrapKeeper(
    {
      clock: this.clock,
      random: seededRandom(1),
      logger: silentLogger,
      isConnected: () => this.isConnected,
      connect: () => {
        this.connectsMs.push(this.clock.monotonicMs())
        this.isConnected = this.isUp
        return this.isUp ? Promise.resolve() : Promise.reject(new Error('nobody answers'))
      }
    },
    [peerId]
  )

  /** The peer closes each connection that it finds in the middle of a minute. */
  async closing(minutes: number): Promise<void> {
    for (let second = 0; second < 60 * minutes; second += 10) {
      await this.clock.advanceAsync(10_000)
      this.isConnected = false
    }
  }
}

describe('the keeper of bootstrap connections', () => {
  it('connects less and less often to one that closes the connection again and again', async () => {
    const bench = new Bench()
    bench.keeper.start()
    await bench.closing(60)
    const count = bench.connectsMs.length
    assert.ok(count >= 6 && count <= 12, `${count} connects in an hour`)
    const [last, before] = [bench.connectsMs.at(-1)!, bench.connectsMs.at(-2)!]
    assert.ok(last - before > 7 * minuteMs && last - before < 17 * minuteMs, `${last - before} ms between the last two`)
    const stopped = bench.keeper.stop()
    await bench.clock.advanceAsync(0)
    await stopped
  })

  it('connects again within a minute when a connection that has lasted is lost, and soon when the peer is back', async () => {
    const bench = new Bench()
    bench.keeper.start()
    await bench.closing(30)
    await bench.clock.advanceAsync((libp2pLimits.bootstrapMaxPassed + 2) * minuteMs)
    assert.equal(bench.isConnected, true)
    bench.isConnected = false
    bench.isUp = false
    await bench.clock.advanceAsync(2 * minuteMs)
    bench.isUp = true
    await bench.clock.advanceAsync(minuteMs)
    assert.equal(bench.isConnected, true)
    await bench.keeper.stop()
  })

  const make = (more: Partial<BootstrapKeeperComponents>) => {
    const clock = new ManualClock()
    const [warnings, errors]: [unknown[], unknown[]] = [[], []]
    const logger = {
      ...silentLogger,
      warn: (_: string, facts?: object) => void warnings.push(facts),
      error: (_: string, __?: object, error?: unknown) => void errors.push(error)
    }
    const parts = { clock, random: seededRandom('keeper'), logger, isConnected: () => false, connect: async () => {} }
    return { clock, warnings, errors, keeper: new BootstrapKeeper({ ...parts, ...more }, [peerId]) }
  }

  it('tries again whatever is thrown, by what looks and by what dials', async () => {
    const broken = (): never => {
      throw new TypeError('Invalid URL')
    }
    for (const more of [{ isConnected: broken }, { connect: broken }]) {
      const { clock, warnings, errors, keeper } = make(more)
      keeper.start()
      await clock.advanceAsync(libp2pLimits.bootstrapRetryMaxMs)
      assert.ok(warnings.length >= 2, 'it was tried again')
      assert.deepEqual(warnings[0], { peer: peerId, reason: 'Invalid URL' })
      await keeper.stop()
      assert.deepEqual(errors, [])
    }
  })

  it('reports a mistake of its own, which nobody waits for', async () => {
    const mistake = new Error('a mistake')
    const random = {
      ...seededRandom('keeper'),
      float: (): number => {
        throw mistake
      }
    }
    const { clock, errors, keeper } = make({ random })
    keeper.start()
    await clock.advanceAsync(1)
    assert.deepEqual(errors, [mistake])
    await keeper.stop()
  })
})
