import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { isMissing } from './file-storage.node.ts'

/** Who holds a lock: enough to tell a living process from another one that got its number later. */
interface Holder {
  readonly pid: number
  /** Clock ticks from the machine's start to the process's, and the name of that start; empty where there is no /proc. */
  readonly startTicks: string
  readonly bootId: string
}

export interface ProcessLock {
  /** Gives the lock back. Idempotent. */
  release(): Promise<void>
}

/**
 * Takes a lock file for this process. The lock of a process that has ended, even by SIGKILL or with the machine, is taken
 * over.
 *
 * @returns undefined and the holder's process id when a living process holds it, this one included
 */
export async function takeProcessLock(path: string): Promise<{ lock: ProcessLock } | { heldBy: number }> {
  const mine = holderOf(process.pid)
  const content = JSON.stringify(mine)
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, content, { mode: 0o600 })
  try {
    for (;;) {
      try {
        // Atomic with its content: nobody ever sees an empty lock.
        await link(temporary, path)
        return { lock: { release: () => releaseLock(path, content) } }
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      }
      const found = await readHolder(path)
      if (found !== undefined && isAlive(found.holder)) return { heldBy: found.holder.pid }
      await removeStale(path, found?.content)
    }
  } finally {
    await rm(temporary, { force: true })
  }
}

async function releaseLock(path: string, content: string): Promise<void> {
  const found = await readHolder(path)
  if (found?.content === content) await rm(path, { force: true })
}

/** Undefined when there is no lock, or none that can be understood. */
async function readHolder(path: string): Promise<{ holder: Holder; content: string } | undefined> {
  try {
    const content = await readFile(path, 'utf8')
    const value = JSON.parse(content) as Partial<Holder>
    if (!Number.isInteger(value.pid) || typeof value.startTicks !== 'string' || typeof value.bootId !== 'string') return undefined
    return { holder: value as Holder, content }
  } catch (error) {
    if (isMissing(error) || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Two processes may find the same stale lock: it is moved aside first, and put back when it was a fresh one after all. */
async function removeStale(path: string, staleContent: string | undefined): Promise<void> {
  const aside = `${path}.${process.pid}.stale`
  try {
    await rename(path, aside)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  const moved = await readHolder(aside)
  if (moved !== undefined && moved.content !== staleContent) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: it lives and is another user's.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  const now = holderOf(holder.pid)
  return now.startTicks === holder.startTicks && now.bootId === holder.bootId
}

function holderOf(pid: number): Holder {
  return { pid, startTicks: startTicks(pid), bootId: readText('/proc/sys/kernel/random/boot_id').trim() }
}

/** Field 22 of /proc/<pid>/stat; the command in field 2 may hold spaces and parentheses. */
function startTicks(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
