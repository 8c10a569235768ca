import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import {
  announcementReader,
  AnnouncementStore,
  type BlockRange,
  countTraffic,
  describeError,
  DirectoryService,
  formatBlockRange,
  IdentityError,
  InvalidArgumentError,
  isSkeinError,
  type Logger,
  type Network,
  type NodeState,
  type PeerId,
  type Random,
  shapeNetwork,
  throwIfAborted,
  type Traffic
} from '@skein/protocol'
import {
  areAllPrivate,
  byReach,
  createLibp2pNetwork,
  createLogger,
  cryptoRandom,
  ed25519Verifier,
  fileStorage,
  type KeyIdentity,
  type LinkSource,
  loadIdentity,
  type LockedIdentity,
  peersOfAddresses,
  preloadLibp2p,
  readLinkProfile,
  requireAddresses,
  systemClock,
  withoutOwnId
} from '@skein/protocol/node'
import { openCheckpoint, type OpenedCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { defaultDataFolder } from '../cli/data-folder.ts'
import type { NodeOptions } from '../cli/node-options.ts'
import { type CommandFailure, exitCodes } from '../cli/run-command.ts'
import { prepareSpan, type PrepareProgress } from '../graph/convert.ts'
import type { PreparedSpan } from '../graph/span-graph.ts'
import { startSpanRuntime } from '../runtime/worker-span-runtime.ts'
import { NodeDaemon, RuntimeHangsError } from './node-daemon.ts'
import { ProgressReporter } from './progress-reporter.ts'
import { commandLines } from './ready-lines.ts'
import { type StatusServer, serveStatus } from './status-server.ts'

/** What `skein-node` touches of its process. */
export interface NodeProcess {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: { write(text: string): unknown }
  /** Calls the listener at each SIGINT or SIGTERM, until it is undone. */
  onStop(listener: (signal: string) => void): () => void
  /** Calls the listener at each SIGUSR2. */
  onReport(listener: () => void): () => void
  exit(code: number): void
}

interface Model {
  readonly checkpoint: OpenedCheckpoint
  readonly prepared: PreparedSpan
  readonly span: BlockRange
}

/** What was started, to be undone in the reverse order. */
type Undo = (() => unknown)[]

/**
 * Runs a node until it is asked to stop. The only place that puts the real implementations of the ports together.
 *
 * @throws InvalidArgumentError, CheckpointError, ConversionError, IdentityError, ListenError, StatusPortError, ... before it serves
 */
export async function runNode(options: NodeOptions, host: NodeProcess): Promise<void> {
  const clock = systemClock()
  const logger = createLogger({ clock, level: options.logLevel, json: options.json, ...(options.json ? { destination: host.stdout } : {}) })
  const undo: Undo = []
  const stopping = new AbortController()
  let stopDaemon: ((signal: string) => void) | undefined
  undo.push(
    host.onStop((signal) => {
      if (stopping.signal.aborted) {
        logger.warn('stopped at once', { signal })
        host.exit(exitCodes.interrupted)
      }
      stopping.abort()
      stopDaemon?.(signal)
    })
  )
  try {
    // First of all: a port that is taken must not be found out when the swarm knows the node already.
    let report: () => { readonly state: NodeState } = () => ({ state: 'joining' })
    const status = options.statusPort === undefined ? undefined : await serveStatus(options.statusPort, () => report())
    if (status !== undefined) undo.push(() => status.close())
    const { daemon, traffic } = await startDaemon(options, logger, undo, stopping.signal)
    report = () => ({ ...daemon.status(), traffic: traffic() })
    await serve(daemon, options, host, logger, status, stopping.signal, (stop) => (stopDaemon = stop))
  } catch (error) {
    // A node that was asked to stop before it served has done so: that is no failure.
    if (!stopping.signal.aborted || !(isSkeinError(error) && error.code === 'ERR_SKEIN_ABORTED')) throw error
    logger.info('stopped', { event: 'stopped' })
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

interface StartedNode {
  readonly daemon: NodeDaemon
  readonly traffic: () => Traffic | undefined
}

async function startDaemon(options: NodeOptions, logger: Logger, undo: Undo, signal: AbortSignal): Promise<StartedNode> {
  throwIfAborted(signal)
  const clock = systemClock()
  const random = cryptoRandom()
  const dataDir = options.dataDir ?? defaultDataFolder()
  // What may be wrong is read before anything is started.
  const contacts = peersOfAddresses(options.bootstrap)
  requireAddresses([...options.listen, ...options.announce])
  const link = options.link === undefined ? undefined : readLinkProfile(options.link, logger)
  const { identity, release } = await ownIdentity(options.identity ?? join(dataDir, 'node.key'), random)
  undo.push(release)
  const announce = announcedAddresses(options.announce, identity.peerId)
  const { checkpoint, prepared } = await openModel(options, logger, undo, signal)
  const threads = options.threads > 0 ? options.threads : Math.max(1, availableParallelism() >> 1)
  // Side by side: the runtime packs its weights on other threads.
  preloadLibp2p()
  const runtime = await startSpanRuntime({ prepared, kvTokens: options.maxKvTokens, threads })
  undo.push(() => runtime.stop())
  throwIfAborted(signal)
  const opened = await openNetwork({ ...options, announce }, identity, logger, link)
  undo.push(() => opened.stop())
  // Counted where somebody can read it.
  const { network, traffic } = options.statusPort === undefined ? { network: opened, traffic: () => undefined } : countTraffic(opened)
  const reader = announcementReader(ed25519Verifier())
  const store = new AnnouncementStore({ self: network.self })
  const model = checkpoint.modelId
  const directory = new DirectoryService({ network, clock, random, reader, logger, store }, { model, mesh: true, contacts })
  const daemon = new NodeDaemon(
    { clock, logger, network, random, storage: fileStorage(dataDir), identity, reader, runtime, directory },
    { model, blocks: checkpoint.config.blocks, maxSessions: options.maxSessions, historyBytes: options.maxHistoryMb * 2 ** 20 }
  )
  undo.push(() => daemon.stop(0))
  await daemon.start()
  return { daemon, traffic }
}

/** Two nodes on one computer are the way to meet this: what the second one needs is said at once. */
async function ownIdentity(path: string, random: Random): Promise<LockedIdentity> {
  try {
    return await loadIdentity(path, random)
  } catch (error) {
    if (!(error instanceof IdentityError) || error.detail['pid'] === undefined) throw error
    const advice = 'a second node on one computer takes an --identity FILE, a --data-dir DIR and a --listen ADDRESS of its own'
    throw new IdentityError(`${error.message}; ${advice}`, { cause: error, detail: error.detail })
  }
}

function announcedAddresses(addresses: readonly string[], self: PeerId): string[] {
  try {
    return withoutOwnId(addresses, self)
  } catch (error) {
    throw new InvalidArgumentError(`--announce: ${describeError(error)}`, { cause: error })
  }
}

async function openModel(options: NodeOptions, logger: Logger, undo: Undo, signal: AbortSignal): Promise<Model> {
  const progress = new ProgressReporter(options.json ? undefined : process.stderr, logger)
  const onProgress = (event: PrepareProgress): void =>
    progress.show(event.kind === 'hash' ? 'hashing the checkpoint' : 'converting weights', event.doneBytes, event.totalBytes)
  const cacheDir = options.cacheDir === undefined ? {} : { cacheDir: options.cacheDir }
  const checkpoint = await openCheckpoint(options.model, { ...cacheDir, requireTokenizer: true, onProgress, signal })
  undo.push(() => checkpoint.close())
  const { blocks } = checkpoint.config
  const span = options.blocks ?? { start: 0, end: blocks }
  if (span.end > blocks) {
    throw new InvalidArgumentError(`--blocks ${formatBlockRange(span)} is outside the model: ${checkpoint.modelId} has blocks 0:${blocks}`)
  }
  const prepared = await prepareSpan({ checkpoint, span, dtype: options.dtype, ...cacheDir, onProgress, signal })
  progress.end()
  return { checkpoint, prepared, span }
}

async function openNetwork(options: NodeOptions, identity: KeyIdentity, logger: Logger, link: LinkSource | undefined): Promise<Network> {
  const { listen, announce, bootstrap, dht } = options
  const [clock, random] = [systemClock(), cryptoRandom()]
  const network = await createLibp2pNetwork({
    identity,
    listen,
    announce,
    bootstrap,
    dhtMode: dht,
    // Who must be reached through a relay listens on one by name: --listen <relay>/p2p-circuit.
    relay: options.lan === true ? 'off' : 'dial',
    allowPrivateAddresses: options.lan ?? (areAllPrivate(bootstrap) || (bootstrap.length === 0 && areAllPrivate(listen))),
    clock,
    random,
    logger
  })
  return link === undefined ? network : shapeNetwork(network, link.profile, { ...link, clock, random, logger })
}

/** Tells that it is ready, and waits for a stop. */
async function serve(
  daemon: NodeDaemon,
  options: NodeOptions,
  host: NodeProcess,
  logger: Logger,
  status: StatusServer | undefined,
  stopping: AbortSignal,
  onStop: (stop: (signal: string) => void) => void
): Promise<void> {
  const stopReporting = host.onReport(() => logger.info('status', { event: 'status', ...daemon.status() }))
  try {
    const stopped = new Promise<void>((resolve, reject) => {
      const stop = (signal: string): void => {
        logger.info('stopping', { event: 'stopping', signal, sessions: daemon.status().load.sessions })
        daemon.stop(options.drainSeconds * 1000).then(resolve, reject)
      }
      onStop(stop)
      if (stopping.aborted) stop('before it was ready')
    })
    if (!stopping.aborted) announceReady(daemon, options, host, logger, status)
    await Promise.race([stopped, daemon.failed])
    logger.info('stopped', { event: 'stopped' })
  } catch (error) {
    if (error instanceof RuntimeHangsError) {
      logger.error('the node gives up', { event: 'failed', code: error.code, reason: describeError(error) })
      // What is left of it may hang as well: it is not waited for.
      host.exit(exitCodes.failed)
    }
    throw error
  } finally {
    stopReporting()
  }
}

function announceReady(
  daemon: NodeDaemon,
  options: NodeOptions,
  host: NodeProcess,
  logger: Logger,
  status: StatusServer | undefined
): void {
  const { peerId, addresses, model, start, end, numerics, kvTokens, stepMs, rowsPerSecond } = daemon.status()
  const statusUrl = status === undefined ? {} : { statusUrl: `http://127.0.0.1:${status.port}/status` }
  if (options.json) {
    const facts = { peerId, addresses, model, start, end, numerics, kvTokens, stepMs, rowsPerSecond, ...statusUrl }
    return writeEvent(host, 'info', { event: 'ready', ...facts }, 'ready')
  }
  logger.debug('ready', { peerId, numerics, kvTokens, stepMs, rowsPerSecond })
  // Who reads this wants to copy one that works elsewhere.
  const reachable = byReach(addresses)
  const [first] = reachable
  const lines = [
    `ready: blocks ${start}:${end} of ${model}, ${numerics.weights} weights, ${kvTokens} tokens of KV cache`,
    `speed: ${stepMs.toFixed(2)} ms a decode step, ${Math.round(rowsPerSecond)} rows a second in a prefill`,
    ...reachable.map((address) => `address: ${address}`),
    ...(status === undefined ? [] : [`status: ${statusUrl.statusUrl}`]),
    ...(first === undefined ? ['no address: nobody can reach this node; see --listen'] : commandLines(options.model, first, host.env))
  ]
  host.stdout.write(`${lines.join('\n')}\n`)
}

/** The last line of a JSON log of a node that failed, whether it served or did not come so far. */
export function logFailure(host: Pick<NodeProcess, 'stdout'>, { code, message }: CommandFailure): void {
  writeEvent(host, 'error', { event: 'failed', code, reason: message }, 'the node gives up')
}

/** A line of the JSON log at every log level: programs wait for it. */
function writeEvent(host: Pick<NodeProcess, 'stdout'>, level: 'info' | 'error', facts: object, msg: string): void {
  const time = new Date(systemClock().wallMs()).toISOString()
  host.stdout.write(`${JSON.stringify({ level, time, ...facts, msg })}\n`)
}
