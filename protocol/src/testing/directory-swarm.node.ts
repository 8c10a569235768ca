import assert from 'node:assert/strict'
import { announcementReader } from '../announcement/announcement-reader.ts'
import type { Announcement, NodeState } from '../announcement/announcement.ts'
import { signAnnouncement } from '../announcement/signing.ts'
import { parseModelId } from '../ids.ts'
import type { PeerId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { memoryAddress, memoryInternet } from '../memory/memory-network.ts'
import { decodeDirectoryRequest, encodeDirectory } from '../messages/directory.ts'
import type { DirectoryRequest, DirectoryResponse } from '../messages/directory.ts'
import type { MemoryInternet } from '../memory/memory-network.ts'
import type { Verifier } from '../ports/identity.ts'
import { silentLogger, type Logger } from '../ports/logger.ts'
import type { Channel, Network } from '../ports/network.ts'
import { seededRandom } from '../ports/seeded-random.ts'
import { ed25519Verifier } from '../ports/system/ed25519.node.ts'
import type { KeyIdentity } from '../ports/system/ed25519.node.ts'
import { ManualClock } from './manual-clock.ts'
import { testIdentity } from './test-identity.node.ts'
import { protocols } from '../versions.ts'
import { AnnouncementStore } from '../directory/announcement-store.ts'
import type { DirectoryInit } from '../directory/directory-init.ts'
import { DirectoryService } from '../directory/directory-service.ts'

export const model = parseModelId(`tiny@${'0'.repeat(32)}`)

/** The answer to an exchange by a keeper that holds nothing else than the asker; the id is missing. */
export const emptyDelta = {
  ...{ type: 'delta', buckets: [0], entries: [], records: [], ages: new Uint8Array(0) },
  ...{ wanted: false, whole: true }
} as const satisfies Omit<DirectoryResponse, 'id'>

export interface Pretender {
  readonly id: PeerId
  readonly channels: number
}

/** A member of a swarm, or a coordinator of it. */
export interface Peer {
  readonly identity: KeyIdentity
  readonly id: PeerId
  readonly network: Network
  readonly store: AnnouncementStore
  readonly service: DirectoryService
  /** Signatures that were checked. */
  verified(): number
}

/** Directories on a network in memory, for tests of how announcements travel. */
export class Swarm {
  readonly clock = new ManualClock()
  readonly internet: MemoryInternet = memoryInternet()
  readonly peers: Peer[] = []
  readonly #logger: Logger

  constructor(logger: Logger = silentLogger) {
    this.#logger = logger
  }

  add(name: string, init: Partial<DirectoryInit> = {}, contacts: readonly Peer[] = []): Peer {
    const identity = testIdentity(name)
    const network = this.internet.join(identity.peerId)
    const store = new AnnouncementStore({ self: identity.peerId })
    const inner = ed25519Verifier()
    let verified = 0
    const verifier: Verifier = {
      verify: (...args) => {
        verified++
        return inner.verify(...args)
      }
    }
    for (const { id } of contacts) network.learn({ peer: id, addresses: [memoryAddress(id)], source: 'trusted' })
    const service = new DirectoryService(
      { network, clock: this.clock, random: seededRandom(name), reader: announcementReader(verifier), logger: this.#logger, store },
      { model, mesh: true, contacts: contacts.map(({ id }) => id), ...init }
    )
    const peer: Peer = { identity, id: identity.peerId, network, store, service, verified: () => verified }
    this.peers.push(peer)
    service.start()
    return peer
  }

  /** A peer that answers as it likes, after a while or never; `channels` counts those that were opened to it. */
  pretend(name: string, answer: (request: DirectoryRequest) => DirectoryResponse | undefined, delayMs = 0): Pretender {
    const pretender = { id: testIdentity(name).peerId, channels: 0 }
    this.internet.join(pretender.id).handle(protocols.directory, channelLimits.directory, (channel) => {
      pretender.channels++
      const serve = async (): Promise<void> => {
        for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
          const response = answer(decodeDirectoryRequest(frame.head))
          if (delayMs > 0) await this.clock.sleep(delayMs)
          if (response !== undefined) channel.send({ head: encodeDirectory(response) })
        }
        await channel.end()
      }
      serve().catch(() => {})
    })
    return pretender
  }

  /** A coordinator that exchanges with these when told to, and hardly ever by itself. */
  coordinatorOf(...contacts: PeerId[]): Peer {
    const coordinator = this.add('coordinator', { mesh: false, coordinatorExchangeMs: 1e9, contacts })
    for (const id of contacts) coordinator.network.learn({ peer: id, addresses: [memoryAddress(id)], source: 'trusted' })
    return coordinator
  }

  announce(peer: Peer, sequence: number, facts: Partial<Announcement> = {}): void {
    assert.match(peer.service.announce(this.sign(peer.identity, sequence, facts)), /added|changed/)
  }

  sign(identity: KeyIdentity, sequence: number, facts: Partial<Announcement> = {}): ReturnType<typeof signAnnouncement> {
    return signAnnouncement(identity, {
      peer: identity.peerId,
      model,
      blocks: 8,
      hiddenSize: 64,
      span: { start: 0, end: 4 },
      entryPoints: [0, 4],
      numerics: { weights: 'f32', kernels: 'k' },
      state: 'serving',
      addresses: [memoryAddress(identity.peerId)],
      stepMs: 1,
      rowsPerSecond: 100,
      kvTokens: 100,
      historyBytes: 100,
      sequence,
      lifeMs: 90_000,
      ...facts
    })
  }

  /** What a peer knows: the states by peer. */
  known(peer: Peer): Map<PeerId, NodeState> {
    return new Map(peer.store.list(model, this.clock.monotonicMs()).map(({ announcement }) => [announcement.peer, announcement.state]))
  }

  /** Lets a caller's promise finish, moving the time as far as it needs. */
  async settle<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let done = false
    const watched = promise.finally(() => (done = true))
    watched.catch(() => {})
    for (let passed = 0; !done; passed += 10) {
      assert.ok(passed <= limitMs, `not settled within ${limitMs} ms`)
      await this.clock.advanceAsync(10)
    }
    return await watched
  }

  async stop(): Promise<void> {
    await this.settle(Promise.all(this.peers.map((peer) => peer.service.stop())).then(() => undefined))
    assert.equal(this.clock.pendingTimers, 0, 'a timer is left')
  }
}

/** A peer that writes what it likes on a channel. */
export async function rawChannel(swarm: Swarm, name: string, to: Peer): Promise<{ channel: Channel; identity: KeyIdentity }> {
  const identity = testIdentity(name)
  const network = swarm.internet.join(identity.peerId)
  network.learn({ peer: to.id, addresses: [memoryAddress(to.id)], source: 'trusted' })
  return { channel: await network.open(to.id, protocols.directory, { limits: channelLimits.directory }), identity }
}
