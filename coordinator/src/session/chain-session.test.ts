import assert from 'node:assert/strict'
import {
  type Channel,
  channelLimits,
  type CloseCause,
  type ControlRequest,
  type ControlResponse,
  decodeControlRequest,
  encodeControl,
  ForwardingNetwork,
  lingerFrames,
  type OpenOptions,
  parseModelId,
  parseSessionId,
  type PeerId,
  type ProtocolId,
  protocols,
  silentLogger
} from '@skein/protocol'
import { drainMicrotasks, ManualClock, memoryAddress, memoryInternet, testIdentity } from '@skein/protocol/testing'
import { ChainSession } from './chain-session.ts'

const numerics = { weights: 'f32', kernels: 'k' } as const
const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }

/** Keeps the control channels that are opened through it. */
class WatchedNetwork extends ForwardingNetwork {
  readonly controls: Channel[] = []

  override async open(peer: PeerId, protocol: ProtocolId, options: OpenOptions): Promise<Channel> {
    const channel = await this.network.open(peer, protocol, options)
    if (protocol === protocols.control) this.controls.push(channel)
    return channel
  }
}

/** What a stage does with a link on which nothing comes. */
async function endAfterOther(link: Channel): Promise<void> {
  while ((await link.receive()) !== undefined);
  await link.end()
}

/** A session over one stage, whose part the test plays. */
class Bench {
  readonly clock = new ManualClock()
  readonly causes: { coordinator?: CloseCause['kind']; stage?: CloseCause['kind'] } = {}
  session!: ChainSession
  stage!: Channel

  static async open(): Promise<Bench> {
    const bench = new Bench()
    const internet = memoryInternet()
    const node = internet.join(testIdentity(1).peerId)
    const network = new WatchedNetwork(internet.join(testIdentity(2).peerId))
    network.learn({ peer: node.self, addresses: [memoryAddress(node.self)], source: 'trusted' })
    const accepted = new Promise<Channel>((resolve) => node.handle(protocols.control, channelLimits.control, resolve))
    for (const protocol of [protocols.link, protocols.results]) {
      node.handle(protocol, channelLimits.link, (link) => void endAfterOther(link))
    }
    const opening = ChainSession.open(
      {
        ...{ clock: bench.clock, logger: silentLogger, network },
        embed: () => assert.fail('nothing is computed'),
        chooseStages: (span) => Promise.resolve({ kind: 'uncovered', blocks: [span] })
      },
      {
        coordinator: network.self,
        session: parseSessionId('0123456789abcdef0123456789abcdef'),
        model: parseModelId('m@00000000000000000000000000000000'),
        ...{ totalBlocks: 6, hiddenSize: 8, exact: false, encoding: 'raw', kvTokens: 32 }
      },
      [{ peer: node.self, span: { start: 0, end: 6 }, numerics }]
    )
    bench.stage = await accepted
    const request = await bench.hear()
    assert.ok(request?.type === 'open')
    bench.say({ type: 'opened', id: request.id, load })
    bench.session = await opening
    await drainMicrotasks()
    void network.controls[0]!.closed.then(({ kind }) => (bench.causes.coordinator = kind))
    void bench.stage.closed.then(({ kind }) => (bench.causes.stage = kind))
    return bench
  }

  async hear(): Promise<ControlRequest | undefined> {
    const frame = await this.stage.receive()
    return frame && decodeControlRequest(frame.head)
  }

  say(response: ControlResponse): void {
    this.stage.send({ head: encodeControl(response) })
  }

  /** The session closes: the stage hears of it, and the end when it has answered. */
  async close(): Promise<this> {
    const closing = this.session.close()
    const request = await this.hear()
    assert.ok(request?.type === 'close')
    this.say({ type: 'closed', id: request.id })
    await closing
    assert.equal(await this.hear(), undefined)
    return this
  }

  async flood(frames: number): Promise<void> {
    for (let frame = 0; frame < frames; frame++) this.stage.send({ head: new Uint8Array(1) })
    await drainMicrotasks()
  }

  async assertEnded(): Promise<void> {
    await drainMicrotasks()
    assert.deepEqual(this.causes, { coordinator: 'ended', stage: 'ended' })
  }
}

describe('a session that ends while its control channel is read', () => {
  it('comes to an orderly end with a stage that closes', async () => {
    const bench = await (await Bench.open()).close()
    await bench.stage.end()
    await bench.assertEnded()
    assert.equal(bench.clock.pendingTimers, 0)
  })

  it('does so with one that ends by itself', async () => {
    const bench = await Bench.open()
    bench.say({ type: 'refused', id: 0, code: 'ERR_SKEIN_DRAINING', message: 'this node is going offline', detail: {} })
    await bench.stage.end()
    while ((await bench.hear()) !== undefined);
    await bench.assertEnded()
    await bench.session.close()
    await drainMicrotasks()
    assert.equal(bench.clock.pendingTimers, 0)
  })

  it('says its last word to one that does not answer, before the end', async () => {
    const bench = await Bench.open()
    const closing = bench.session.close()
    await bench.clock.advanceAsync(5_000)
    await closing
    assert.equal((await bench.hear())?.type, 'close')
    assert.equal(await bench.hear(), undefined)
    await bench.stage.end()
    await bench.assertEnded()
    assert.equal(bench.clock.pendingTimers, 0)
  })

  it('resets a stage that is silent, after 5 s', async () => {
    const bench = await (await Bench.open()).close()
    await bench.clock.advanceAsync(4_999)
    assert.deepEqual(bench.causes, {})
    await bench.clock.advanceAsync(1)
    assert.deepEqual(bench.causes, { coordinator: 'reset', stage: 'remote' })
    assert.equal(bench.clock.pendingTimers, 0)
  })

  it('takes no more than so many frames from one that goes on', async () => {
    const patient = await (await Bench.open()).close()
    await patient.flood(lingerFrames)
    await patient.stage.end()
    await patient.assertEnded()
    const bench = await (await Bench.open()).close()
    await bench.flood(lingerFrames + 1)
    assert.deepEqual(bench.causes, { coordinator: 'reset', stage: 'remote' })
    assert.equal(bench.clock.pendingTimers, 0)
  })
})
