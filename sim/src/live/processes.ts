import { type ChildProcess, spawn } from 'node:child_process'
import { renameSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BlockRange, describeError, formatBlockRange, type NodeLoad, type PeerId, SkeinError } from '@skein/protocol'
import { makeFolder } from '@skein/protocol/make-folder'
import { cryptoRandom, loadIdentity } from '@skein/protocol/node'

/** A node's process ended or said nothing before it was ready. */
class LiveProcessError extends SkeinError<'ERR_SKEIN_LIVE_PROCESS'> {
  constructor(message: string) {
    super('ERR_SKEIN_LIVE_PROCESS', message)
  }
}

/** Loaded into a node before its own code: ends it when this process is gone, however that ended. */
const tether = `data:text/javascript,${encodeURIComponent(
  "import{isMainThread}from'node:worker_threads';if(isMainThread){const end=()=>process.kill(process.pid,'SIGKILL');" +
    "process.stdin.on('error',end).on('close',end).resume();process.stdin.unref()}"
)}`

const maxLogChars = 200_000

/** What a node says when it serves. */
export interface ReadyLine {
  readonly peerId: PeerId
  readonly addresses: readonly string[]
  /** As it measured itself when it started. */
  readonly stepMs: number
  readonly rowsPerSecond: number
  readonly statusUrl: string
}

/** What a node has done. */
export interface LiveWork {
  readonly busyMs: number
  readonly rows: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

/** What a node answers at its status port. */
export interface LiveStatus {
  readonly work: LiveWork
  readonly load: NodeLoad
}

const nothingDone: LiveWork = { busyMs: 0, rows: 0, sentBytes: 0, receivedBytes: 0 }
const statusTimeoutMs = 2_000

export interface LiveNodeInit {
  /** Where its key and its records are; made when missing. */
  readonly folder: string
  readonly cacheDir: string
  readonly model: string
  readonly span: BlockRange
  readonly kvTokens: number
  readonly historyBytes: number
  readonly maxSessions: number
}

/** A `skein-node` in a process of its own on loopback, through all its lives. */
export class LiveNode {
  readonly peer: PeerId
  readonly #init: LiveNodeInit
  #child: ChildProcess | undefined
  #log = ''
  #frozen = false
  #isAsked = false
  #onExit: (() => void) | undefined
  #addresses: readonly string[] = []
  #statusUrl: string | undefined
  /** Of earlier processes, and of this one when it was last asked. */
  #doneBefore = nothingDone
  #doneNow = nothingDone

  private constructor(init: LiveNodeInit, peer: PeerId) {
    this.#init = init
    this.peer = peer
  }

  /** Makes the node's folder and key, which say who it will be; starts nothing. */
  static async prepare(init: LiveNodeInit): Promise<LiveNode> {
    await makeFolder(init.folder)
    return new LiveNode(init, await identityOf(join(init.folder, 'node.key')))
  }

  get isUp(): boolean {
    return this.#child !== undefined
  }

  get isServing(): boolean {
    return this.isUp && !this.#frozen
  }

  /** Whether its process was made to end, or told to: else its end is its own. */
  get isAskedToEnd(): boolean {
    return this.#isAsked
  }

  /** Where it listens in every life, once it has served; none when there is no process, or one on its way out. */
  get addresses(): readonly string[] {
    return this.isUp && !this.#isAsked ? this.#addresses : []
  }

  /** The file of its link profile, which its process reads again when it changes. */
  get linkFile(): string {
    return join(this.#init.folder, 'link.json')
  }

  /** What it has written as an error so far, first lines first. */
  readonly errors: string[] = []

  /**
   * Starts the process and waits until it serves.
   *
   * @param onExit told when the process has ended, whoever ended it
   * @throws LiveProcessError with what it wrote last
   */
  async start(bootstrap: readonly string[], signal: AbortSignal, onExit: () => void): Promise<ReadyLine> {
    const { folder, cacheDir, model, span, kvTokens, historyBytes, maxSessions } = this.#init
    const script = fileURLToPath(new URL('bin/skein-node.js', import.meta.resolve('@skein/node')))
    // As a volunteer's node, it is found where it was before.
    const listen = this.#addresses[0]?.replace(/\/p2p\/.*$/, '') ?? '/ip4/127.0.0.1/tcp/0'
    const args = [
      ...['--model', model, '--blocks', formatBlockRange(span), '--listen', listen, '--lan', '--json', '--threads', '1'],
      ...['--identity', join(folder, 'node.key'), '--data-dir', folder, '--cache-dir', cacheDir, '--link', this.linkFile],
      ...['--status-port', '0', '--max-kv-tokens', String(kvTokens), '--max-sessions', String(maxSessions)],
      ...['--max-history-mb', String(historyFlagMb(historyBytes))],
      ...bootstrap.flatMap((address) => ['--bootstrap', address])
    ]
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SKEIN_')))
    const child = spawn(process.execPath, ['--import', tether, script, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    this.#isAsked = false
    this.#log = ''
    this.#doneBefore = this.done
    this.#doneNow = nothingDone
    this.#onExit = onExit
    // That it cannot be written to is told by its end.
    child.stdin.on('error', () => {})
    return this.#ready(child, signal)
  }

  /** What it has done in all its lives, as far as it said: what a process did after it was last asked goes with it. */
  get done(): LiveWork {
    return sum(this.#doneBefore, this.#doneNow)
  }

  /** Asks the process how it is. Of one that does not answer, what it said before about its work is kept. */
  async ask(): Promise<LiveStatus | undefined> {
    const url = this.#statusUrl
    if (url === undefined || !this.isServing) return undefined
    const status = await new Promise<LiveStatus | undefined>((resolve) => {
      const request = get(url, { timeout: statusTimeoutMs, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
        response.on('end', () => resolve(statusOf(text))).on('error', () => resolve(undefined))
      })
      request.on('timeout', () => request.destroy()).on('error', () => resolve(undefined))
    })
    if (status !== undefined && url === this.#statusUrl) this.#doneNow = status.work
    return status
  }

  /** SIGKILL. */
  crash(): void {
    this.#isAsked = true
    this.#child?.kill('SIGKILL')
  }

  /** SIGTERM: it drains, says goodbye, and ends. */
  leave(): void {
    this.#isAsked = true
    this.#child?.kill('SIGTERM')
  }

  /** SIGSTOP, or SIGCONT. */
  freeze(frozen: boolean): void {
    if (this.#child === undefined || frozen === this.#frozen) return
    this.#frozen = frozen
    this.#child.kill(frozen ? 'SIGSTOP' : 'SIGCONT')
  }

  /** Ends the process at once and waits for its end. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    this.crash()
    await closed
  }

  #ready(child: ChildProcess, signal: AbortSignal): Promise<ReadyLine> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        signal.removeEventListener('abort', onAbort)
        reject(new LiveProcessError(`a node ${why} before it was ready; its last words: ${this.#log.slice(-2000)}`))
      }
      const onAbort = (): void => {
        child.kill('SIGKILL')
      }
      let rest = ''
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        this.#keep(text)
        const lines = (rest + text).split('\n')
        rest = lines.pop()!
        this.errors.push(...lines.filter((line) => line.startsWith('{"level":"error"')))
        const ready = lines.map(readyOf).find((line) => line !== undefined)
        if (ready === undefined) return
        signal.removeEventListener('abort', onAbort)
        this.#statusUrl = ready.statusUrl
        this.#addresses = ready.addresses
        resolve(ready)
      })
      child.stderr!.setEncoding('utf8').on('data', (text: string) => this.#keep(text))
      child.once('error', (error) => fail(`could not be started (${describeError(error)})`))
      child.once('close', (code, by) => {
        fail(`ended (${by ?? `exit code ${String(code)}`})`)
        if (this.#child !== child) return
        this.#child = undefined
        this.#statusUrl = undefined
        this.#frozen = false
        this.#onExit?.()
      })
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
    })
  }

  #keep(text: string): void {
    this.#log = (this.#log + text).slice(-maxLogChars)
  }
}

/** A node's budget for history, as its flag has it: whole MiB. */
export function historyFlagMb(historyBytes: number): number {
  return Math.max(1, Math.ceil(historyBytes / 2 ** 20))
}

/** The peer of a key file, which is made. */
export async function identityOf(file: string): Promise<PeerId> {
  const { identity, release } = await loadIdentity(file, cryptoRandom())
  await release()
  return identity.peerId
}

function sum(a: LiveWork, b: LiveWork): LiveWork {
  return {
    busyMs: a.busyMs + b.busyMs,
    rows: a.rows + b.rows,
    sentBytes: a.sentBytes + b.sentBytes,
    receivedBytes: a.receivedBytes + b.receivedBytes
  }
}

/** Of what a node says of itself at its status port. */
function statusOf(text: string): LiveStatus | undefined {
  try {
    const { done, traffic, load } = JSON.parse(text) as {
      done: { busyMs: number; rows: number }
      traffic: { sentBytes: number; receivedBytes: number }
      load: NodeLoad
    }
    const work = { busyMs: done.busyMs, rows: done.rows, sentBytes: traffic.sentBytes, receivedBytes: traffic.receivedBytes }
    return { work, load }
  } catch {
    return undefined
  }
}

/** Writes a link profile at once: who reads it again never sees a part of it. */
export function writeLink(file: string, link: string): void {
  writeFileSync(`${file}.new`, link)
  renameSync(`${file}.new`, file)
}

function readyOf(line: string): ReadyLine | undefined {
  if (!line.startsWith('{')) return undefined
  const value = JSON.parse(line) as { event?: unknown } & ReadyLine
  return value.event === 'ready' ? value : undefined
}
