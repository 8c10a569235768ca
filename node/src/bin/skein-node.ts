#!/usr/bin/env node
import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { nodeCommand } from '../cli/node-options.ts'
import { runCommand } from '../cli/run-command.ts'
import { type NodeProcess, runNode } from '../daemon/run-node.ts'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

function onSignals(signals: readonly NodeJS.Signals[], listener: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, listener)
  return () => {
    for (const signal of signals) process.off(signal, listener)
  }
}

const host: NodeProcess = {
  stdout: process.stdout,
  onStop: (listener) => onSignals(['SIGINT', 'SIGTERM'], listener),
  onReport: (listener) => onSignals(['SIGUSR2'], listener),
  exit: (code) => process.exit(code)
}

// Every channel that waits listens to the node's shutdown: many listeners are no leak here.
setMaxListeners(0)
// The reader of the log went away: a node does not stop for that.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})
const command = nodeCommand(manifest.version, (options) => runNode(options, host))
// At its end nothing of the node is left; what libraries may still hold (timers, sockets) is no reason to stay.
process.exit(await runCommand(command, process.argv))
