import assert from 'node:assert/strict'
import {
  type Channel,
  channelLimits,
  type CloseCause,
  type ControlResponse,
  decodeControlResponse,
  encodeControl,
  lingerFrames,
  protocols,
  silentLogger,
  WireError,
  WireErrorCode
} from '@skein/protocol'
import { drainMicrotasks, ManualClock, memoryAddress, memoryInternet, testIdentity } from '@skein/protocol/testing'
import { TurnScheduler } from '../batching/turn-scheduler.ts'
import { ByteBudget } from './byte-budget.ts'
import type { SpanRuntime } from '../runtime/span-runtime.ts'
import { StageShell, type StageShellComponents } from './stage-shell.ts'
import { openRequest, roomyRuntime } from './stage.test-helper.ts'

/** An open session whose control channel is being read, and the coordinator's end of that. */
class Bench {
  readonly clock = new ManualClock()
  readonly shell: StageShell
  readonly coordinator: Channel
  readonly control: Channel
  readonly causes: { stage?: CloseCause['kind']; coordinator?: CloseCause['kind'] } = {}

  private constructor(control: Channel, coordinator: Channel) {
    this.control = control
    this.coordinator = coordinator
    void control.closed.then(({ kind }) => (this.causes.stage = kind))
    void coordinator.closed.then(({ kind }) => (this.causes.coordinator = kind))
    const { clock } = this
    const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
    this.shell = new StageShell(
      {
        ...{ clock, runtime: roomyRuntime, logger: silentLogger },
        scheduler: new TurnScheduler({ runtime: roomyRuntime, clock, logger: silentLogger }),
        history: new ByteBudget(0),
        dial: () => assert.fail('the coordinator is the only neighbour'),
        load: () => load,
        onReplay: () => {},
        onEnded: () => {}
      },
      control,
      openRequest()
    )
  }

  static async open(): Promise<Bench> {
    const internet = memoryInternet()
    const [node, client] = [internet.join(testIdentity(1).peerId), internet.join(testIdentity(2).peerId)]
    client.learn({ peer: node.self, addresses: [memoryAddress(node.self)], source: 'trusted' })
    const accepted = new Promise<Channel>((resolve) => node.handle(protocols.control, channelLimits.control, resolve))
    const coordinator = await client.open(node.self, protocols.control, { limits: channelLimits.control })
    const bench = new Bench(await accepted, coordinator)
    bench.shell.start()
    assert.equal((await bench.hear())?.type, 'opened')
    await drainMicrotasks()
    return bench
  }

  async hear(): Promise<ControlResponse | undefined> {
    const frame = await this.coordinator.receive()
    return frame && decodeControlResponse(frame.head)
  }

  /** The node goes offline: its last word is heard, and the end. */
  async abort(): Promise<this> {
    this.shell.abort('ERR_SKEIN_DRAINING', 'this node is going offline')
    assert.equal((await this.hear())?.type, 'refused')
    assert.equal(await this.hear(), undefined)
    return this
  }

  async assertEnded(): Promise<void> {
    await this.coordinator.end()
    await drainMicrotasks()
    assert.deepEqual(this.causes, { stage: 'ended', coordinator: 'ended' })
    assert.equal(this.clock.pendingTimers, 0)
  }

  async flood(frames: number): Promise<void> {
    for (let frame = 0; frame < frames; frame++) this.coordinator.send({ head: new Uint8Array(1) })
    await drainMicrotasks()
  }
}

describe('a stage whose session ends while its control channel is read', () => {
  it('says its last word and comes to an orderly end, when it is closed', async () => {
    const bench = await Bench.open()
    bench.coordinator.send({ head: encodeControl({ type: 'close', id: 2 }) })
    assert.equal((await bench.hear())?.type, 'closed')
    assert.equal(await bench.hear(), undefined)
    await bench.assertEnded()
  })

  it('does so when it ends by itself', async () => {
    const bench = await Bench.open()
    await bench.abort()
    await bench.assertEnded()
  })

  it('does so when the coordinator goes', async () => {
    const bench = await Bench.open()
    await bench.coordinator.end()
    assert.equal(await bench.hear(), undefined)
    await bench.assertEnded()
  })

  it('does so after a request that it does not understand, with more behind it', async () => {
    const bench = await Bench.open()
    await bench.flood(1)
    const last = await bench.hear()
    assert.equal(last?.type === 'refused' && last.code, 'ERR_SKEIN_MALFORMED')
    await bench.flood(2)
    assert.equal(await bench.hear(), undefined)
    await bench.assertEnded()
  })

  it('resets a coordinator that is silent, after 5 s', async () => {
    const bench = await (await Bench.open()).abort()
    await bench.clock.advanceAsync(4_999)
    assert.deepEqual(bench.causes, {})
    await bench.clock.advanceAsync(1)
    assert.deepEqual(bench.causes, { stage: 'reset', coordinator: 'remote' })
    assert.equal(bench.clock.pendingTimers, 0)
  })

  it('takes no more than so many frames from one that goes on', async () => {
    const patient = await (await Bench.open()).abort()
    await patient.flood(lingerFrames)
    await patient.assertEnded()
    const bench = await (await Bench.open()).abort()
    await bench.flood(lingerFrames + 1)
    assert.deepEqual(bench.causes, { stage: 'reset', coordinator: 'remote' })
    assert.equal(bench.clock.pendingTimers, 0)
  })
})

describe('what a session has reserved', () => {
  const historyBytes = 64

  /** A session of a node with room for two, by the accounts of its history and its caches. */
  class Accounts {
    readonly history = new ByteBudget(2 * historyBytes)
    readonly caches: string[] = []
    ended = 0
    answers: ControlResponse[] = []
    shell!: StageShell
    coordinator!: Channel
    reserving: Promise<void> = Promise.resolve()

    static async open(changes: Partial<StageShellComponents> = {}, reserving?: Promise<void>): Promise<Accounts> {
      const accounts = new Accounts()
      if (reserving !== undefined) accounts.reserving = reserving
      const internet = memoryInternet()
      const [node, client] = [internet.join(testIdentity(1).peerId), internet.join(testIdentity(2).peerId)]
      client.learn({ peer: node.self, addresses: [memoryAddress(node.self)], source: 'trusted' })
      const accepted = new Promise<Channel>((resolve) => node.handle(protocols.control, channelLimits.control, resolve))
      accounts.coordinator = await client.open(node.self, protocols.control, { limits: channelLimits.control })
      accounts.start(await accepted, changes)
      void accounts.#hear()
      await drainMicrotasks()
      return accounts
    }

    start(control: Channel, changes: Partial<StageShellComponents>): void {
      const clock = new ManualClock()
      const runtime: SpanRuntime = {
        ...roomyRuntime,
        reserve: async (cache) => {
          await this.reserving
          this.caches.push(cache)
        },
        release: (cache) => {
          const index = this.caches.indexOf(cache)
          if (index >= 0) this.caches.splice(index, 1)
          return Promise.resolve()
        }
      }
      const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
      this.shell = new StageShell(
        {
          ...{ clock, runtime, logger: silentLogger, history: this.history },
          scheduler: new TurnScheduler({ runtime, clock, logger: silentLogger }),
          dial: () => assert.fail('the coordinator is the only neighbour'),
          load: () => load,
          onReplay: () => {},
          onEnded: () => void this.ended++,
          ...changes
        },
        control,
        { ...openRequest(), historyBytes }
      )
      this.shell.start()
    }

    async #hear(): Promise<void> {
      for (let frame = await this.coordinator.receive(); frame !== undefined; frame = await this.coordinator.receive())
        this.answers.push(decodeControlResponse(frame.head))
    }

    assertOpen(): void {
      assert.deepEqual([this.caches.length, this.history.freeBytes, this.ended], [1, historyBytes, 0])
    }

    assertFreed(): void {
      assert.deepEqual([this.caches.length, this.history.freeBytes, this.ended], [0, 2 * historyBytes, 1])
    }
  }

  it('is free when it is closed, when it is aborted, and when its coordinator goes', async () => {
    for (const end of [
      ({ coordinator }: Accounts) => void coordinator.send({ head: encodeControl({ type: 'close', id: 2 }) }),
      ({ shell }: Accounts) => shell.abort(WireErrorCode.Draining, 'gone'),
      ({ coordinator }: Accounts) => coordinator.reset()
    ]) {
      const accounts = await Accounts.open()
      accounts.assertOpen()
      end(accounts)
      await drainMicrotasks()
      accounts.assertFreed()
    }
  })

  it('is free when there is no room for the cache', async () => {
    const full = new WireError(WireErrorCode.KvFull, 'full')
    const refused = Promise.reject(full)
    refused.catch(() => {})
    const accounts = await Accounts.open({}, refused)
    accounts.assertFreed()
    const [answer] = accounts.answers
    assert.equal(answer?.type === 'refused' && answer.code, WireErrorCode.KvFull)
  })

  it('is free when the session ends before the cache is there', async () => {
    let reserve = (): void => {}
    const accounts = await Accounts.open({}, new Promise((resolve) => (reserve = resolve)))
    accounts.coordinator.reset()
    await drainMicrotasks()
    reserve()
    await drainMicrotasks()
    accounts.assertFreed()
  })

  it('is free when a mistake ends the session, even if it is made again in the report', async () => {
    let isBroken = false
    const load = { queuedRows: 0, freeKvTokens: 0, freeHistoryBytes: 0, sessions: 1 }
    const broken = (): typeof load => (isBroken ? assert.fail('a mistake') : load)
    const accounts = await Accounts.open({ load: broken })
    isBroken = true
    assert.throws(() => accounts.shell.abort(WireErrorCode.Draining, 'gone'), /a mistake/)
    await drainMicrotasks()
    accounts.assertFreed()
  })
})
