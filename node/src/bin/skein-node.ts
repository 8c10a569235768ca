#!/usr/bin/env node
import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { catchSignals } from '../cli/early-signals.ts'
import type { NodeProcess } from '../daemon/run-node.ts'

// Before all that takes long to load.
const onStop = catchSignals(['SIGINT', 'SIGTERM'])
// As long as there is no state to log, the signal that asks for it must not kill the node.
process.on('SIGUSR2', () => {})
const [{ nodeCommand }, { runCommand, wantsJson }, { logFailure, runNode }] = await Promise.all([
  import('../cli/node-options.ts'),
  import('../cli/run-command.ts'),
  import('../daemon/run-node.ts')
])

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

const host: NodeProcess = {
  env: process.env,
  stdout: process.stdout,
  onStop,
  onReport: (listener) => {
    process.on('SIGUSR2', listener)
    return () => void process.off('SIGUSR2', listener)
  },
  exit: (code) => process.exit(code)
}

// Every channel that waits listens to the node's shutdown: many listeners are no leak here.
setMaxListeners(0)
// The reader of the log went away: a node does not stop for that.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})
const command = nodeCommand(manifest.version, (options) => runNode(options, host))
const exitCode = await runCommand(command, process.argv, {
  onFailure: (failure) => {
    if (wantsJson(process.argv.slice(2), process.env)) logFailure(host, failure)
  }
})
// At its end nothing of the node is left; what libraries may still hold (timers, sockets) is no reason to stay.
process.exit(exitCode)
