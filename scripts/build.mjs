/** `npm run build`: installs what is missing and compiles what changed. */
import { ensureBuilt } from './lib/build.mjs'
import { ensureInstalled } from './lib/install.mjs'

await ensureInstalled()
const { built, ok, output } = await ensureBuilt()
if (!ok) console.error(output)
else if (!built) console.error('up to date')
process.exitCode = ok ? 0 : 1
