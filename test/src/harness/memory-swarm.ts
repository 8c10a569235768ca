import { ChainSession, type ChainSessionInit, type SessionEvent, type TokenSession } from '@skein/coordinator'
import { NodeDaemon } from '@skein/node'
import {
  announcementReader,
  AnnouncementStore,
  type BlockRange,
  type Clock,
  DirectoryService,
  type Network,
  parseModelId,
  parseSessionId,
  type PeerId,
  silentLogger
} from '@skein/protocol'
import { ed25519Verifier, systemClock } from '@skein/protocol/node'
import { memoryAddress, type MemoryInternet, memoryInternet, memoryStorage, seededRandom, testIdentity } from '@skein/protocol/testing'
import { checksumEmbedding, ChecksumRuntime, ReferenceMachine } from '@skein/sim'

export const model = parseModelId('checksums@00000000000000000000000000000001')
export const totalBlocks = 8
const numerics = { weights: 'f32', kernels: 'checksum' } as const

export interface SwarmNode {
  readonly peer: PeerId
  readonly daemon: NodeDaemon
  readonly runtime: ChecksumRuntime
  /** As kill -9: the network is gone, and nothing is said to anybody. */
  crash(): Promise<void>
}

export interface NodeInit {
  /** What a turn waits for. */
  readonly compute?: () => Promise<void>
  readonly maxTurnMs?: number
}

export interface SessionUnderTest {
  readonly session: TokenSession
  readonly events: SessionEvent[]
}

/** Daemons on a network in memory, with checksums for activations: every part but libp2p and ONNX Runtime is production code. */
export class MemorySwarm {
  readonly internet: MemoryInternet = memoryInternet()
  readonly clock: Clock = systemClock()
  readonly nodes: SwarmNode[] = []
  readonly #random = seededRandom(7)
  readonly #networks: Network[] = []
  /** Also those that a test has taken out of the swarm. */
  readonly #started: SwarmNode[] = []
  #nextSeed = 1

  async addNode(span: BlockRange, init: NodeInit = {}): Promise<SwarmNode> {
    const identity = testIdentity(this.#nextSeed++)
    const network = this.#join(identity.peerId)
    const runtime = new ChecksumRuntime(
      {
        span,
        entryPoints: Array.from({ length: span.end - span.start + 1 }, (_, index) => span.start + index),
        hiddenSize: 8,
        numerics,
        contextTokens: 2048,
        kvTokens: 4096
      },
      init.compute === undefined
        ? {}
        : {
            spend: async () => {
              await init.compute?.()
              return 0
            }
          }
    )
    const components = { clock: this.clock, logger: silentLogger, network, reader: announcementReader(ed25519Verifier()) }
    const contacts = this.nodes.slice(0, 1).map((node) => node.peer)
    const random = this.#random.fork(identity.peerId)
    const directory = new DirectoryService(
      { ...components, random, store: new AnnouncementStore({ self: identity.peerId }) },
      { model, mesh: true, contacts }
    )
    const daemon = new NodeDaemon(
      { ...components, random, storage: memoryStorage(), identity, runtime, directory },
      {
        model,
        blocks: totalBlocks,
        maxSessions: 8,
        maxSessionsPerPeer: 8,
        historyBytes: 1 << 20,
        acceptsRaw: true,
        ...(init.maxTurnMs === undefined ? {} : { maxTurnMs: init.maxTurnMs })
      }
    )
    await daemon.start()
    const node = { peer: identity.peerId, daemon, runtime, crash: () => network.stop() }
    this.nodes.push(node)
    this.#started.push(node)
    return node
  }

  /** A coordinator's network: knows every node, as after asking the directory. */
  addCoordinator(): Network {
    return this.#join(testIdentity(1000 + this.#nextSeed++).peerId)
  }

  /** Opens a session over the given nodes; replacements are whoever hosts the blocks and is not excluded. */
  async open(
    network: Network,
    stages: readonly { readonly node: SwarmNode; readonly span: BlockRange }[],
    init: Partial<Pick<ChainSessionInit, 'transport' | 'kvTokens' | 'exact' | 'options'>> = {}
  ): Promise<SessionUnderTest> {
    const events: SessionEvent[] = []
    const session = await ChainSession.open(
      {
        clock: this.clock,
        logger: silentLogger,
        network,
        embed: (tokens) => Promise.resolve(embed(tokens)),
        chooseStages: (span, exclude) => {
          const node = this.nodes.find(
            ({ peer, daemon }) =>
              !exclude.includes(peer) &&
              daemon.state === 'serving' &&
              daemon.status().start <= span.start &&
              daemon.status().end >= span.end
          )
          return Promise.resolve(
            node === undefined ? { kind: 'uncovered', blocks: [span] } : { kind: 'stages', stages: [{ peer: node.peer, span, numerics }] }
          )
        },
        onEvent: (event) => events.push(event)
      },
      {
        coordinator: network.self,
        session: parseSessionId(Buffer.from(this.#random.bytes(16)).toString('hex')),
        model,
        totalBlocks,
        hiddenSize: 8,
        exact: false,
        encoding: 'raw',
        kvTokens: 512,
        ...init
      },
      stages.map(({ node, span }) => ({ peer: node.peer, span, numerics }))
    )
    return { session, events }
  }

  /** Caches that are reserved on nodes that live. */
  reservedCaches(): number {
    return this.nodes.reduce((sum, { runtime }) => sum + runtime.caches, 0)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#started.map(({ daemon }) => daemon.stop(0)))
    await Promise.all(this.#networks.map((network) => network.stop()))
  }

  #join(peer: PeerId): Network {
    const network = this.internet.join(peer)
    for (const other of this.#networks) {
      other.learn({ peer, addresses: [memoryAddress(peer)], source: 'trusted' })
      network.learn({ peer: other.self, addresses: [memoryAddress(other.self)], source: 'trusted' })
    }
    this.#networks.push(network)
    return network
  }
}

function embed(tokens: readonly number[]): Uint8Array {
  return Buffer.concat(tokens.map((token) => checksumEmbedding(token)))
}

/** The last row's output of one undisturbed machine, for a context of tokens: what every swarm must give. */
export function reference(context: readonly number[]): string {
  return hex(ReferenceMachine.output(totalBlocks, context))
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Waits for something that other tasks bring about; the test's own time-out ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}
