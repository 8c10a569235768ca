import { PassThrough, Writable } from 'node:stream'
import type { Storage } from '@skein/protocol'
import type { CliComponents } from '../cli/cli-io.ts'
import { runSkein } from '../cli/program.ts'
import { FakeSwarm, type FakeScript } from './fake-swarm-client.ts'

/** A stream that keeps what is written, and can break. */
class Captured extends Writable {
  text = ''
  readonly isTTY: boolean
  readonly columns = 60
  failWith: NodeJS.ErrnoException | undefined
  readonly #waiting = new Set<{ readonly wanted: string; readonly done: () => void }>()

  constructor(isTTY: boolean) {
    super({ decodeStrings: false })
    this.isTTY = isTTY
  }

  override _write(chunk: string, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.failWith !== undefined) return done(this.failWith)
    this.text += chunk
    for (const waiter of this.#waiting) {
      if (!this.text.includes(waiter.wanted)) continue
      this.#waiting.delete(waiter)
      waiter.done()
    }
    done()
  }

  /** Resolves once the text holds this. */
  async until(wanted: string): Promise<void> {
    if (this.text.includes(wanted)) return
    return new Promise((done) => void this.#waiting.add({ wanted, done }))
  }
}

export interface CliOptions {
  /** Whether all three streams are a terminal. */
  terminal?: boolean
  env?: Readonly<Record<string, string>>
  /** Names of files that are there already. */
  files?: Iterable<string>
}

/** The command `skein` in this process, with a fake swarm, streams and signals. */
export class CliHarness {
  readonly swarm: FakeSwarm
  readonly stdin: PassThrough & { isTTY?: boolean }
  readonly stdout: Captured
  readonly stderr: Captured
  readonly files: Map<string, Uint8Array>
  readonly exits: number[] = []
  readonly dataDirs: Array<string | undefined> = []
  readonly #listeners = new Set<() => void>()
  readonly #env: Readonly<Record<string, string>>

  constructor(script: FakeScript = {}, options: CliOptions = {}) {
    const terminal = options.terminal === true
    this.swarm = new FakeSwarm(script)
    this.stdin = Object.assign(new PassThrough(), { isTTY: terminal })
    this.stdout = new Captured(terminal)
    this.stderr = new Captured(terminal)
    this.files = new Map([...(options.files ?? [])].map((name) => [name, new Uint8Array()]))
    this.#env = options.env ?? {}
  }

  /** Runs a command line to its end. `argv` without `--model` and `--bootstrap`, which are added. */
  async run(...argv: string[]): Promise<number> {
    const [command = '', ...rest] = argv
    return this.runRaw(command, '--model', 'm', '--bootstrap', `/ip4/127.0.0.1/tcp/1/p2p/12D3KooW${'A'.repeat(44)}`, ...rest)
  }

  /** Runs a command line as it is. Variables are set in this process meanwhile, which is where commander reads them. */
  async runRaw(...argv: string[]): Promise<number> {
    const before = { ...process.env }
    for (const name of Object.keys(process.env)) if (name.startsWith('SKEIN_')) delete process.env[name]
    Object.assign(process.env, this.#env)
    try {
      return await runSkein(argv, this.#components())
    } finally {
      for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
      Object.assign(process.env, before)
    }
  }

  /** Ctrl-C outside raw mode, or SIGTERM. */
  interrupt(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  /** Whether anything still waits for interrupts. */
  get listening(): boolean {
    return this.#listeners.size > 0
  }

  #components(): CliComponents {
    const storage: Storage = {
      read: async (name) => this.files.get(name),
      write: async (name, bytes) => void this.files.set(name, bytes),
      remove: async (name) => void this.files.delete(name)
    }
    return {
      version: '1.2.3',
      stdin: this.stdin,
      stdout: this.stdout,
      stderr: this.stderr,
      env: this.#env,
      connect: this.swarm.connect,
      storage: async (folder) => {
        this.dataDirs.push(folder)
        return storage
      },
      onInterrupt: (listener) => {
        this.#listeners.add(listener)
        return () => void this.#listeners.delete(listener)
      },
      exit: (code) => void this.exits.push(code)
    }
  }
}
