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
  /** Runs what is no part of a simulated world, such as a callback that shows how far it is, and may do what it likes. */
  exempt<T>(run: () => T): T
  /** Takes the guard away, and checks a last time. @throws BehindThePortsError */
  release(): void
}

/** Modules and globals, by what must not be called in them. Hashing and signatures are functions of their input and may be. */
const forbidden: ReadonlyArray<readonly [object: string, names: readonly string[]]> = [
  ['globalThis', ['setTimeout', 'setInterval', 'setImmediate', 'fetch']],
  ['Date', ['now']],
  ['performance', ['now']],
  ['process', ['hrtime']],
  ['process.hrtime', ['bigint']],
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

/** Those that are set. The functions of this process are replaced while there is any. */
const guards = new Set<Guard>()
let restore: (() => void) | undefined
let isExempt = false

/**
 * Watches, while a simulated world runs, that nothing in this process uses real timers, clocks, randomness, sockets or
 * processes: such a use still works, but `check` then throws, since the run can no longer be replayed. It counts what Node.js
 * itself has under way as well, so that what a library does inside is found, though not by name.
 *
 * It costs nothing while nothing is called: functions of this process are replaced as long as a guard is set. Several may be
 * set at once, and then all of them find what is done, since nobody knows whose it was. What was taken out of its module or
 * global before the first guard was set, escapes it.
 */
export function guardRealTime(): RealTimeGuard {
  return new Guard()
}

class Guard implements RealTimeGuard {
  found: BehindThePortsError | undefined
  #before = countResources()

  constructor() {
    guards.add(this)
    restore ??= replaceForbidden()
  }

  check(): void {
    this.#lookAtResources()
    if (this.found !== undefined) throw this.found
  }

  exempt<T>(run: () => T): T {
    for (const guard of guards) guard.#lookAtResources()
    const wasExempt = isExempt
    isExempt = true
    try {
      return run()
    } finally {
      isExempt = wasExempt
      for (const guard of guards) guard.#before = countResources()
    }
  }

  release(): void {
    if (!guards.delete(this)) return
    if (guards.size === 0) {
      restore?.()
      restore = undefined
    }
    this.check()
  }

  #lookAtResources(): void {
    if (this.found !== undefined) return
    for (const [name, count] of countResources()) {
      const more = count - (this.#before.get(name) ?? 0)
      if (more > 0) this.found = new BehindThePortsError(`a simulated world has set off something real: ${more} more ${name} under way`)
    }
  }
}

/** Returns what undoes it. */
function replaceForbidden(): () => void {
  const undo: Array<() => void> = []
  for (const [objectName, names] of forbidden) {
    const target = objectOf(objectName)
    for (const name of names) {
      const original = target[name]
      if (typeof original !== 'function') continue
      const replacement = function (this: unknown, ...args: unknown[]): unknown {
        if (!isExempt) noteUse(`${objectName}.${name}`)
        return Reflect.apply(original, this, args)
      }
      const wasOwn = Object.hasOwn(target, name)
      // With what hangs on it, such as the form of setTimeout for util.promisify.
      target[name] = Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original))
      undo.push(() => {
        if (wasOwn) target[name] = original
        else delete target[name]
      })
    }
  }
  undo.push(replaceDate())
  syncBuiltinESMExports()
  return () => {
    for (const each of undo) each()
    syncBuiltinESMExports()
  }
}

/** A date of a given moment is no clock; one without arguments is. Returns what undoes it. */
function replaceDate(): () => void {
  const original = globalThis.Date
  globalThis.Date = new Proxy(original, {
    construct(target, args, newTarget) {
      if (args.length === 0 && !isExempt) noteUse('new Date')
      return Reflect.construct(target, args, newTarget) as object
    },
    apply(target, self, args) {
      if (!isExempt) noteUse('Date')
      return Reflect.apply(target, self, args) as string
    }
  })
  return () => {
    globalThis.Date = original
  }
}

function noteUse(name: string): void {
  const fresh = [...guards].filter(({ found }) => found === undefined)
  if (fresh.length === 0) return
  const error = new BehindThePortsError(`${name} was called in a simulated world: use the ports ${callerOf()}`)
  for (const guard of fresh) guard.found = error
}

function objectOf(name: string): Record<string, unknown> {
  if (name.startsWith('node:')) return createRequire(import.meta.url)(name) as Record<string, unknown>
  const path = name === 'globalThis' ? [] : name.split('.')
  return path.reduce((target, part) => target[part] as Record<string, unknown>, globalThis as unknown as Record<string, unknown>)
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
