import assert from 'node:assert/strict'
import {
  type Announcement,
  AnnouncementStore,
  announcementReader,
  type BlockRange,
  type Channel,
  channelLimits,
  DirectoryService,
  encodeControl,
  parseModelId,
  type PeerId,
  protocols,
  signAnnouncement,
  silentLogger,
  WireErrorCode
} from '@skein/protocol'
import { ed25519Verifier } from '@skein/protocol/node'
import { ManualClock, memoryAddress, memoryInternet, seededRandom, testIdentity } from '@skein/protocol/testing'
import { SwarmMap } from './swarm-map.ts'

const model = parseModelId(`tiny@${'0'.repeat(32)}`)

async function refuseProbe(channel: Channel): Promise<void> {
  if ((await channel.receive()) === undefined) return
  const load = { queuedRows: 0, freeKvTokens: 1, freeHistoryBytes: 1, sessions: 0 }
  channel.send({ head: encodeControl({ type: 'refused', id: 1, code: WireErrorCode.UnknownSession, message: '', detail: {}, load }) })
  await channel.end()
}

/** A coordinator's map of nodes that host these blocks, on a network in memory. */
function mapOf(spans: readonly BlockRange[]) {
  const clock = new ManualClock()
  const internet = memoryInternet()
  const network = internet.join(testIdentity('coordinator').peerId)
  const store = new AnnouncementStore()
  const nodes = spans.map((span, index): PeerId => {
    const identity = testIdentity(`node ${index}`)
    const { peerId: peer } = identity
    internet.join(peer).handle(protocols.control, channelLimits.control, (channel) => void refuseProbe(channel))
    const addresses = [memoryAddress(peer)]
    network.learn({ peer, addresses, source: 'trusted' })
    const facts: Announcement = {
      ...{ peer, model, blocks: 8, hiddenSize: 64, span, entryPoints: [span.start, span.end], addresses },
      ...{ numerics: { weights: 'f32', kernels: 'k' }, state: 'serving', stepMs: 1, rowsPerSecond: 100 },
      ...{ kvTokens: 100, historyBytes: 100, sequence: 1, lifeMs: 180_000 }
    }
    store.put(signAnnouncement(identity, facts), peer, 0, clock.monotonicMs())
    return peer
  })
  const reader = announcementReader(ed25519Verifier())
  const parts = { clock, logger: silentLogger, network, store }
  const directory = new DirectoryService({ ...parts, random: seededRandom('map'), reader }, { model, mesh: false })
  const map = new SwarmMap({ ...parts, directory }, { model, blocks: 8, hiddenSize: 64 })
  const cut = (node: number): void => internet.cut(network.self, nodes[node]!, 'hang')
  /** Milliseconds until it has measured. */
  const measure = async (untilCovered: boolean): Promise<number> => {
    const startMs = clock.monotonicMs()
    let doneMs: number | undefined
    void map.measureRoundTrips({ untilCovered }).then(() => (doneMs = clock.monotonicMs()))
    for (let passed = 0; doneMs === undefined && passed < 20_000; passed += 100) await clock.advanceAsync(100)
    assert.ok(doneMs !== undefined, 'it waits for ever')
    return doneMs - startMs
  }
  /** Who has answered the question for the load, and after how many milliseconds all had or were given up. */
  const ask = async (patient: boolean): Promise<[answers: boolean[], tookMs: number]> => {
    const startMs = clock.monotonicMs()
    let answers: ReadonlyMap<PeerId, boolean> | undefined
    void map.askLoads({ patient }).then((given) => (answers = given))
    for (let passed = 0; answers === undefined && passed < 20_000; passed += 100) await clock.advanceAsync(100)
    return [nodes.map((peer) => answers?.get(peer) === true), clock.monotonicMs() - startMs]
  }
  /** A network in memory counts peers as connected while they have a channel. */
  const connect = (node: number): Promise<Channel> => network.open(nodes[node]!, protocols.control, { limits: channelLimits.control })
  /** As a connection that the node has opened. */
  const connectUnmeasured = (node: number): void => {
    const path = network.path.bind(network)
    network.path = (peer) => (peer === nodes[node] ? { kind: 'direct' } : path(peer))
  }
  /** To open a channel to a node, or to ping it, takes so long. */
  const delay = (node: number, ms: number): void => {
    const open = network.open.bind(network)
    const ping = network.ping.bind(network)
    network.ping = async (peer, options) => {
      if (peer === nodes[node]) await clock.sleep(ms, options)
      return ping(peer, options)
    }
    network.open = async (peer, protocol, options) => {
      if (peer === nodes[node]) await clock.sleep(ms, options)
      return open(peer, protocol, options)
    }
  }
  const failures = (node: number): number => map.view().nodes.find(({ peer }) => peer === nodes[node])!.failures
  return { clock, measure, ask, connect, connectUnmeasured, delay, cut, failures }
}

const [first, second] = [
  { start: 0, end: 4 },
  { start: 4, end: 8 }
]

describe('SwarmMap', () => {
  it('does not wait for a silent node when others host its blocks, and prefers these', async () => {
    const { clock, measure, cut, failures } = mapOf([first, second, second])
    cut(2)
    assert.equal(await measure(true), 500)
    assert.deepEqual([failures(0), failures(1), failures(2)], [0, 0, 1])
    // It is still asked, and has then failed for good.
    await clock.advanceAsync(9_000)
    assert.equal(failures(2), 1)
    await clock.advanceAsync(60_000)
    assert.equal(failures(2), 0)
  })

  it('does not hold it against a node that it is slow to connect, but that it is slow to answer', async () => {
    const slow = mapOf([first, second, second])
    slow.delay(1, 5_000)
    assert.equal(await slow.measure(false), 3_000)
    assert.deepEqual([slow.failures(0), slow.failures(1), slow.failures(2)], [0, 1, 0], 'others are better while it is awaited')
    await slow.clock.advanceAsync(2_000)
    assert.equal(slow.failures(1), 0)
    const connected = mapOf([first, second])
    connected.connectUnmeasured(1)
    connected.delay(1, 5_000)
    await connected.measure(false)
    await connected.clock.advanceAsync(2_000)
    assert.equal(connected.failures(1), 1)
  })

  it('waits three seconds for a node that alone hosts its blocks, or when it is to measure all', async () => {
    const alone = mapOf([first, second])
    alone.cut(1)
    assert.equal(await alone.measure(true), 3_000)
    assert.equal(alone.failures(1), 1)
    const all = mapOf([first, second, second])
    all.cut(2)
    assert.equal(await all.measure(false), 3_000)
  })

  it('waits longer for the load of who must be connected first when it is patient, and for nobody else', async () => {
    const slow = mapOf([first, second, second])
    slow.delay(1, 5_000)
    assert.deepEqual(await slow.ask(true), [[true, true, true], 5_000])
    const connected = mapOf([first, second])
    await connected.connect(1)
    connected.delay(1, 5_000)
    assert.deepEqual(await connected.ask(true), [[true, false], 3_000])
    const hasty = mapOf([first, second])
    hasty.delay(1, 5_000)
    assert.deepEqual(await hasty.ask(false), [[true, false], 3_000])
    const dead = mapOf([first, second])
    dead.cut(1)
    assert.deepEqual(await dead.ask(true), [[true, false], 9_000])
  })

  it('waits for nobody when all have answered', async () => {
    const { measure, failures } = mapOf([first, second, second])
    assert.equal(await measure(true), 0)
    assert.deepEqual([failures(0), failures(1), failures(2)], [0, 0, 0])
  })
})
