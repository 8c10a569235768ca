import assert from 'node:assert/strict'
import type { ScenarioRegion } from '../scenario/scenario.ts'
import { arcSine, cosDegrees, greatCircleKm, sinDegrees } from './great-circle.ts'
import { latencyDataSets } from './latency-data.ts'
import { LatencyTable } from './latency.ts'

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

  it('refuse what is impossible', () => {
    const bad = { code: 'ERR_SKEIN_INVALID_ARGUMENT' }
    assert.throws(() => new LatencyTable({ kind: 'constant', oneWayMs: -1 }, regions), bad)
    assert.throws(() => new LatencyTable({ kind: 'matrix', oneWayMs: [[1]] }, regions), bad)
    assert.throws(() => new LatencyTable({ kind: 'measured', dataSet: 'guessed' }, regions), /ibm-cloud-2024/)
    assert.throws(() => new LatencyTable({ kind: 'constant', oneWayMs: 1 }, regions).indexOf('atlantis'), /frankfurt, tokyo/)
  })
})
