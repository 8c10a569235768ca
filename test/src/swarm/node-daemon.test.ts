import assert from 'node:assert/strict'
import { NodeDaemon } from '@skein/node'
import {
  announcementReader,
  AnnouncementStore,
  announcementStoreDefaults,
  DirectoryService,
  signAnnouncement,
  silentLogger
} from '@skein/protocol'
import { ed25519Verifier } from '@skein/protocol/node'
import { ManualClock, memoryInternet, memoryStorage, seededRandom, testIdentity } from '@skein/protocol/testing'
import { ChecksumRuntime } from '@skein/sim'
import { MemorySwarm, model, totalBlocks } from '../harness/memory-swarm.ts'

const whole = { start: 0, end: totalBlocks }

interface Parts {
  readonly clock: ManualClock
  readonly runtime: ChecksumRuntime
  readonly store: AnnouncementStore
  readonly daemon: NodeDaemon
}

function makeNode(): Parts {
  const clock = new ManualClock()
  const identity = testIdentity(1)
  const network = memoryInternet().join(identity.peerId)
  const numerics = { weights: 'f32', kernels: 'checksum' } as const
  const runtime = new ChecksumRuntime({
    span: { start: 0, end: 2 },
    entryPoints: [0, 1, 2],
    hiddenSize: 8,
    numerics,
    contextTokens: 512,
    kvTokens: 1024
  })
  const store = new AnnouncementStore({ self: identity.peerId })
  const common = { clock, network, random: seededRandom(1), reader: announcementReader(ed25519Verifier()), logger: silentLogger }
  const directory = new DirectoryService({ ...common, store }, { model, mesh: true })
  const daemon = new NodeDaemon(
    { ...common, storage: memoryStorage(), identity, runtime, directory },
    { model, blocks: 2, maxSessions: 4, historyBytes: 1 << 20, acceptsRaw: true }
  )
  return { clock, runtime, store, daemon }
}

function announced({ store, clock }: Parts): string | undefined {
  return store.list(model, clock.monotonicMs())[0]?.announcement.state
}

describe('a node', () => {
  it('joins, serves, and says when it goes', async () => {
    const parts = makeNode()
    assert.equal(parts.daemon.state, 'joining')
    await parts.daemon.start()
    assert.equal(parts.daemon.state, 'serving')
    assert.equal(announced(parts), 'serving')
    assert.equal(parts.runtime.caches, 0, 'the measurement freed its cache')
    await Promise.all([parts.daemon.stop(1000), parts.daemon.stop(1000)])
    assert.equal(parts.daemon.state, 'offline')
    assert.equal(announced(parts), 'offline')
  })

  it('signs its announcement anew though nothing has changed, before the last one is too old to be believed', async () => {
    const parts = makeNode()
    await parts.daemon.start()
    const sequence = (): number => parts.store.list(model, parts.clock.monotonicMs())[0]?.announcement.sequence ?? 0
    const first = sequence()
    const { unsignedMs } = announcementStoreDefaults
    for (let passedMs = 0; passedMs < unsignedMs; passedMs += 60_000) parts.clock.advance(60_000)
    assert.ok(sequence() > first)
    await parts.daemon.stop(0)
  })

  it('gives way when another host announces itself under the same key', async () => {
    const parts = makeNode()
    await parts.daemon.start()
    const failed = assert.rejects(parts.daemon.failed, { code: 'ERR_SKEIN_IDENTITY' })
    const nowMs = parts.clock.monotonicMs()
    const own = parts.store.list(model, nowMs)[0]?.announcement
    assert.ok(own)
    const twin = signAnnouncement(testIdentity(1), { ...own, addresses: ['/memory/elsewhere'], sequence: own.sequence + 5 })
    parts.store.put(twin, testIdentity(2).peerId, 0, nowMs)
    await failed
    assert.equal(parts.daemon.state, 'offline')
  })

  it('leaves the swarm when its runtime has failed, and says why', async () => {
    const swarm = new MemorySwarm()
    let broken = false
    const node = await swarm.addNode(whole, {
      compute: () => (broken ? Promise.reject(new Error('the worker exited')) : Promise.resolve())
    })
    const failed = assert.rejects(node.daemon.failed, /the worker exited/)
    const { session } = await swarm.open(swarm.addCoordinator(), [{ node, span: whole }], {
      options: { coverageWaitMs: 20, searchAgainMs: 10 }
    })
    broken = true
    await assert.rejects(session.step([1], 0, 'last'), { code: 'ERR_SKEIN_NO_COVERAGE' })
    await failed
    assert.equal(node.daemon.state, 'offline')
    await session.close()
    await swarm.stop()
  })

  it('gives up when a turn never ends', async () => {
    const swarm = new MemorySwarm()
    let hangs = false
    const node = await swarm.addNode(whole, { compute: () => (hangs ? new Promise(() => {}) : Promise.resolve()), maxTurnMs: 80 })
    const failed = assert.rejects(node.daemon.failed, { code: 'ERR_SKEIN_RUNTIME_HANGS' })
    const { session } = await swarm.open(swarm.addCoordinator(), [{ node, span: whole }])
    hangs = true
    const step = assert.rejects(session.step([1], 0, 'last'))
    await failed
    await session.close()
    await step
    await swarm.stop()
  })
})
