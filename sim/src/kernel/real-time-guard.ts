import { createRequire, syncBuiltinESMExports } from 'node:module'
import { SkeinError } from '@skein/protocol'

/** Something used time, randomness or I/O behind the ports' back. The text says what, and where it was called. */
export class BehindThePortsError extends SkeinError<'ERR_SKEIN_SIM_BEHIND_PORTS'> {
  constructor(message: string) {
    super('ERR_SKEIN_SIM_BEHIND_PORTS', message)
  }
}

export interface RealTimeGuard {
  /** @throws BehindThePortsError for the first thing that was done since the guard was set */
  check(): void
  /** Takes the guard away, and checks a last time. */
  release(): void
}

/** Modules and globals, by what must not be called in them. Hashing and signatures are functions of their input and may be. */
const forbidden: ReadonlyArray<readonly [object: string, names: readonly string[]]> = [
  ['globalThis', ['setTimeout', 'setInterval', 'setImmediate', 'fetch']],
  ['Date', ['now']],
  ['performance', ['now']],
  ['Math', ['random']],
  ['AbortSignal', ['timeout']],
  ['crypto', ['getRandomValues', 'randomUUID']],
  ['node:timers', ['setTimeout', 'setInterval', 'setImmediate']],
  ['node:timers/promises', ['setTimeout', 'setInterval', 'setImmediate']],
  ['node:crypto', ['randomBytes', 'randomInt', 'randomUUID', 'randomFillSync']],
  ['node:net', ['connect', 'createConnection', 'createServer']],
  ['node:dgram', ['createSocket']],
  ['node:child_process', ['spawn', 'fork', 'exec', 'execFile']]
]

/**
 * What the event loop of Node.js waits for when something real is under way, as `process.getActiveResourcesInfo` names it.
 * Not timers: a test runner sets one of its own around each test.
 */
const realResources = /^(TCP|UDP|Pipe|TLS|FSReq|GetAddrInfo|Worker|MessagePort|RandomBytes|Process)/

let isSet = false

/**
 * Watches, while a simulated world runs, that nothing in this process uses real timers, clocks, randomness, sockets or
 * processes: such a use still works, but `check` then throws, since the run can no longer be replayed. It counts what Node.js
 * itself has under way as well, so that what a library does inside is found, though not by name.
 *
 * One at a time, since it replaces functions of this process; what those held before the guard was set escapes it.
 */
export function guardRealTime(): RealTimeGuard {
  if (isSet) throw new BehindThePortsError('a guard of real time is set already: worlds of one process run one after the other')
  isSet = true
  let found: BehindThePortsError | undefined
  const restore: Array<() => void> = []
  for (const [objectName, names] of forbidden) {
    const target = objectOf(objectName)
    for (const name of names) {
      const original = target[name]
      if (typeof original !== 'function') continue
      const replacement = function (this: unknown, ...args: unknown[]): unknown {
        found ??= new BehindThePortsError(`${objectName}.${name} was called in a simulated world: use the ports ${callerOf()}`)
        return Reflect.apply(original, this, args)
      }
      const wasOwn = Object.hasOwn(target, name)
      // With what hangs on it, such as the form of setTimeout for util.promisify.
      target[name] = Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original))
      restore.push(() => {
        if (wasOwn) target[name] = original
        else delete target[name]
      })
    }
  }
  syncBuiltinESMExports()
  const before = countResources()
  const check = (): void => {
    if (found !== undefined) throw found
    for (const [name, count] of countResources()) {
      const had = before.get(name) ?? 0
      if (count > had) throw new BehindThePortsError(`a simulated world has set off something real: ${count - had} more ${name} under way`)
    }
  }
  const release = (): void => {
    if (!isSet) return
    isSet = false
    for (const undo of restore) undo()
    syncBuiltinESMExports()
    check()
  }
  return { check, release }
}

function objectOf(name: string): Record<string, unknown> {
  if (name.startsWith('node:')) return createRequire(import.meta.url)(name) as Record<string, unknown>
  const globals = globalThis as unknown as Record<string, Record<string, unknown>>
  return name === 'globalThis' ? globals : (globals[name] as Record<string, unknown>)
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of process.getActiveResourcesInfo()) if (realResources.test(name)) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

function callerOf(): string {
  const lines = (new Error('where').stack ?? '').split('\n').slice(1)
  const line = lines.find((each) => !each.includes('real-time-guard'))
  return line === undefined ? '' : `(called ${line.trim()})`
}
