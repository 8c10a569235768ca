/** Child processes for the scripts. */
import { spawn } from 'node:child_process'
import { root } from './workspace.mjs'

/** The processes that run now; they are ended with this one, so that Ctrl-C and `kill` leave nothing behind. */
const running = new Set()
let watching = false

function watchSignals() {
  if (watching) return
  watching = true
  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129]
  ]) {
    process.on(signal, () => {
      for (const child of running) child.kill(signal)
      process.exit(exitCode)
    })
  }
}

/**
 * Runs a program to its end. With `capture` its output is collected, else it goes where `stdout` says.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, capture?: boolean, toStderr?: boolean, onSpawn?: (pid: number) => void }} [options]
 * @returns {Promise<{ code: number, output: string, ms: number }>} the exit code, 128 + n after signal n
 */
export function run(command, args, options = {}) {
  watchSignals()
  const started = performance.now()
  const out = options.capture ? 'pipe' : options.toStderr ? 2 : 'inherit'
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: options.env ?? process.env,
      // Windows can start npm's .cmd file only through a shell.
      shell: command.endsWith('.cmd'),
      stdio: ['ignore', out, options.capture ? 'pipe' : 'inherit']
    })
    running.add(child)
    if (child.pid !== undefined) options.onSpawn?.(child.pid)
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', (text) => (output += text))
    child.stderr?.setEncoding('utf8').on('data', (text) => (output += text))
    child.once('error', (error) => {
      running.delete(child)
      reject(error)
    })
    child.once('close', (code, signal) => {
      running.delete(child)
      if (signal !== null) output += `\nended by ${signal}\n`
      resolve({ code: code ?? 128, output, ms: performance.now() - started })
    })
  })
}

/** Runs a JavaScript file with this Node.js. */
export function runNode(args, options) {
  return run(process.execPath, args, options)
}

/** @param {number} ms */
export function formatMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
