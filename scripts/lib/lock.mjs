/** A lock between processes that a killed holder does not keep: the file names its processes, and the living are asked. */
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 200
/** A holder writes its id at once after it made the file; a file that is still empty after this was left by a kill. */
const EMPTY_FILE_GRACE_MS = 5_000

/**
 * Runs `work` while no other process holds the lock at `path`.
 *
 * @template T
 * @param {string} path
 * @param {(share: (pid: number) => void) => Promise<T>} work gets a function by which a child process holds the lock too: if
 *   this process is killed, the child goes on, and nobody may start before it has ended
 * @param {(holder: number) => void} onWait called once when another process has the lock
 * @returns {Promise<T>}
 */
export async function withLock(path, work, onWait) {
  mkdirSync(dirname(path), { recursive: true })
  let told = false
  while (!tryTake(path)) {
    const holder = holderOf(path)
    if (holder === 'gone') {
      breakLock(path)
      continue
    }
    if (!told && typeof holder === 'number') {
      told = true
      onWait(holder)
    }
    await sleep(POLL_MS)
  }
  const release = () => rmSync(path, { force: true })
  process.once('exit', release)
  try {
    return await work((pid) => appendFileSync(path, ` ${pid}`))
  } finally {
    process.off('exit', release)
    release()
  }
}

function tryTake(path) {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, `${process.pid}`)
    closeSync(file)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** The process id of a holder that lives, `gone` when none does, or `unknown` while the file is being written or removed. */
function holderOf(path) {
  try {
    const pids = readPids(path)
    if (pids.length > 0) return pids.find(isAlive) ?? 'gone'
    return Date.now() - statSync(path).mtimeMs > EMPTY_FILE_GRACE_MS ? 'gone' : 'unknown'
  } catch (error) {
    if (error.code === 'ENOENT') return 'unknown'
    throw error
  }
}

function readPids(path) {
  return readFileSync(path, 'utf8')
    .split(' ')
    .map(Number)
    .filter((pid) => pid > 0)
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Moves the file away before deleting it. If a new holder took the lock in between, its file is put back. */
function breakLock(path) {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (error.code === 'ENOENT') return
    throw error
  }
  if (readPids(aside).some(isAlive)) renameSync(aside, path)
  else rmSync(aside, { force: true })
}
