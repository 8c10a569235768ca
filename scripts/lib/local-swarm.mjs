/** A swarm of `skein-node` processes on this machine's loopback address, for the quickstart. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheDir, root } from './workspace.mjs'

const nodeProgram = join(root, 'node', 'dist', 'bin', 'skein-node.js')
const tether = pathToFileURL(join(root, 'scripts', 'lib', 'tether.mjs')).href
/** Where the swarm and its clients keep converted weights: in the checkout, so that the next start is quicker. */
export const weightsDir = join(cacheDir, 'weights')
const readyTimeoutMs = 60_000
const stopTimeoutMs = 5_000
const pollMs = 30

/**
 * @typedef {object} LocalNode
 * @property {string} name
 * @property {string} blocks `START:END`
 * @property {string} peerId
 * @property {string[]} addresses with `/p2p/`
 * @property {number} pid
 */

export class LocalSwarm {
  #model
  #dir = mkdtempSync(join(tmpdir(), 'skein-quickstart-'))
  /** @type {Map<string, { child: import('node:child_process').ChildProcess, logPath: string, node?: LocalNode }>} */
  #running = new Map()
  #exitHook = () => this.#killAll()
  #starts = 0

  /** @param {string} model folder of the checkpoint */
  constructor(model) {
    this.#model = model
    mkdirSync(weightsDir, { recursive: true })
    // Runs at every end of this process but SIGKILL, for which the nodes have a tether.
    process.on('exit', this.#exitHook)
  }

  /** Holds keys, records and logs of the nodes. */
  get dir() {
    return this.#dir
  }

  /** @returns {LocalNode[]} the nodes that run */
  get nodes() {
    return [...this.#running.values()].flatMap(({ node }) => (node === undefined ? [] : [node]))
  }

  /**
   * Starts a node and waits until it serves. A name that was used before comes back with the same identity.
   *
   * @param {string} name
   * @param {string} blocks `START:END`
   * @param {string[]} bootstrap
   * @returns {Promise<LocalNode>}
   */
  async start(name, blocks, bootstrap) {
    const own = join(this.#dir, name)
    mkdirSync(own, { recursive: true })
    const logPath = join(own, `log-${++this.#starts}.jsonl`)
    const log = openSync(logPath, 'w')
    const options = [
      ...['--model', this.#model, '--blocks', blocks, '--listen', '/ip4/127.0.0.1/tcp/0', '--lan', '--json'],
      ...['--identity', join(own, 'identity'), '--data-dir', own, '--cache-dir', weightsDir, '--threads', '1'],
      ...bootstrap.flatMap((address) => ['--bootstrap', address])
    ]
    const child = spawn(process.execPath, ['--import', tether, nodeProgram, ...options], {
      cwd: root,
      env: { ...withoutSkeinVariables(), SKEIN_TETHER_FOLDER: this.#dir },
      stdio: ['pipe', log, log],
      // In a process group of its own, so that Ctrl-C at the terminal comes to this process, which knows what to do.
      detached: true
    })
    closeSync(log)
    // A node that has ended cannot be told anything, and that it has is found out elsewhere.
    child.stdin.on('error', () => {})
    const entry = { child, logPath }
    this.#running.set(name, entry)
    child.once('exit', () => {
      if (this.#running.get(name) === entry) this.#running.delete(name)
    })
    const ready = await waitForReady(child, logPath, `node ${blocks}`)
    entry.node = {
      name,
      blocks,
      pid: child.pid,
      peerId: ready.peerId,
      addresses: ready.addresses.map((address) => withPeer(address, ready.peerId))
    }
    return entry.node
  }

  /** Ends a node at once, as a power cut would. Resolves when the process is gone. @param {LocalNode} node */
  async kill(node) {
    const entry = this.#running.get(node.name)
    if (entry === undefined) throw new Error(`node ${node.blocks} does not run`)
    const gone = exited(entry.child)
    entry.child.kill('SIGKILL')
    await gone
  }

  /** Stops every node and removes what they left. */
  async stop() {
    const children = [...this.#running.values()].map(({ child }) => child)
    for (const child of children) child.kill('SIGTERM')
    await Promise.race([Promise.all(children.map(exited)), sleep(stopTimeoutMs)])
    this.#killAll()
    process.off('exit', this.#exitHook)
  }

  /** Lets the nodes run on when this process ends. */
  async release() {
    process.off('exit', this.#exitHook)
    for (const { child } of this.#running.values()) {
      await new Promise((resolve) => child.stdin.end('release\n', resolve))
      child.unref()
    }
  }

  #killAll() {
    for (const { child } of this.#running.values()) child.kill('SIGKILL')
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** The nodes take their options from here alone. */
function withoutSkeinVariables() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SKEIN_')))
}

/** @returns {Promise<{ peerId: string, addresses: string[] }>} the node's own line */
async function waitForReady(child, logPath, what) {
  const giveUpAt = performance.now() + readyTimeoutMs
  for (;;) {
    const ended = hasExited(child)
    const log = readFileSync(logPath, 'utf8')
    const ready = jsonLines(log).find(({ event }) => event === 'ready')
    if (ready !== undefined) return ready
    if (ended) throw new Error(`${what} ended before it was ready. Its log ends with:\n${lastLines(log)}`)
    if (performance.now() > giveUpAt)
      throw new Error(`${what} was not ready after ${readyTimeoutMs / 1000} s. Its log ends with:\n${lastLines(log)}`)
    await sleep(pollMs)
  }
}

function jsonLines(text) {
  // The last line may be half written.
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
}

function lastLines(text) {
  return text.trimEnd().split('\n').slice(-10).join('\n')
}

function withPeer(address, peerId) {
  return address.includes('/p2p/') ? address : `${address}/p2p/${peerId}`
}

function hasExited(child) {
  return child.exitCode !== null || child.signalCode !== null
}

function exited(child) {
  return hasExited(child) ? Promise.resolve() : new Promise((resolve) => child.once('exit', resolve))
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
