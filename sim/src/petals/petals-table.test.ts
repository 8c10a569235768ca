import assert from 'node:assert/strict'
import { modelPresets } from '../compute/model-presets.ts'
import { realEngine } from '../cli/real-engine.ts'
import { petalsTableLines } from '../cli/petals-table.ts'
import { turnCost } from '../compute/cost-model.ts'
import { calibrate } from './calibrate.ts'
import { calibratedSetup, published, sequenceLengths } from './constants.ts'
import { petalsTable, type PetalsTable } from './petals-table.ts'
import { petalsScenario, setups, type Unknowns } from './setups.ts'

/** What was measured when this was written, a little rounded up; docs/petals-table.md says what is behind it. */
const largestError = { emulated: 0.11, 'real world': 0.27, offloading: 0.01 }

describe("the table of Petals' paper", function () {
  this.timeout(180_000)
  let unknowns: Unknowns
  let found: PetalsTable
  before(async () => {
    unknowns = await calibrate()
    found = await petalsTable({ unknowns })
  })

  it('has a line for each published figure, and a ring beside each star', () => {
    const names = Object.keys(published)
    for (const policy of ['star', 'ring'] as const) {
      const rows = found.rows.filter((row) => row.policy === policy)
      assert.deepEqual(new Set(rows.map(({ setup }) => setup)), new Set(names))
      assert.equal(rows.length, names.length * sequenceLengths.length)
    }
    assert.equal(found.rows.filter(({ policy }) => policy === 'offloading').length, 4)
    for (const row of found.rows) {
      assert.ok(row.predicted > 0 && Number.isFinite(row.predicted))
      if (row.policy === 'ring') assert.equal(row.published, null)
      else assert.ok(Math.abs(row.predicted / (row.published as number) - 1 - (row.relativeError as number)) < 1e-12)
    }
  })

  it('goes through every server of a swarm', () => {
    for (const { setup, policy, stages } of found.rows) {
      if (policy !== 'offloading') assert.equal(stages, Number.parseInt(setup, 10))
    }
  })

  it('meets the calibrated row, and only that is called so', () => {
    const rows = found.rows.filter(({ calibrated }) => calibrated)
    assert.deepEqual(
      rows.map(({ setup, policy, sequenceLength }) => [setup, policy, sequenceLength]),
      sequenceLengths.map((length) => [calibratedSetup, 'star', length])
    )
    for (const { relativeError } of rows) assert.ok(Math.abs(relativeError as number) < 1e-4)
  })

  it('predicts the others within the stated errors', () => {
    for (const { setup, policy, sequenceLength, relativeError } of found.rows) {
      if (relativeError === null) continue
      const kind = policy === 'offloading' ? 'offloading' : setup.startsWith('14') ? 'real world' : 'emulated'
      assert.ok(Math.abs(relativeError) <= largestError[kind], `${setup}, ${sequenceLength}: ${relativeError}`)
    }
  })

  it('finds the ring faster than the star, the more so the more hops and delay there are', () => {
    const gain = (setup: string): number => {
      const of = (policy: string): number =>
        found.rows.find((row) => row.setup === setup && row.policy === policy && row.sequenceLength === 128)?.predicted ?? Number.NaN
      return of('ring') / of('star')
    }
    for (const { name } of setups) assert.ok(gain(name) > 1, name)
    assert.ok(gain('12 servers, 100 Mbit/s, 100 ms') > gain('3 servers, 100 Mbit/s, 100 ms'))
    assert.ok(gain('3 servers, 100 Mbit/s, 100 ms') > gain('3 servers, 100 Mbit/s, < 5 ms'))
  })

  it('gives the same runs again', async () => {
    const again = await petalsTable({ unknowns, setups: setups.slice(-1), policies: ['star'] })
    const before = found.rows.filter(({ setup, policy }) => setup === setups.at(-1)?.name && policy === 'star')
    assert.deepEqual(again.rows, before)
  })

  it('is shown with the ring beside the star', () => {
    const lines = petalsTableLines(found)
    const shown = lines.filter((line) => /^(3|12|14) servers|^offloading/.test(line))
    assert.equal(shown.length, 18)
    assert.equal(shown.filter((line) => line.includes('calibrated')).length, 2)
    assert.match(lines.join('\n'), /12 servers, 100 Mbit\/s, 100 ms +128 +0\.57 +0\.51 +-10\.\d % +0\.7\d/)
  })

  it('is run by its bare name', async () => {
    const study = realEngine.studies['petals-table']
    assert.ok(study !== undefined)
    await assert.rejects(study.run({ signal: AbortSignal.abort(new Error('enough')), onProgress: () => {} }), /enough/)
  })

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await assert.rejects(petalsTable({ signal, unknowns }), /enough/)
  })
})

describe('the cost of a past', () => {
  it('is charged once a turn for each row of it', () => {
    const setup = setups[0]
    const model = modelPresets['bloom-176b']
    assert.ok(setup !== undefined && model !== undefined)
    const { nodes } = petalsScenario(setup, 128, 'star', { clientMsPerStep: 200, pastNsPerRowPerBlock: 500 })
    const device = nodes[0]?.device
    assert.ok(device !== undefined)
    const overheadUs = (pastRows: number): number => turnCost(model, device, [{ rows: 1, pastRows, blocks: 24 }]).overheadUs
    assert.ok(Math.abs(overheadUs(1000) - overheadUs(0) - (device.overheadNsPerPastRow ?? 0)) < 1e-6)
    assert.equal(
      turnCost(model, { ...device, overheadNsPerPastRow: 0 }, [{ rows: 1, pastRows: 1000, blocks: 24 }]).overheadUs,
      overheadUs(0)
    )
  })
})
