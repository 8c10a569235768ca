/** A lock between processes that a killed holder does not keep: the file names its process, and the living are asked. */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
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
 * @param {() => Promise<T>} work
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
    return await work()
  } finally {
    process.off('exit', release)
    release()
  }
}

function tryTake(path) {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, String(process.pid))
    closeSync(file)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** The holder's process id, `gone` when it no longer lives, or `unknown` while the file is being written or removed. */
function holderOf(path) {
  try {
    const pid = Number(readFileSync(path, 'utf8'))
    if (pid > 0) return isAlive(pid) ? pid : 'gone'
    return Date.now() - statSync(path).mtimeMs > EMPTY_FILE_GRACE_MS ? 'gone' : 'unknown'
  } catch (error) {
    if (error.code === 'ENOENT') return 'unknown'
    throw error
  }
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
  const pid = Number(readFileSync(aside, 'utf8'))
  if (pid > 0 && isAlive(pid)) renameSync(aside, path)
  else rmSync(aside, { force: true })
}
