/** Prints what c8 measured: one line per package. */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { packageFolders, readJson, root } from './workspace.mjs'

const coverageDir = join(root, 'coverage')
/** Of this process alone, since two runs may go on at once. */
const runDir = join(coverageDir, `run-${process.pid}`)

/** The arguments for c8 before the command that it measures: on the sources, through the source maps, without tests. */
export const c8Arguments = [
  ...['--clean', '--all', '--exclude-after-remap', '--reporter', 'json-summary', '--reports-dir', runDir],
  ...['--temp-directory', join(runDir, 'tmp')],
  ...packageFolders().flatMap((folder) => ['--include', `${folder}/src/**/*.ts`]),
  ...['**/*.test.ts', '**/generated/**', '**/testing/**', 'test/**'].flatMap((pattern) => ['--exclude', pattern])
]

/**
 * Moves c8's figures to `coverage/coverage-summary.json`, for programs, and sums them up.
 *
 * @returns {string[]} lines; empty when there was nothing to measure
 */
export function coverageTable() {
  const summaryPath = join(coverageDir, 'coverage-summary.json')
  const written = join(runDir, 'coverage-summary.json')
  if (!existsSync(written)) return []
  renameSync(written, summaryPath)
  rmSync(runDir, { recursive: true, force: true })
  const rows = new Map()
  for (const [file, figures] of Object.entries(readJson(summaryPath))) {
    const folder = file === 'total' ? 'total' : relative(root, file).split(/[\\/]/)[0]
    const row = rows.get(folder) ?? { lines: [0, 0], branches: [0, 0], functions: [0, 0] }
    for (const [kind, sums] of Object.entries(row)) {
      sums[0] += figures[kind].covered
      sums[1] += figures[kind].total
    }
    rows.set(folder, row)
  }
  const order = [...packageFolders(), 'total'].filter((folder) => rows.has(folder))
  const percent = ([covered, total]) => (total === 0 ? '-' : `${((100 * covered) / total).toFixed(1)} %`).padStart(10)
  return [
    `${'coverage'.padEnd(14)}${'lines'.padStart(10)}${'branches'.padStart(10)}${'functions'.padStart(10)}`,
    ...order.map((folder) => {
      const { lines, branches, functions } = rows.get(folder)
      return `${folder.padEnd(14)}${percent(lines)}${percent(branches)}${percent(functions)}`
    })
  ]
}
