/**
 * Loaded into a process by `node --import`: ends it when the process that started it is gone, however that ended. The tether is
 * a pipe on standard input, which the operating system closes with its owner. `release` lets the process live on alone.
 */
process.stdin.on('data', (bytes) => {
  if (bytes.toString().includes('release')) process.stdin.removeListener('close', end)
})
process.stdin.on('error', end)
process.stdin.on('close', end)
// It must not keep the process alive.
process.stdin.unref()

function end() {
  process.kill(process.pid, 'SIGKILL')
}
