import assert from 'node:assert/strict'
import { type PeerId, seededRandom } from '@skein/protocol'
import { draw, meanOf } from '../workload/draw.ts'
import type { Distribution, ScenarioRegion } from '../scenario/scenario.ts'
import { arcSine, cosDegrees, greatCircleKm, sinDegrees } from './great-circle.ts'
import { latencyDataSets } from './latency-data.ts'
import { LatencyTable, maxOneWayMs } from './latency.ts'
import { PairDelays } from './pair-delays.ts'

const frankfurt: ScenarioRegion = { name: 'frankfurt', latitude: 50.11, longitude: 8.68 }
const tokyo: ScenarioRegion = { name: 'tokyo', latitude: 35.68, longitude: 139.69 }
const paris: ScenarioRegion = { name: 'somewhere near Madrid', latitude: 41, longitude: -3 }

describe('great circles', () => {
  it('agree with the functions of Math', () => {
    for (let degrees = -359; degrees < 360; degrees += 0.37) {
      assert.ok(Math.abs(sinDegrees(degrees) - Math.sin((degrees * Math.PI) / 180)) < 1e-14, `sin ${degrees}`)
      assert.ok(Math.abs(cosDegrees(degrees) - Math.cos((degrees * Math.PI) / 180)) < 1e-14, `cos ${degrees}`)
    }
    for (let x = 0; x <= 1; x += 1 / 512) assert.ok(Math.abs(arcSine(x) - Math.asin(x)) < 1e-14, `asin ${x}`)
  })

  it('measure the earth', () => {
    assert.ok(Math.abs(greatCircleKm(frankfurt, tokyo) - 9353) < 30)
    assert.ok(Math.abs(greatCircleKm({ latitude: 90, longitude: 0 }, { latitude: -90, longitude: 0 }) - 20_015) < 1)
    assert.equal(greatCircleKm(tokyo, tokyo), 0)
  })
})

describe('latency models', () => {
  const regions = [frankfurt, tokyo, paris]

  it('of each kind give whole microseconds', () => {
    const constant = new LatencyTable({ kind: 'constant', oneWayMs: 12.5 }, regions)
    assert.deepEqual([constant.oneWayUs(0, 1), constant.roundTripUs(2, 2)], [12_500, 25_000])
    const matrix = new LatencyTable({ kind: 'matrix', oneWayMs: [[1, 2, 3], [4, 5, 6], [7, 8, 9]] }, regions) // prettier-ignore
    assert.deepEqual([matrix.oneWayUs(0, 2), matrix.oneWayUs(2, 0), matrix.meanRoundTripUs(0)], [3000, 7000, 6000])
    const geographic = new LatencyTable({ kind: 'geographic', detour: 1.5, accessMs: 4 }, regions)
    assert.ok(Math.abs(geographic.oneWayUs(0, 1) - (9353 / 199.86) * 1500 - 4000) < 300)
    assert.equal(geographic.oneWayUs(0, 0), 4000)
  })

  it('of measured data take the place of the same name, or the nearest', () => {
    const measured = new LatencyTable({ kind: 'measured', dataSet: 'ibm-cloud-2024' }, regions)
    assert.equal(measured.oneWayUs(0, 1), 116_500)
    assert.equal(measured.oneWayUs(2, 0), 14_500)
    for (const { places, roundTripMs } of Object.values(latencyDataSets)) {
      assert.ok(roundTripMs.length === places.length && roundTripMs.every((row) => row.length === places.length))
    }
  })

  it('know the mean of a distribution, for what is not between two peers', () => {
    const spread: Distribution = { kind: 'uniform', min: 10, max: 30 }
    const table = new LatencyTable({ kind: 'matrix', oneWayMs: [[1, spread, 1], [5, 1, 1], [1, 1, 1]] }, regions) // prettier-ignore
    assert.deepEqual([table.oneWayUs(0, 1), table.oneWayUs(1, 0), table.roundTripUs(0, 1)], [20_000, 5_000, 25_000])
    assert.deepEqual([table.distribution(0, 1), table.distribution(1, 0)], [spread, undefined])
  })

  it('refuse what is impossible', () => {
    const bad = { code: 'ERR_SKEIN_INVALID_ARGUMENT' }
    assert.throws(() => new LatencyTable({ kind: 'constant', oneWayMs: -1 }, regions), bad)
    assert.throws(() => new LatencyTable({ kind: 'matrix', oneWayMs: [[1]] }, regions), bad)
    assert.throws(() => new LatencyTable({ kind: 'measured', dataSet: 'guessed' }, regions), /ibm-cloud-2024/)
    assert.throws(() => new LatencyTable({ kind: 'constant', oneWayMs: 1 }, regions).indexOf('atlantis'), /frankfurt, tokyo/)
  })
})

describe('delays of pairs of peers', () => {
  const spread: Distribution = { kind: 'lognormal', median: 40, sigma: 0.5 }
  const table = new LatencyTable({ kind: 'matrix', oneWayMs: [[1, spread], [spread, 7]] }, [frankfurt, tokyo]) // prettier-ignore
  const peer = (number: number, region = number % 2) => ({ self: `12D3KooWpeer${number}` as PeerId, region })
  const pairs = Array.from({ length: 400 }, (_, index) => [peer(2 * index), peer(2 * index + 1)] as const)

  it('are those of the regions, and of a distribution one of each pair, whoever asks and in whatever order', () => {
    const delays = new PairDelays(table, seededRandom(1))
    const found = pairs.map(([a, b]) => delays.oneWayUs(a, b))
    const again = new PairDelays(table, seededRandom(1))
    assert.deepEqual(pairs.toReversed().map(([a, b]) => again.oneWayUs(a, b)), found.toReversed()) // prettier-ignore
    assert.deepEqual(pairs.map(([a, b]) => delays.oneWayUs(b, a)), found) // prettier-ignore
    assert.notDeepEqual(pairs.map(([a, b]) => new PairDelays(table, seededRandom(2)).oneWayUs(a, b)), found) // prettier-ignore
    assert.ok(new Set(found).size > 390)
    assert.ok(found.every((us) => Number.isInteger(us) && us > 0))
    const mean = found.reduce((sum, us) => sum + us, 0) / found.length
    assert.ok(Math.abs(mean / 1000 / meanOf(spread) - 1) < 0.1, `${mean} us`)
    assert.equal(delays.roundTripUs(peer(1), peer(3)), 14_000)
  })

  it('depend on nothing that is drawn besides', () => {
    const random = seededRandom(1)
    const before = pairs.map(([a, b]) => new PairDelays(table, random).oneWayUs(a, b))
    draw(spread, random)
    const delays = new PairDelays(table, random)
    delays.oneWayUs(peer(1001), peer(1002))
    assert.deepEqual(pairs.map(([a, b]) => delays.oneWayUs(a, b)), before) // prettier-ignore
  })

  it('are no longer than a packet lives', () => {
    const far = new LatencyTable({ kind: 'matrix', oneWayMs: [[{ kind: 'empirical', values: [1, 1e7] }]] }, [frankfurt])
    const delays = new PairDelays(far, seededRandom(1))
    const found = pairs.map(([a, b]) => delays.oneWayUs({ ...a, region: 0 }, { ...b, region: 0 }))
    assert.deepEqual(
      [...new Set(found)].toSorted((a, b) => a - b),
      [1_000, maxOneWayMs * 1000]
    )
  })
})
