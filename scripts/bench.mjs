/** `npm run bench`: installs and builds what is missing, then runs the benchmarks of test/src/bench with the same arguments. */
import { ensureBuilt } from './lib/build.mjs'
import { ensureInstalled } from './lib/install.mjs'
import { runNode } from './lib/run.mjs'

await ensureInstalled()
const { ok, output } = await ensureBuilt()
if (ok) {
  const { code } = await runNode(['--enable-source-maps', 'test/dist/bench/index.js', ...process.argv.slice(2)])
  process.exitCode = code
} else {
  console.error(output)
  process.exitCode = 1
}
