import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describeError, InvalidArgumentError } from '@skein/protocol'
import { statOf } from './stat-of.ts'

const lockName = '.skein-sim.lock'

/**
 * Runs `work` with a folder that is there, can be written to, and is nobody else's until the work has ended: two runs that
 * write into one folder would leave a page of the one beside a record of the other. Without a folder it just runs.
 *
 * @throws InvalidArgumentError before the work begins; whatever the work throws
 */
export async function withOutFolder<T>(folder: string | undefined, work: () => Promise<T>): Promise<T> {
  if (folder === undefined) return await work()
  const lock = join(folder, lockName)
  makeFolder(folder)
  takeLock(folder, lock)
  try {
    return await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

/** Makes a folder and those that it is in. @throws InvalidArgumentError */
export function makeFolder(folder: string): void {
  const stats = statOf(folder)
  if (stats?.isDirectory() === true) return
  if (stats !== undefined) throw new InvalidArgumentError(`--out: ${folder} is a file; expected a folder`)
  const parent = dirname(resolve(folder))
  if (parent !== resolve(folder)) makeFolder(parent)
  try {
    // Not with `recursive`: where nothing can be made, such as below /proc, Node.js tries for ever.
    mkdirSync(folder)
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if (statOf(folder)?.isDirectory() === true) return
    throw new InvalidArgumentError(`--out: the folder ${folder} cannot be made: ${describeError(error)}`, { cause: error })
  }
}

function takeLock(folder: string, lock: string): void {
  for (let attempt = 0; ; attempt++) {
    try {
      const file = openSync(lock, 'wx')
      writeSync(file, String(process.pid))
      closeSync(file)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new InvalidArgumentError(`--out: ${folder} cannot be written to: ${describeError(error)}`, { cause: error })
      }
      const owner = ownerOf(lock)
      if (owner !== undefined || attempt > 2) {
        throw new InvalidArgumentError(
          `--out: another run${owner === undefined ? '' : ` (process ${owner})`} writes into ${folder}: wait for it, or give each run a folder of its own`
        )
      }
      // Its run was killed.
      rmSync(lock, { force: true })
    }
  }
}

/** The process that holds the lock, if it is alive. */
function ownerOf(lock: string): number | undefined {
  try {
    const pid = Number(readFileSync(lock, 'utf8'))
    if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
    process.kill(pid, 0)
    return pid
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? Number(readFileSync(lock, 'utf8')) : undefined
  }
}
