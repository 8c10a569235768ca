import { table } from '@skein/coordinator'
import { petalsTable, type PetalsRow, type PetalsTable } from '../petals/petals-table.ts'
import type { Study } from './engine.ts'

/** `skein-sim run petals-table`. */
export const petalsTableStudy: Study = {
  question: "Does the simulator predict the table of Petals' paper, and what would a ring have given?",
  run: async (options) => {
    const found = await petalsTable(options)
    return { json: { calibration: found.unknowns, rows: found.rows }, lines: petalsTableLines(found), failed: false }
  }
}

/** The table for people: a line for each published figure. */
export function petalsTableLines({ unknowns, rows }: PetalsTable): string[] {
  const steps = (value: number | null): string => value?.toFixed(2) ?? ''
  const percent = ({ calibrated, relativeError }: PetalsRow): string => {
    if (calibrated) return 'calibrated'
    return relativeError === null ? '' : `${relativeError < 0 ? '' : '+'}${(100 * relativeError).toFixed(1)} %`
  }
  // The ring stands beside the star, not below it.
  const rings = new Map(rows.filter(({ policy }) => policy === 'ring').map((row) => [`${row.setup} ${row.sequenceLength}`, row]))
  const shown = rows
    .filter(({ policy }) => policy !== 'ring')
    .map((row) => {
      const ring = rings.get(`${row.setup} ${row.sequenceLength}`)
      const { setup, sequenceLength, published, predicted } = row
      return [setup, String(sequenceLength), steps(published), steps(predicted), percent(row), steps(ring?.predicted ?? null)]
    })
  const worst = Math.max(...rows.map(({ relativeError }) => Math.abs(relativeError ?? 0)))
  return [
    'Single-session steps per second, BLOOM-176B in 8 bits (arXiv 2209.01188, section 3.3)',
    '',
    ...table(['setup', 'length', 'published', 'predicted', 'error', 'ring'], shown, new Set([1, 2, 3, 4, 5])),
    '',
    `Calibrated on one row: the client takes ${unknowns.clientMsPerStep.toFixed(1)} ms a step, a row of the past ${unknowns.pastNsPerRowPerBlock.toFixed(0)} ns in each block.`,
    `The largest error is ${(100 * worst).toFixed(1)} %. docs/petals-table.md says where it comes from.`
  ]
}
