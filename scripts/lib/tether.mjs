/**
 * Loaded into a process by `node --import`: ends it when the process that started it is gone, however that ended. The tether is
 * a pipe on standard input, which the operating system closes with its owner. `release` lets the process live on alone.
 * What the owner can no longer clean up is the folder named by SKEIN_TETHER_FOLDER, so that goes too.
 */
import { rmSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

// Worker threads inherit --import, and have a standard input of their own.
if (isMainThread) {
  process.stdin.on('data', (bytes) => {
    if (bytes.toString().includes('release')) process.stdin.removeListener('close', end)
  })
  process.stdin.on('error', end)
  process.stdin.on('close', end)
  // It must not keep the process alive.
  process.stdin.unref()
}

function end() {
  try {
    const folder = process.env.SKEIN_TETHER_FOLDER
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  } catch {
    // Another node of the same owner removes the same folder at this moment.
  }
  process.kill(process.pid, 'SIGKILL')
}
