import {
  announcementReader,
  type Clock,
  decodeRows,
  encodeRows,
  type Logger,
  type Network,
  type Random,
  shapeNetwork,
  silentLogger,
  throwIfAborted
} from '@skein/protocol'
import {
  areAllPrivate,
  createLibp2pNetwork,
  cryptoRandom,
  ed25519Identity,
  ed25519Verifier,
  type LinkSource,
  loadIdentity,
  type LockedIdentity,
  peersOfAddresses,
  readLinkProfile,
  systemClock
} from '@skein/protocol/node'
import type { Ends } from '../ends/ends.ts'
import { createEnds } from '../ends/ends.node.ts'
import { requireConnectOptions } from './check-options.ts'
import { joinSwarm } from './join-swarm.ts'
import { tell } from './listener.ts'
import type { ClientEnds } from './swarm-client.ts'
import { connectDefaults, type ConnectOptions, type SwarmClient as Client } from './types.ts'

interface Resolved extends Required<Omit<ConnectOptions, 'identity' | 'lan' | 'cacheDir' | 'signal' | 'threads' | 'link'>> {
  readonly identity?: string
  readonly link?: LinkSource
  readonly lan: boolean
  readonly cacheDir?: string
  readonly signal?: AbortSignal
  readonly threads: number
}

/** Closed in the reverse order when connecting fails. */
type Cleanup = (() => Promise<void>)[]

/**
 * Connects to the swarm of a model: reads the model's ends, contacts the swarm, and waits until nodes cover every block.
 *
 * @throws InvalidArgumentError, CheckpointError for a folder that cannot be used, DialError when no bootstrap peer answers,
 * NoCoverageError that names the uncovered blocks, AbortError
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const resolved = resolve(options)
  const cleanup: Cleanup = []
  try {
    return await open(resolved, cleanup)
  } catch (error) {
    for (const close of cleanup.reverse()) await close()
    throw error
  }
}

function resolve(options: ConnectOptions): Resolved {
  requireConnectOptions(options)
  // Read for what may be wrong in them.
  peersOfAddresses(options.bootstrap)
  const { link, logger = silentLogger, ...rest } = options
  return {
    ...connectDefaults,
    ...withoutUndefined(rest),
    ...(link === undefined ? {} : { link: readLinkProfile(link, logger) }),
    lan: options.lan ?? areAllPrivate(options.bootstrap),
    logger,
    // Some of it is told by a worker's messages: what a listener throws there would end the process.
    onProgress: (progress) => tell(options.onProgress, progress, logger, 'connecting')
  }
}

async function open(options: Resolved, cleanup: Cleanup): Promise<Client> {
  const { onProgress, logger, signal } = options
  const clock = systemClock()
  const random = cryptoRandom()
  throwIfAborted(signal)
  onProgress({ phase: 'checkpoint', message: `reading ${options.model}` })
  // Side by side: the ends are opened in workers.
  const [opened, joined] = await Promise.allSettled([openEnds(options, cleanup), openNetwork(options, clock, random, logger, cleanup)])
  if (opened.status === 'rejected') throw opened.reason
  if (joined.status === 'rejected') throw joined.reason
  const [ends, { network, release }] = [opened.value, joined.value]
  onProgress({ phase: 'network', message: 'contacting the swarm' })
  return await joinSwarm(
    {
      clock,
      random,
      logger,
      network,
      reader: announcementReader(ed25519Verifier()),
      ends: encodedEnds(ends, options.encoding),
      text: ends.text,
      onClosed: release
    },
    { ...options, model: ends.modelId, config: ends.config, contacts: peersOfAddresses(options.bootstrap) }
  )
}

async function openEnds(options: Resolved, cleanup: Cleanup): Promise<Ends> {
  const { model, cacheDir, threads, headDtype, signal, onProgress } = options
  const verb = { hash: 'hashing', convert: 'converting' }
  const ends = await createEnds({
    modelFolder: model,
    threads,
    dtype: headDtype,
    ...(cacheDir === undefined ? {} : { cacheDir }),
    ...(signal === undefined ? {} : { signal }),
    onProgress: ({ phase, fraction }) => onProgress({ phase: 'ends', fraction, message: `${verb[phase]} ${model}` })
  })
  cleanup.push(() => ends.stop())
  return ends
}

/** The ends with rows as they travel. */
function encodedEnds(ends: Ends, encoding: Resolved['encoding']): ClientEnds {
  return {
    embed: async (tokens) => encodeRows(encoding, await ends.embed(tokens)),
    logits: (body, rows) => ends.logits(decodeRows(encoding, body), rows),
    stop: () => ends.stop()
  }
}

interface OpenedNetwork {
  readonly network: Network
  /** Lets another process use the key. */
  readonly release: () => Promise<void>
}

async function openNetwork(options: Resolved, clock: Clock, random: Random, logger: Logger, cleanup: Cleanup): Promise<OpenedNetwork> {
  let locked: LockedIdentity | undefined
  if (options.identity !== undefined) {
    locked = await loadIdentity(options.identity, random)
    const { release } = locked
    cleanup.push(release)
  }
  const network = await createLibp2pNetwork({
    identity: locked?.identity ?? ed25519Identity(random.bytes(32)),
    listen: [],
    bootstrap: options.bootstrap,
    // The bootstrap peers are the first contact, and a coordinator only ever dials.
    dhtMode: 'off',
    relay: 'dial',
    allowPrivateAddresses: options.lan,
    clock,
    random,
    logger
  })
  const { link } = options
  const shaped = link === undefined ? network : shapeNetwork(network, link.profile, { ...link, clock, random, logger })
  cleanup.push(() => shaped.stop())
  return { network: shaped, release: async () => locked?.release() }
}

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
}

/** The way into the SDK: `const client = await SwarmClient.connect({ model, bootstrap })`. */
export const SwarmClient = { connect } as const
export type SwarmClient = Client
