import assert from 'node:assert/strict'
import {
  type AnnouncementReader,
  announcementReader,
  attachment,
  type Channel,
  channelLimits,
  decodeControlResponse,
  encodeControl,
  encodeLink,
  type Network,
  parseModelId,
  type PeerId,
  protocols,
  signAnnouncement,
  silentLogger
} from '@skein/protocol'
import { ed25519Verifier } from '@skein/protocol/node'
import { drainMicrotasks, ManualClock, memoryAddress, memoryInternet, testIdentity } from '@skein/protocol/testing'
import type { SpanRuntime, TurnEntry } from '../runtime/span-runtime.ts'
import { dialBudgetDefaults, linkBudgetDefaults } from './dial-budget.ts'
import { SessionHost, type SessionHostComponents, type SessionHostInit } from './session-host.ts'
import { openRequest, roomyRuntime } from './stage.test-helper.ts'

const sessions = dialBudgetDefaults.burst + 8

/** A host with one coordinator, and peers that count the links which reach them. Time stands still. */
class Bench {
  readonly host: SessionHost
  readonly network: Network
  readonly coordinator: Network
  readonly clock = new ManualClock()
  links = 0
  readonly #internet = memoryInternet()

  constructor(components: Partial<SessionHostComponents> = {}, init: Partial<SessionHostInit> = {}) {
    this.network = this.#internet.join(testIdentity(1).peerId)
    this.coordinator = this.#internet.join(testIdentity(2).peerId)
    this.coordinator.learn({ peer: this.network.self, addresses: [memoryAddress(this.network.self)], source: 'trusted' })
    const reader: AnnouncementReader = { parse: () => assert.fail('a record that nobody needs was read'), verify: () => assert.fail() }
    const { clock, network } = this
    this.host = new SessionHost(
      {
        ...{ clock, network, reader, logger: silentLogger, runtime: roomyRuntime },
        ...{ sequenceOf: () => undefined, state: () => 'serving', ...components }
      },
      { model: openRequest().model, maxSessions: sessions, maxSessionsPerPeer: sessions, historyBytes: 0, acceptsRaw: true, ...init }
    )
    this.host.start()
  }

  /** A peer whose address the host knows. */
  addSuccessor(number: number, isKnown = true): Network {
    const successor = this.#internet.join(testIdentity(3 + number).peerId)
    if (isKnown) this.network.learn({ peer: successor.self, addresses: [memoryAddress(successor.self)], source: 'trusted' })
    successor.handle(protocols.link, channelLimits.link, () => void this.links++)
    return successor
  }

  async open(number: number, successor: { readonly self: PeerId; readonly record?: Uint8Array }, historyBytes = 0): Promise<Channel> {
    const control = await this.coordinator.open(this.network.self, protocols.control, { limits: channelLimits.control })
    const { self, record } = successor
    const to = { kind: 'stage', peer: self, ...(record === undefined ? {} : { record }) } as const
    control.send({ head: encodeControl({ ...openRequest(number, { term: 1, to }), historyBytes }) })
    await drainMicrotasks()
    return control
  }

  silent(): Promise<Channel> {
    return this.coordinator.open(this.network.self, protocols.control, { limits: channelLimits.control })
  }

  /** @returns how many links reached a successor */
  async stop(): Promise<number> {
    const { links } = this
    this.host.stop()
    await this.network.stop()
    return links
  }
}

describe('the links that a coordinator makes a node open', () => {
  it('are not counted over a connection that the node has', async () => {
    const bench = new Bench()
    const next = bench.addSuccessor(0)
    for (let number = 0; number < sessions; number++) await bench.open(number, next)
    assert.equal(bench.host.sessions, sessions)
    assert.equal(await bench.stop(), sessions)
  })

  it('cost a dial each where the node has none, and come to an end', async () => {
    const bench = new Bench()
    for (let number = 0; number < sessions; number++) await bench.open(number, bench.addSuccessor(number))
    assert.equal(bench.host.sessions, sessions)
    assert.equal(await bench.stop(), dialBudgetDefaults.burst)
  })

  it('are counted all the same when one session asks for them again and again, and its records are not verified', async () => {
    const { burst } = linkBudgetDefaults
    const bench = new Bench()
    const next = bench.addSuccessor(0)
    const control = await bench.open(1, next)
    for (let term = 2; term < burst + 10; term++) {
      const link = { term, to: { kind: 'stage', peer: next.self, record: new Uint8Array(300) } } as const
      control.send({ head: encodeControl({ type: 'reroute', id: term, side: 'successor', link }) })
      await drainMicrotasks()
    }
    // The first was a dial.
    assert.equal(await bench.stop(), 1 + burst)
  })
})

describe('the record that comes with a successor', () => {
  const successor = testIdentity(3)
  const sequence = 1_000

  /** @returns how many links reached the successor, whose address the node has from the record alone */
  async function linksWith(record: Uint8Array, known?: number): Promise<number> {
    const bench = new Bench({ reader: announcementReader(ed25519Verifier()), sequenceOf: () => known })
    bench.addSuccessor(0, false)
    await bench.open(1, { self: successor.peerId, record })
    assert.equal(bench.host.sessions, 1)
    return await bench.stop()
  }

  function record(identity = successor, model = openRequest().model): Uint8Array {
    const { peerId: peer } = identity
    const span = { start: 0, end: 2 }
    const facts = { blocks: 2, hiddenSize: 8, span, entryPoints: [0, 2], numerics: openRequest().numerics, state: 'serving' as const }
    const speed = { stepMs: 1, rowsPerSecond: 1, kvTokens: 1, historyBytes: 0 }
    // The address of the successor, whoever signs it.
    const addresses = [memoryAddress(successor.peerId).replace(/\/p2p\/.*/, '')]
    return signAnnouncement(identity, { ...facts, ...speed, peer, model, addresses, sequence, lifeMs: 180_000 }).encoded
  }

  it('tells where it is', async () => {
    assert.equal(await linksWith(record()), 1)
    assert.equal(await linksWith(record(), sequence), 1)
  })

  it('is worth nothing when another peer has signed it, or it is of another model', async () => {
    assert.equal(await linksWith(record(testIdentity(4))), 0)
    assert.equal(await linksWith(record(successor, parseModelId('m@11111111111111111111111111111111'))), 0)
    const forged = record()
    forged[forged.length - 1]! ^= 1
    assert.equal(await linksWith(forged), 0)
  })

  it('is worth nothing when a later one is known: another may have the address now', async () => {
    assert.equal(await linksWith(record(), sequence + 1), 0)
  })
})

describe('channels without a first frame', () => {
  it('are given up after thirty seconds', async () => {
    const bench = new Bench()
    const channel = await bench.silent()
    await bench.clock.advanceAsync(29_999)
    const answer = channel.receive()
    let isAnswered = false
    void answer.then(() => (isAnswered = true))
    await drainMicrotasks()
    assert.equal(isAnswered, false)
    await bench.clock.advanceAsync(1)
    assert.equal(decodeControlResponse((await answer)!.head).type, 'refused')
    await bench.stop()
  })
})

describe('the bytes that a coordinator makes a node send again', () => {
  it('are counted, and no successor is dialled for one who has caused too many', async () => {
    const rows = 8
    const rowBytes = 32
    const runtime: SpanRuntime = {
      ...roomyRuntime,
      run: (entries: readonly TurnEntry[]) =>
        Promise.resolve({ outputs: entries.map(({ input }) => ({ ok: true as const, output: input.slice() })), computeUs: 1 })
    }
    const historyBytes = 16 * rowBytes
    const bench = new Bench({ runtime }, { historyBytes })
    const next = bench.addSuccessor(0)
    let replayed = 0
    const peers: Channel[] = []
    next.handle(protocols.link, channelLimits.link, (channel) => {
      peers.push(channel)
      bench.links++
      void (async () => {
        await channel.receive()
        const held = { rows: 0, lastSeq: 0, tail: [] }
        channel.send({ head: encodeLink({ type: 'held', term: bench.links, held, steps: 8, bytes: 1 << 20 }) })
        for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive())
          replayed += frame.body?.byteLength ?? 0
      })()
    })
    const control = await bench.open(1, next, historyBytes)
    const input = await bench.coordinator.open(bench.network.self, protocols.link, { limits: channelLimits.link })
    const { session } = openRequest(1)
    input.send({ head: encodeLink({ type: 'hello', coordinator: bench.coordinator.self, session, term: 1 }) })
    const runs = [{ seq: 1, rows, want: 'none' as const }]
    const step = encodeLink({ type: 'step', from: 1, to: 1, position: 0, after: 0, runs, computeUs: 0 })
    input.send({ head: step, body: attachment(new Uint8Array(rows * rowBytes)) })
    await drainMicrotasks()
    assert.equal(replayed, rows * rowBytes, 'the first time, it is no replay')
    for (let term = 2; term < 100; term++) {
      const link = { term, to: { kind: 'stage', peer: next.self } } as const
      control.send({ head: encodeControl({ type: 'reroute', id: term, side: 'successor', link }) })
      await drainMicrotasks()
    }
    const most = (16 * historyBytes) / (rows * rowBytes)
    assert.equal(bench.links, 1 + most)
    assert.equal(replayed, (1 + most) * rows * rowBytes)
    await bench.stop()
  })
})
