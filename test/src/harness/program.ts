import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from '../tidy/repository.ts'
import { workFolder } from './work-folder.ts'

/** How a process ended: by itself, or by a signal. */
export interface ProgramExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProgramOptions {
  readonly args: readonly string[]
  /** Added to this process's environment without the variables of skein. */
  readonly env?: Readonly<Record<string, string>>
  /**
   * The process dies with this one even if this one is killed: its standard input is the line that holds it. Without, standard
   * input is the test's to write to.
   */
  readonly tethered: boolean
  /** Run in place of the script itself, with the command line of the script as its last arguments: `prlimit`, `script`. */
  readonly wrapper?: readonly string[]
}

const tether = pathToFileURL(join(root, 'scripts', 'lib', 'tether.mjs')).href
/** A wait that is longer than this is in vain, even on a busy machine. */
const patienceMs = 90_000
/** What is kept of each output stream. */
const maxOutputChars = 4 * 2 ** 20

const running = new Set<Program>()
let guarded = false

/** A process of its own group that a test has started. None outlives the test run. */
export class Program {
  readonly #child: ChildProcess
  readonly exited: Promise<ProgramExit>
  readonly #watchers = new Set<() => void>()
  #stdout = ''
  #stderr = ''
  #exit: ProgramExit | undefined

  /** @param script a file that Node.js runs */
  constructor(script: string, { args, env = {}, tethered, wrapper = [] }: ProgramOptions) {
    guardExit()
    const command = [...wrapper, process.execPath, ...(tethered ? ['--import', tether] : []), script, ...args]
    this.#child = spawn(command[0]!, command.slice(1), {
      cwd: root,
      env: { ...cleanEnvironment(), ...(tethered ? { SKEIN_TETHER_FOLDER: workFolder() } : {}), ...env },
      stdio: 'pipe',
      detached: true
    })
    running.add(this)
    const { stdin, stdout, stderr } = this.#child
    // A program that a failed test has left behind must not keep mocha from ending, which ends the program.
    this.#child.unref()
    for (const stream of [stdin, stdout, stderr]) (stream as Socket).unref()
    // A process that has ended cannot be told anything; that it has ended is told by `exited`.
    stdin!.on('error', () => {})
    stdout!.setEncoding('utf8').on('data', (text: string) => this.#take(() => (this.#stdout = keep(this.#stdout, text))))
    stderr!.setEncoding('utf8').on('data', (text: string) => this.#take(() => (this.#stderr = keep(this.#stderr, text))))
    this.exited = new Promise((resolve) => {
      const finish = (exit: ProgramExit): void => {
        running.delete(this)
        this.#take(() => (this.#exit = exit))
        resolve(exit)
      }
      this.#child.once('error', (error) => {
        this.#stderr += String(error)
        finish({ code: null, signal: null })
      })
      // 'close', so that all output has been read.
      this.#child.once('close', (code, signal) => finish({ code, signal }))
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  get ended(): boolean {
    return this.#exit !== undefined
  }

  stdout(): string {
    return this.#stdout
  }

  stderr(): string {
    return this.#stderr
  }

  /** All output, for the messages of failed assertions. */
  logs(): string {
    return `${this.#stdout}\n${this.#stderr}`
  }

  write(text: string): void {
    this.#child.stdin!.write(text)
  }

  endInput(): void {
    this.#child.stdin!.end()
  }

  /** Sends a signal to the process itself. A process that has ended is left alone. */
  kill(signal: NodeJS.Signals): void {
    if (!this.ended) this.#child.kill(signal)
  }

  /** Ends the whole process group at once. */
  destroy(): void {
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }

  /** Resolves with what `find` returns, asked anew after each output. @throws when the process ends or the patience is over before that */
  async waitFor<T>(what: string, find: (program: Program) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${what}: ${why}. Its last output:\n${this.logs().slice(-4000)}`))
      const stop = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(look)
      }
      const look = (): void => {
        const found = find(this)
        if (found !== undefined) resolve(found)
        else if (this.#exit !== undefined) fail(`the process ended with ${JSON.stringify(this.#exit)} before that`)
        else return
        stop()
      }
      const timer = setTimeout(() => {
        fail(`nothing of that after ${patienceMs / 1000} s`)
        stop()
      }, patienceMs)
      this.#watchers.add(look)
      look()
    })
  }

  #take(change: () => void): void {
    change()
    for (const watcher of [...this.#watchers]) watcher()
  }
}

function keep(before: string, text: string): string {
  return (before + text).slice(-maxOutputChars)
}

/** Programs under test take their options from the test alone; what they cover is not counted, which makes them quicker. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const dropped = (name: string): boolean => name.startsWith('SKEIN_') || name === 'NODE_V8_COVERAGE' || name === 'FORCE_COLOR'
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !dropped(name)))
}

/** Registered once: at the end of this process, and when mocha is interrupted, nothing is left running. */
function guardExit(): void {
  if (guarded) return
  guarded = true
  const endAll = (): void => {
    for (const program of running) program.destroy()
  }
  process.on('exit', endAll)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      endAll()
      // Mocha has a listener of its own for SIGINT, which reports and ends the run; the other two would otherwise be lost.
      if (signal !== 'SIGINT') process.exit(1)
    })
  }
}

/** Waits until `condition` holds. @throws Error with `what` when it never does */
export async function eventually<T>(what: string, condition: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const giveUpAt = performance.now() + patienceMs
  for (;;) {
    const found = await condition()
    if (found !== undefined && found !== false) return found
    if (performance.now() > giveUpAt) throw new Error(`${what}: not after ${patienceMs / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
}

/**
 * An environment in which a command gets a signal while it loads its code: when it asks for the package that reads command
 * lines, which all of them need.
 */
export function signalWhileLoading(signal: NodeJS.Signals): Readonly<Record<string, string>> {
  // Hooks run in a thread of their own, so the signal is on its way before the package is.
  const hooks = `let sent = false
    export async function resolve(specifier, context, next) {
      if (specifier === 'commander' && !sent) {
        sent = true
        process.kill(process.pid, '${signal}')
      }
      return next(specifier, context)
    }`
  const url = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`
  return { NODE_OPTIONS: `--import=${url(`import { register } from 'node:module'; register(${JSON.stringify(url(hooks))})`)}` }
}
