#!/usr/bin/env node
import { spawn } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runSkeinSim } from '../cli/program.ts'
import { realEngine } from '../cli/real-engine.ts'
import type { ChildResult } from '../cli/sim-io.ts'

// As in skein-node, whose code runs here: every channel that waits listens to its node's shutdown, and that is no leak.
setMaxListeners(0)
const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

/** Larger outputs are no summaries of runs. */
const maxOutputChars = 64_000_000

async function runChild(argv: readonly string[], signal: AbortSignal): Promise<ChildResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGTERM'
    })
    const texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        if (texts[name].length < maxOutputChars) texts[name] += text
      })
    }
    // An abort is told by the signal itself; anything else is a process that cannot be started.
    child.on('error', (error) => (signal.aborted ? undefined : reject(error)))
    child.on('close', (code) => resolve({ exitCode: code ?? 1, ...texts }))
  })
}

// A reader that goes away has what it wanted; what a full disk does not take is lost, and the run was for it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return
  process.stderr.write(`skein-sim: what was to be written is lost: ${error.message}\n`)
  process.on('exit', (code) => {
    if (code === 0) process.exitCode = 1
  })
})

process.exitCode = await runSkeinSim(process.argv.slice(2), {
  version: manifest.version,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  engine: realEngine,
  runChild,
  parallelism: availableParallelism(),
  onInterrupt: (listener) => {
    const signals = ['SIGINT', 'SIGTERM'] as const
    for (const signal of signals) process.on(signal, listener)
    return () => {
      for (const signal of signals) process.off(signal, listener)
    }
  }
})
// A run that was interrupted may still be under way, and has nothing more to say; what was written must get out.
if (process.exitCode === 130) process.stdout.write('', () => process.exit())
