/**
 * `npm run quickstart`: a swarm on this machine answers a prompt, loses a node in the middle of the answer, and answers the same.
 *
 *   npm run quickstart                            the demonstration
 *   npm run quickstart -- --prompt "Who are you?"  with another prompt
 *   npm run quickstart -- --keep                  leaves the swarm running, and says how to use it
 *   npm run quickstart -- --json                  the last line of standard output is one object {first, withKill, sameText}
 *
 * Exit codes: 0 done, 1 failed (also when the two texts differ), 2 bad usage, 130 interrupted.
 */
import { parseArgs } from 'node:util'
import { ensureBuilt } from './lib/build.mjs'
import { ensureInstalled } from './lib/install.mjs'
import { requireNode } from './lib/workspace.mjs'

const usage = 'npm run quickstart -- [--prompt TEXT] [--keep] [--json]'
const options = readOptions()

try {
  requireNode()
  await ensureInstalled()
  const { ok, output } = await ensureBuilt()
  if (!ok) throw new Error(`the build failed:\n${output}`)
  // Only now, since the steps above end their own processes at a signal. The nodes are ended by the exit hook of their swarm.
  onSignals((exitCode) => process.exit(exitCode))
  // Not before: it imports what was just built.
  const { quickstart } = await import('./lib/quickstart.mjs')
  process.exitCode = (await quickstart(options)) ? 0 : 1
} catch (error) {
  console.error(`quickstart: ${error.message}`)
  if (process.env.SKEIN_DEBUG !== undefined) console.error(error.stack)
  process.exitCode = 1
}
// A handle that somebody forgot to close must not keep the demonstration from ending.
process.exit()

function readOptions() {
  const spec = {
    prompt: { type: 'string', default: 'How does a swarm generate text?' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false }
  }
  try {
    const { values } = parseArgs({ options: spec })
    if (values.prompt.trim() === '') throw new Error('the prompt is empty')
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    return values
  } catch (error) {
    console.error(`quickstart: ${error.message}\nusage: ${usage}`)
    process.exit(2)
  }
}

function onSignals(exit) {
  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129]
  ]) {
    process.prependListener(signal, () => exit(exitCode))
  }
}
