#!/usr/bin/env node
import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { catchSignals } from '@skein/node/early-signals'
import type { Storage } from '@skein/protocol'
import type { ConnectOptions, SwarmClient } from '../client/types.ts'

// Before all that takes long to load.
const listenToSignals = catchSignals(['SIGINT', 'SIGTERM'])
const [{ defaultDataFolder }, { runSkein }] = await Promise.all([import('@skein/node'), import('../cli/program.ts')])

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

// Loaded when it is needed: the network and the runtime take longer to load than `--help` may take.
async function connect(options: ConnectOptions): Promise<SwarmClient> {
  const client = await import('../client/connect.node.ts')
  return client.connect(options)
}

async function storage(folder: string | undefined): Promise<Storage> {
  const { fileStorage } = await import('@skein/protocol/node')
  return fileStorage(folder ?? defaultDataFolder())
}

// Everything that waits listens to one signal for Ctrl-C: many listeners are no leak here.
setMaxListeners(0)
process.exitCode = await runSkein(process.argv.slice(2), {
  version: manifest.version,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  connect,
  storage,
  onInterrupt: (listener) => listenToSignals(() => listener()),
  exit: (code) => process.exit(code)
})
// Standard input that nobody has read to its end would keep the process alive.
process.stdin.unref?.()
