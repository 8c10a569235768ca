import {
  announcementReader,
  AnnouncementStore,
  type Channel,
  channelLimits,
  decodeControlRequest,
  DirectoryService,
  encodeControl,
  type Frame,
  type HelloMessage,
  decodeLink,
  type Network,
  type PeerId,
  parseModelId,
  protocols,
  signAnnouncement,
  silentLogger
} from '@skein/protocol'
import { createLibp2pNetwork, cryptoRandom, ed25519Identity, ed25519Verifier, systemClock } from '@skein/protocol/node'
import { message } from './hostile-peer.ts'
import type { NodeProcess } from './node-process.ts'
import { tinyBlocks } from './work-folder.ts'

const load = { queuedRows: 0, freeKvTokens: 16_384, freeHistoryBytes: 2 ** 29, sessions: 0 }

/**
 * A node that announces all blocks and to be the fastest of the swarm, grants every session, and then gives what
 * `answer` makes: frames in place of the results of the first step. It hosts no model at all.
 */
export class LyingNode {
  readonly network: Network
  readonly #directory: DirectoryService
  /** Sessions that it was given. */
  sessions = 0

  private constructor(network: Network, directory: DirectoryService) {
    this.network = network
    this.#directory = directory
  }

  get peerId(): PeerId {
    return this.network.self
  }

  static async join(node: NodeProcess, answer: (hello: HelloMessage) => Iterable<Frame>): Promise<LyingNode> {
    const [clock, random, logger] = [systemClock(), cryptoRandom(), silentLogger]
    const identity = ed25519Identity(random.bytes(32))
    const network = await createLibp2pNetwork({
      ...{ identity, clock, random, logger, bootstrap: node.addresses, listen: ['/ip4/127.0.0.1/tcp/0'] },
      dhtMode: 'off',
      allowPrivateAddresses: true
    })
    const { model: id, numerics } = node.ready
    const model = parseModelId(id)
    const components = { network, clock, random, reader: announcementReader(ed25519Verifier()), logger, store: new AnnouncementStore() }
    const directory = new DirectoryService(components, { model, mesh: true, contacts: [node.peerId] })
    const liar = new LyingNode(network, directory)
    network.handle(protocols.control, channelLimits.control, (channel) => void liar.#grant(channel).catch(() => channel.reset()))
    network.handle(protocols.results, channelLimits.link, (channel) => void liar.#lie(channel, answer).catch(() => channel.reset()))
    network.handle(protocols.link, channelLimits.link, (channel) => void liar.#swallow(channel).catch(() => channel.reset()))
    directory.start()
    const facts = {
      model,
      blocks: tinyBlocks,
      hiddenSize: 128,
      span: { start: 0, end: tinyBlocks },
      entryPoints: [0, tinyBlocks],
      numerics,
      state: 'serving'
    } as const
    const speed = { stepMs: 0.001, rowsPerSecond: 1e9, kvTokens: 16_384, historyBytes: 2 ** 29 }
    const said = { peer: identity.peerId, addresses: network.addresses(), sequence: clock.wallMs(), lifeMs: 60_000 }
    directory.announce(signAnnouncement(identity, { ...facts, ...speed, ...said }))
    await directory.flush()
    return liar
  }

  async stop(): Promise<void> {
    await this.#directory.stop()
    await this.network.stop()
  }

  async #grant(channel: Channel): Promise<void> {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const request = decodeControlRequest(frame.head)
      if (request.type === 'open') {
        this.sessions++
        channel.send({ head: encodeControl({ type: 'opened', id: request.id, load }) })
      } else if (request.type === 'close') channel.send({ head: encodeControl({ type: 'closed', id: request.id }) })
      // It is found out, and goes: the coordinator need not wait for answers.
      else channel.reset()
    }
    await channel.end()
  }

  /** The coordinator asks for its results here. */
  async #lie(channel: Channel, answer: (hello: HelloMessage) => Iterable<Frame>): Promise<void> {
    const hello = decodeLink((await channel.receive())!.head)
    if (hello.type !== 'hello') return
    // What the coordinator holds.
    await channel.receive()
    for (const frame of answer(hello)) if (!channel.send(frame)) await channel.writable()
    while ((await channel.receive()) !== undefined);
  }

  /** Takes activations, with credit for more, and computes nothing. */
  async #swallow(channel: Channel): Promise<void> {
    const hello = decodeLink((await channel.receive())!.head)
    if (hello.type !== 'hello') return
    channel.send(message({ type: 'held', term: hello.term, held: { rows: 0, lastSeq: 0, tail: [] }, steps: 1_000, bytes: 2 ** 30 }))
    while ((await channel.receive()) !== undefined);
  }
}
